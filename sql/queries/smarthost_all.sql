-- Every smarthost that was ever parked.
SELECT name, is_parked, parked_since_s, retry_at_s, class, stage, code, enhanced, reply, rule
FROM smarthost
ORDER BY name
