-- Recipients of ?1 changed: ?2 more are open, ?3 more are delivered, at ?4 (seconds). Answers whether all are
-- delivered now (then the body counts as gone) and how many chunks it has.
UPDATE message
SET open_count = open_count + ?2,
    delivered_count = delivered_count + ?3,
    final_at_s = CASE WHEN open_count + ?2 = 0 THEN ?4 END,
    has_body = CASE WHEN delivered_count + ?3 = recipient_count THEN 0 ELSE has_body END
WHERE key = ?1
RETURNING delivered_count = recipient_count, chunk_count
