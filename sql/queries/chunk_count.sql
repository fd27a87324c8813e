-- How many pieces of a body are there.
SELECT count(*) FROM chunk WHERE id BETWEEN ?1 * 65536 AND ?1 * 65536 + 65535
