-- A body to be removed.
SELECT key FROM loose_body WHERE is_arriving = 0 ORDER BY key LIMIT 1
