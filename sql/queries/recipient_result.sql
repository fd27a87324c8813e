-- A recipient changes, and what the last attempt brought; up to ?8 as in recipient_write.
UPDATE recipient
SET state = ?2, waiting = ?3, due_at_s = ?4, smarthost = ?5, attempts = ?6, crashes = ?7, changed_at_ms = ?8,
    class = ?9, code = ?10, enhanced = ?11, reply = ?12, stage = ?13, rule = ?14
WHERE id = ?1
