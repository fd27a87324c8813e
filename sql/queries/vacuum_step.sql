-- Gives a few unused pages back to the file system: few enough for a moment's break.
PRAGMA incremental_vacuum(64)
