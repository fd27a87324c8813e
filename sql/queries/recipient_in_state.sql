-- The first recipient behind ?2 in a state other than queued and delivered.
SELECT id FROM recipient INDEXED BY recipient_unusual
WHERE state = ?1 AND state IN ('held', 'in-doubt', 'failed', 'expired', 'cancelled') AND id > ?2
ORDER BY id
LIMIT 1
