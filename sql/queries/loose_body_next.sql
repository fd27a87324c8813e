-- A body to be removed: abandoned, or left by an earlier process, whose keys are below ?1.
SELECT key FROM loose_body WHERE is_arriving = 0 OR key < ?1 ORDER BY key LIMIT 1
