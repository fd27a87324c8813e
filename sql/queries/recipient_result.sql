-- What the last attempt brought.
UPDATE recipient SET class = ?2, code = ?3, enhanced = ?4, reply = ?5, stage = ?6, rule = ?7 WHERE id = ?1
