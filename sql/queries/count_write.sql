-- Smarthost ?1 has ?3 recipients in state ?2.
INSERT INTO smarthost_count (smarthost, state, count) VALUES (?1, ?2, max(?3, 0))
ON CONFLICT (smarthost, state) DO UPDATE SET count = excluded.count
