-- The group is on stable storage when this returns.
COMMIT
