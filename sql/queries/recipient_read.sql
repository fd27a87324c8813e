-- What decides how one recipient may change; of its message, how many are not delivered and the pieces of its body.
SELECT state, smarthost, attempts, crashes, recipient_count - delivered_count, chunk_count
FROM recipient
CROSS JOIN message ON message.key = recipient.id >> 16
WHERE recipient.id = ?1
