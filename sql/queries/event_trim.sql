-- The oldest events, at most ?2, if they are older than ?1 (milliseconds). The newest stays, so that numbers ascend.
DELETE FROM event
WHERE number IN (SELECT number FROM event ORDER BY number LIMIT ?2)
  AND at_ms < ?1
  AND number < (SELECT max(number) FROM event)
