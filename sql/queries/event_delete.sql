-- Some events of a message, at most ?2; not the first, see event_delete_accepted.
DELETE FROM event
WHERE number IN (SELECT number FROM event INDEXED BY event_message WHERE key = ?1 AND kind <> 'accepted' LIMIT ?2)
