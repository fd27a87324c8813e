-- Smarthost ?1 is no longer parked at ?2.
UPDATE parked_span SET until_s = max(from_s, ?2) WHERE smarthost = ?1 AND until_s IS NULL
