-- Queued recipients of smarthost ?1 behind ?2. They lie in another order: for a smarthost that has few.
SELECT id FROM recipient INDEXED BY recipient_due
WHERE smarthost = ?1 AND (state = 'queued' OR state = 'in-doubt') AND id > ?2
ORDER BY id
