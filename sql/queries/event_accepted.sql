-- A message was accepted: its first event.
INSERT INTO event (at_ms, key, kind, state, uid) VALUES (?1, ?2, 'accepted', 'queued', ?3)
