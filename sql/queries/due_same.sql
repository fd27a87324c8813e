-- Backlog of smarthost ?1 that is due at exactly ?2, behind recipient ?3, at most ?5. ?4 is not used here.
SELECT recipient.id, due_at_s, state, attempts, address,
       queue_id, sender, header_from, accepted_at_ms, size_bytes, chunk_count, is_8bit, needs_smtputf8
FROM recipient INDEXED BY recipient_due
CROSS JOIN message ON message.key = recipient.id >> 16
WHERE smarthost = ?1 AND (state = 'queued' OR state = 'in-doubt') AND due_at_s = ?2 AND recipient.id > ?3 AND ?4 >= ?2
ORDER BY recipient.id
LIMIT ?5
