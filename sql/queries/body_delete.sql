-- All pieces of a body that has few of them.
DELETE FROM chunk WHERE id BETWEEN ?1 * 65536 AND ?1 * 65536 + 65535
