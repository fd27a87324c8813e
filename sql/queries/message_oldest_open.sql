-- When the oldest message that is not final was accepted.
SELECT accepted_at_ms FROM message INDEXED BY message_open WHERE open_count > 0 ORDER BY key LIMIT 1
