-- Smarthost ?1 has ?3 recipients in state ?2. Looks for the row once, where ON CONFLICT DO UPDATE would twice.
INSERT OR REPLACE INTO smarthost_count (smarthost, state, count) VALUES (?1, ?2, max(?3, 0))
