-- The first recipient behind ?2 in a state other than queued and delivered.
SELECT id FROM recipient INDEXED BY recipient_unusual
WHERE state = ?1 AND id > ?2 AND state <> 'queued' AND state <> 'delivered'
ORDER BY id
LIMIT 1
