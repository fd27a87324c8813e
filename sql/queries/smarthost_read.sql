-- Whether a smarthost is parked, and why.
SELECT is_parked, class, code FROM smarthost WHERE name = ?1
