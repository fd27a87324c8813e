-- Recipients per smarthost and state.
SELECT smarthost, state, count FROM smarthost_count ORDER BY smarthost
