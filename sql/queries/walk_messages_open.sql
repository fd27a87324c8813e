-- The same of those behind ?1 that are not final, whenever they were accepted.
SELECT key, uid, accepted_at_ms, size_bytes, queue_id, sender, user, tag
FROM message INDEXED BY message_open
WHERE open_count > 0 AND key > ?1
ORDER BY key
