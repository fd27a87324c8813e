-- After a restart nothing is arriving.
UPDATE loose_body SET is_arriving = 0 WHERE is_arriving = 1
