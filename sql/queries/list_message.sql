-- A message with all its recipients, as people see it.
SELECT recipient.id, queue_id, sender, user, uid, tag, accepted_at_ms, size_bytes, has_body, chunk_count,
       address, smarthost, state, waiting, attempts, due_at_s, class, code, enhanced, reply, stage, changed_at_ms
FROM message
CROSS JOIN recipient ON recipient.id BETWEEN ?1 * 65536 AND ?1 * 65536 + 65535
WHERE message.key = ?1
ORDER BY recipient.id
