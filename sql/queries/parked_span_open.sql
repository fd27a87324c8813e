-- Smarthost ?1 is parked from ?2 on.
INSERT INTO parked_span (smarthost, from_s) VALUES (?1, ?2)
ON CONFLICT (smarthost, from_s) DO UPDATE SET until_s = NULL
