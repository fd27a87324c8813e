-- The next messages behind ?1, at most ?2: key, when accepted, when final, whether there is a body.
SELECT key, accepted_at_ms, final_at_s, has_body FROM message WHERE key > ?1 ORDER BY key LIMIT ?2
