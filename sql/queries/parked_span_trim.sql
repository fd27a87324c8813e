-- Spans that ended before ?1.
DELETE FROM parked_span WHERE until_s < ?1
