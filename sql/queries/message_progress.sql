-- Whether all recipients of ?1 are delivered when ?2 more are, and how many chunks its body has.
SELECT delivered_count + ?2 = recipient_count, chunk_count FROM message WHERE key = ?1
