-- Rows of message key ?1 are being deleted: it may not be used again.
UPDATE high_water SET value = max(value, ?1) WHERE name = 'message-key'
