-- Whether a message has this key or this queue id.
SELECT EXISTS (SELECT 1 FROM message WHERE key = ?1) OR EXISTS (SELECT 1 FROM message WHERE queue_id = ?2)
