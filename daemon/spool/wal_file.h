/* SQLite's write-ahead log with fewer and cheaper writes. SQLite writes each page of it in two calls; here they are
   gathered, and go to the file system in one when the commit is synced. And its space can be written beforehand, so
   that the sync of a commit has no change of the file's size to record.
   A connection opened by the name below has this for its log; all its other files are the default file system's own. */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* Of a sqlite3_vfs over the one that is the default at the first call. That call is made before a second thread uses
   SQLite. */
const char *wal_file_vfs(void);

/* One short step: zeroes behind the end of the log, synced, until it has size_bytes. log is what
   SQLITE_FCNTL_JOURNAL_POINTER gives for a connection as above, outside a transaction. Returns a code of SQLite; a
   failure harms nothing. */
int wal_file_extend(sqlite3_file *log, int64_t size_bytes, bool *ret_is_done);
