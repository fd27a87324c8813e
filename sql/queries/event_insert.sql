-- Something happened.
INSERT INTO event (at_ms, key, recipient, kind, state, smarthost, host, stage, class, rule, code, enhanced, reply,
                   duration_ms, uid)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
