-- What a filter asks of the recipients behind ?1.
SELECT id, state, attempts, address, smarthost, class FROM recipient WHERE id > ?1 ORDER BY id
