-- Whether a message still has its body, and whose it is.
SELECT has_body, chunk_count FROM message WHERE key = ?1
