-- The group never happened.
ROLLBACK
