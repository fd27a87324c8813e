-- A piece of a body.
INSERT INTO chunk (id, data) VALUES (?1, ?2)
