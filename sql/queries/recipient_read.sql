-- What decides how one recipient may change.
SELECT state, smarthost, attempts, crashes FROM recipient WHERE id = ?1
