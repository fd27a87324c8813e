-- A smarthost may be used again; why it was parked stays known.
UPDATE smarthost SET is_parked = 0, parked_since_s = NULL, retry_at_s = NULL WHERE name = ?1
