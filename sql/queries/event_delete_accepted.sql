-- The first event of a message, if it is still there.
DELETE FROM event WHERE number = (SELECT accepted_event FROM message WHERE key = ?1)
