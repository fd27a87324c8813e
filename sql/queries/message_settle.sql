-- Recipients of ?1 changed: ?2 more are open, ?3 more are delivered, at ?4 (seconds). When all are delivered, the body
-- counts as gone.
UPDATE message
SET open_count = open_count + ?2,
    delivered_count = delivered_count + ?3,
    final_at_s = CASE WHEN open_count + ?2 = 0 THEN ?4 END,
    has_body = CASE WHEN delivered_count + ?3 = recipient_count THEN 0 ELSE has_body END
WHERE key = ?1
