-- Unused pages of the file.
PRAGMA freelist_count
