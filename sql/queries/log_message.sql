-- What happened to message ?2 behind event ?1, oldest first; columns as in log_after. Its first event, then the others.
SELECT number, at_ms, event.key, queue_id, address, kind, event.state, event.smarthost, host, event.stage,
       event.class, event.rule, event.code, event.enhanced, event.reply, duration_ms, event.uid, message.uid
FROM event
LEFT JOIN message ON message.key = event.key
LEFT JOIN recipient ON recipient.id = event.recipient
WHERE event.number = (SELECT accepted_event FROM message WHERE key = ?2 AND accepted_event > ?1)
  AND event.key = ?2 AND kind = 'accepted'
UNION ALL
SELECT number, at_ms, event.key, queue_id, address, kind, event.state, event.smarthost, host, event.stage,
       event.class, event.rule, event.code, event.enhanced, event.reply, duration_ms, event.uid, message.uid
FROM event INDEXED BY event_message
LEFT JOIN message ON message.key = event.key
LEFT JOIN recipient ON recipient.id = event.recipient
WHERE event.key = ?2 AND kind <> 'accepted' AND event.number > ?1
ORDER BY number ASC
