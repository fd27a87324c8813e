-- A smarthost is parked, or is parked for another reason.
INSERT INTO smarthost (name, is_parked, parked_since_s, retry_at_s, class, stage, code, enhanced, reply, rule)
VALUES (?1, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (name) DO UPDATE
SET parked_since_s = CASE WHEN is_parked THEN parked_since_s ELSE ?2 END, is_parked = 1, retry_at_s = ?3,
    class = ?4, stage = ?5, code = ?6, enhanced = ?7, reply = ?8, rule = ?9
