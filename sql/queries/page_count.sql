-- Pages of the file.
PRAGMA page_count
