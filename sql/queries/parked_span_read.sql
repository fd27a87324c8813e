-- When smarthost ?1 was parked, as far as it reaches behind ?2, oldest first.
SELECT from_s, until_s FROM parked_span WHERE smarthost = ?1 AND ifnull(until_s, ?2) >= ?2 ORDER BY from_s
