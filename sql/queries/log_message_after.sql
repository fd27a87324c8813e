-- What happened to message ?2 behind event ?1, oldest first; columns as in log_after.
SELECT number, at_ms, event.key, queue_id, address, kind, event.state, event.smarthost, host, event.stage,
       event.class, event.rule, event.code, event.enhanced, event.reply, duration_ms, event.uid, message.uid
FROM event
LEFT JOIN message ON message.key = event.key
LEFT JOIN recipient ON recipient.id = event.recipient
WHERE event.key = ?2 AND event.number > ?1
ORDER BY number ASC
