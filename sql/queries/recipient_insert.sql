-- A recipient of a new message.
INSERT INTO recipient (id, address, smarthost, state, waiting, due_at_s, attempts, crashes, changed_at_ms)
VALUES (?1, ?2, ?3, 'queued', ?4, ?5, 0, 0, ?6)
