/* The files in the state directory as the file system shows them, before SQLite touches anything: are they ours, are
   they whole, are they of a version we know? Refusing here leaves every byte as it is. */
#pragma once
#include <stdbool.h>

struct error;

#define SPOOL_FILE      "spool.db"
#define SPOOL_FILE_WAL  "spool.db-wal"
#define SPOOL_FILE_NEW  "spool.db.new" /* until it is complete */
#define SPOOL_BALLAST   "ballast"
#define DATABASE_APP_ID 0x4f425844 /* "OBXD" */

/* Makes the directory if only its last component is missing. It must be a directory of ours that nobody else can
   enter. Returns a descriptor of it (-1 on failure), the caller closes it. */
int database_directory_open(const char *path, struct error *err);

/* Looks at the files. *ret_is_present false: there is none, and no trace of an earlier one. */
bool database_file_inspect(int directory_fd, const char *directory, int newest_version,
                           bool *ret_is_present, struct error *err);

/* An empty SPOOL_FILE_NEW, only for us; an unfinished one of an earlier start is removed. */
bool database_file_begin(int directory_fd, const char *directory, struct error *err);
/* SPOOL_FILE_NEW is complete and closed: makes it durable as SPOOL_FILE, and the directory, which may be new. */
bool database_file_finish(int directory_fd, const char *directory, struct error *err);

/* SQLite ignores a failure of this, so we do it ourselves. */
bool database_directory_sync(int directory_fd, const char *directory, struct error *err);
