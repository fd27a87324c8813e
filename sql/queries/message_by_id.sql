-- The message with this queue id: key, uid.
SELECT key, uid FROM message WHERE queue_id = ?1
