-- Whether a body is arriving.
SELECT 1 FROM loose_body WHERE key = ?1 AND is_arriving = 1
