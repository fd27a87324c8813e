-- The body counts as gone; its chunks are removed as a loose body.
UPDATE message SET has_body = 0 WHERE key = ?1
