-- Some events of a message, at most ?2.
DELETE FROM event WHERE number IN (SELECT number FROM event WHERE key = ?1 LIMIT ?2)
