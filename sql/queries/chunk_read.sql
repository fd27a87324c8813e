-- A piece of a body.
SELECT data FROM chunk WHERE id = ?1
