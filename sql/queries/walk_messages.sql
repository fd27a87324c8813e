-- What a filter asks of the messages behind ?1 up to ?2, accepted from ?3 to ?4.
SELECT key, uid, accepted_at_ms, size_bytes, queue_id, sender, user, tag
FROM message
WHERE key > ?1 AND key <= ?2 AND accepted_at_ms BETWEEN ?3 AND ?4
ORDER BY key
