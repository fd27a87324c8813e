-- What was arriving will never be complete.
UPDATE loose_body SET is_arriving = 0 WHERE key = ?1
