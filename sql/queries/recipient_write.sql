-- A recipient changes, but not what its last attempt brought.
UPDATE recipient
SET state = ?2, waiting = ?3, due_at_s = ?4, smarthost = ?5, attempts = ?6, crashes = ?7, changed_at_ms = ?8
WHERE id = ?1
