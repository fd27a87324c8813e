-- All recipients of a message.
SELECT id, smarthost FROM recipient WHERE id BETWEEN ?1 * 65536 AND ?1 * 65536 + 65535 ORDER BY id
