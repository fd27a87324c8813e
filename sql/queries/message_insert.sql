-- A message is accepted; open_count is recipient_count, nothing is delivered yet.
INSERT INTO message (key, queue_id, sender, header_from, user, uid, tag, accepted_at_ms, size_bytes, is_8bit,
                     needs_smtputf8, chunk_count, has_body, recipient_count, open_count, delivered_count, accepted_event)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 1, ?13, ?13, 0, ?14)
