/* One SQLite connection with our settings, on a file that is ours: opened exclusively, checked, migrated, all queries
   prepared. Used by one thread at a time. See query.h for running statements. */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "spool_sql.h"

struct error;

struct database {
    sqlite3 *handle;
    sqlite3_stmt *statements[SQL_QUERY_COUNT];
    int directory_fd;
    char *directory;
    int64_t page_size;
    int wal_pages; /* in the log, after the last commit or checkpoint */
};

/* database is zeroed. Creates the file if there never was one. On failure nothing existing was changed. */
bool database_open(struct database *database, const char *directory, struct error *err);
/* Also after a failed open. */
void database_close(struct database *database);

int64_t database_wal_bytes(const struct database *database);
/* Copies the log into the file. With truncate the log becomes empty; without, it is used again from its start. */
bool database_checkpoint(struct database *database, bool is_truncating, struct error *err);
/* A short step towards a log file of that size: the space that commits will use is written beforehand. Whether there is
   more to do; a failure ends it, for this only saves time. */
bool database_log_extend(struct database *database, int64_t size_bytes);
/* Number of the newest schema. */
int database_newest_version(void);
