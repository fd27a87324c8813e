-- Keys of the messages behind ?1 that are not final.
SELECT key FROM message INDEXED BY message_open WHERE open_count > 0 AND key > ?1 ORDER BY key
