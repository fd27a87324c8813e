-- The body is removed, or has become a message's.
DELETE FROM loose_body WHERE key = ?1
