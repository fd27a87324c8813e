-- The first event of a message, if it is still there: its number may be another's by now.
DELETE FROM event WHERE number = (SELECT accepted_event FROM message WHERE key = ?1) AND key = ?1 AND kind = 'accepted'
