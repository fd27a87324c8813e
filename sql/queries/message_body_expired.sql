-- A message whose body has been kept long enough: final since ?1 (seconds) or longer.
SELECT key FROM message INDEXED BY message_body_final
WHERE has_body = 1 AND final_at_s <= ?1
ORDER BY final_at_s
LIMIT 1
