-- A message without recipients, events and body.
DELETE FROM message WHERE key = ?1
