-- Some pieces of a body, at most ?2.
DELETE FROM chunk
WHERE id IN (SELECT id FROM chunk WHERE id BETWEEN ?1 * 65536 AND ?1 * 65536 + 65535 LIMIT ?2)
