-- Keys of all messages behind ?1.
SELECT key FROM message WHERE key > ?1 ORDER BY key
