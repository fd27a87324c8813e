-- When the next recipient of smarthost ?1 becomes due after ?2.
SELECT due_at_s FROM recipient INDEXED BY recipient_due
WHERE smarthost = ?1 AND (state = 'queued' OR state = 'in-doubt') AND due_at_s > ?2
ORDER BY due_at_s
LIMIT 1
