-- Chunks of ?1 that are no message's; ?2: they are still arriving.
INSERT INTO loose_body (key, is_arriving) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET is_arriving = ?2
