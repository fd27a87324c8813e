-- Some recipients of a message, at most ?2.
DELETE FROM recipient
WHERE id IN (SELECT id FROM recipient WHERE id BETWEEN ?1 * 65536 AND ?1 * 65536 + 65535 LIMIT ?2)
RETURNING smarthost, state
