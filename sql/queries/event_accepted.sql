-- A message was accepted: what event_insert would write, with fewer words.
INSERT INTO event (at_ms, key, kind, state, uid) VALUES (?1, ?2, 'accepted', 'queued', ?3)
