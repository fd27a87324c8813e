/* Opens, checks, migrates and closes the database file. What stands in it is the store's business. */
#include "database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "database_file.h"
#include "error.h"
#include "invariant.h"
#include "log.h"
#include "query.h"
#include "wal_file.h"
#include "xalloc.h"

enum {
    BUSY_WAIT_MS = 2000, /* a predecessor may still be closing */
    /* A file up to here is checked whole at start: that takes less than 50 ms. */
    CHECKED_BYTES = 32 * 1024 * 1024,
    PAGE_BYTES = 4096,
};

enum pragma_when {
    PRAGMA_NEW,    /* decided when the file is made */
    PRAGMA_ALWAYS, /* at each start */
};

/* Set in this order, then read back: a setting that did not take is a failed start. locking_mode comes before anything
   that reads the file, so that no shared memory is ever made (DESIGN 4). */
static const struct {
    const char *name;
    const char *value;
    const char *read_back;
    enum pragma_when when;
} pragmas[] = {
    { "locking_mode", "EXCLUSIVE", "exclusive", PRAGMA_ALWAYS },
    { "page_size", "4096", "4096", PRAGMA_NEW },
    { "auto_vacuum", "INCREMENTAL", "2", PRAGMA_NEW },
    { "journal_mode", "WAL", "wal", PRAGMA_ALWAYS },
    { "synchronous", "FULL", "2", PRAGMA_ALWAYS },
    { "secure_delete", "FAST", "2", PRAGMA_ALWAYS },
    { "wal_autocheckpoint", "0", "0", PRAGMA_ALWAYS },
    { "journal_size_limit", "33554432", "33554432", PRAGMA_ALWAYS },
    { "cache_size", "-16384", "-16384", PRAGMA_ALWAYS },
    { "temp_store", "MEMORY", "2", PRAGMA_ALWAYS },
    { "mmap_size", "0", "0", PRAGMA_ALWAYS },
    { "trusted_schema", "OFF", "0", PRAGMA_ALWAYS },
    { "cell_size_check", "ON", "1", PRAGMA_ALWAYS },
};

/* What SQLite has to say beyond its return codes. */
static void on_sqlite_log(void *ctx, int code, const char *text)
{
    (void)ctx;
    enum log_level level = (code & 0xff) == SQLITE_NOTICE ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;
    log_line(level, "sqlite", "%s (%d)", text, code);
}

/* Once per process. Has no effect when somebody has initialised SQLite before us, which only costs mutexes. */
static void library_init(void)
{
    static bool is_done;

    if (is_done)
        return;
    is_done = true;
    (void)sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* a lock for each allocation */
    (void)sqlite3_config(SQLITE_CONFIG_LOG, on_sqlite_log, NULL);
}

int database_newest_version(void)
{
    int count = 0;

    while (sql_migrations[count].name != NULL)
        count++;
    return count;
}

static int on_commit(void *ctx, sqlite3 *handle, const char *name, int pages)
{
    struct database *database = ctx;

    (void)handle;
    (void)name;
    database->wal_pages = pages;
    return SQLITE_OK;
}

/* text is ours and constant, or made of the tables above. */
static bool execute(struct database *database, const char *text, struct error *err)
{
    if (sqlite3_exec(database->handle, text, NULL, NULL, NULL) != SQLITE_OK)
        return query_fail(database, err);
    return true;
}

static bool pragma_read(struct database *database, const char *name, char ret_value[64],
                        struct error *err)
{
    AUTO_FREE char *text = xasprintf("PRAGMA %s", name);
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(database->handle, text, -1, &statement, NULL) != SQLITE_OK)
        return query_fail(database, err);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        (void)snprintf(ret_value, 64, "%s", (const char *)sqlite3_column_text(statement, 0));
    bool is_ok = rc == SQLITE_ROW || query_fail(database, err);
    (void)sqlite3_finalize(statement);
    return is_ok;
}

static bool pragma_read_number(struct database *database, const char *name, int64_t *ret_value,
                               struct error *err)
{
    char text[64];

    if (!pragma_read(database, name, text, err))
        return false;
    *ret_value = strtoll(text, NULL, 10);
    return true;
}

static bool pragmas_set(struct database *database, bool is_new, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(pragmas); i++) {
        if (pragmas[i].when == PRAGMA_NEW && !is_new)
            continue;
        AUTO_FREE char *text = xasprintf("PRAGMA %s=%s", pragmas[i].name, pragmas[i].value);
        if (!execute(database, text, err))
            return fail_context(err, "%s", text);
    }
    return true;
}

static bool pragmas_check(struct database *database, bool is_new, struct error *err)
{
    char value[64] = "";

    for (size_t i = 0; i < COUNT_OF(pragmas); i++) {
        if (pragmas[i].when == PRAGMA_NEW && !is_new)
            continue;
        if (!pragma_read(database, pragmas[i].name, value, err))
            return fail_context(err, "PRAGMA %s", pragmas[i].name);
        if (strcmp(value, pragmas[i].read_back) != 0)
            return fail(err, ERROR_IO, "SQLite did not take %s=%s: it says %s", pragmas[i].name,
                        pragmas[i].value, value);
    }
    return true;
}

static bool connect_to(struct database *database, const char *name, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", database->directory, name);
    int rc = sqlite3_open_v2(path, &database->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
                             wal_file_vfs());

    if (rc != SQLITE_OK)
        return fail(err, ERROR_IO, "open %s: %s", path, sqlite3_errstr(rc));
    sqlite3 *handle = database->handle;
    (void)sqlite3_extended_result_codes(handle, 1);
    (void)sqlite3_busy_timeout(handle, BUSY_WAIT_MS);
    /* Until we know that the file is ours and whole, closing must not write to it either. */
    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return true;
}

/* All or nothing; the number of the schema is part of the transaction. */
static bool migrate(struct database *database, struct error *err)
{
    int64_t version = 0;

    if (!pragma_read_number(database, "user_version", &version, err))
        return false;
    if (version == database_newest_version())
        return true;
    AUTO_FREE char *stamp = xasprintf("PRAGMA application_id=%d; PRAGMA user_version=%d",
                                      DATABASE_APP_ID, database_newest_version());
    bool is_ok = execute(database, sql_queries[SQL_BEGIN].text, err);
    for (int i = (int)version; is_ok && sql_migrations[i].name != NULL; i++)
        if (!execute(database, sql_migrations[i].text, err))
            is_ok = fail_context(err, "migration %s", sql_migrations[i].name);
    return is_ok && execute(database, stamp, err) &&
           execute(database, sql_queries[SQL_COMMIT].text, err);
}

static bool prepare_all(struct database *database, struct error *err)
{
    for (size_t i = 0; i < SQL_QUERY_COUNT; i++)
        if (sqlite3_prepare_v3(database->handle, sql_queries[i].text, -1, SQLITE_PREPARE_PERSISTENT,
                               &database->statements[i], NULL) != SQLITE_OK) {
            (void)query_fail(database, err);
            return fail_context(err, "query %s", sql_queries[i].name);
        }
    return true;
}

static void disconnect(struct database *database)
{
    for (size_t i = 0; i < SQL_QUERY_COUNT; i++) {
        (void)sqlite3_finalize(database->statements[i]);
        database->statements[i] = NULL;
    }
    /* An error here is a failed checkpoint: the log stays and is used at the next start. */
    (void)sqlite3_close(database->handle);
    database->handle = NULL;
}

static bool create(struct database *database, struct error *err)
{
    if (!database_file_begin(database->directory_fd, database->directory, err))
        return false;
    bool is_ok = connect_to(database, SPOOL_FILE_NEW, err) && pragmas_set(database, true, err) &&
                 migrate(database, err) && pragmas_check(database, true, err) &&
                 database_checkpoint(database, true, err);
    if (is_ok)
        (void)sqlite3_db_config(database->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    disconnect(database);
    if (!is_ok)
        return fail_context(err, "create %s/%s", database->directory, SPOOL_FILE);
    return database_file_finish(database->directory_fd, database->directory, err);
}

/* Takes the lock, reads through the log, and looks at what only shows then. */
static bool check_contents(struct database *database, struct error *err)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t pages = 0;
    char verdict[64] = "";

    if (!execute(database, "PRAGMA locking_mode=EXCLUSIVE", err) ||
        !pragma_read_number(database, "user_version", &version, err) ||
        !pragma_read_number(database, "application_id", &application, err) ||
        !pragma_read_number(database, "page_size", &database->page_size, err) ||
        !pragma_read_number(database, "page_count", &pages, err))
        return false;
    if (application != DATABASE_APP_ID || version < 1 || version > database_newest_version())
        return fail(err, ERROR_DAMAGED, "schema %lld of program %llx is not ours",
                    (long long)version, (unsigned long long)application);
    if (pages * database->page_size > CHECKED_BYTES)
        return true;
    if (!pragma_read(database, "quick_check(1)", verdict, err))
        return false;
    if (strcmp(verdict, "ok") != 0)
        return fail(err, ERROR_DAMAGED, "%s", verdict);
    return true;
}

bool database_open(struct database *database, const char *directory, struct error *err)
{
    bool is_present = false;

    library_init();
    database->directory = xstrdup(directory);
    database->directory_fd = database_directory_open(directory, err);
    if (database->directory_fd < 0 ||
        !database_file_inspect(database->directory_fd, directory, database_newest_version(),
                               &is_present, err))
        return false;
    if (!is_present && !create(database, err))
        return false;
    if (!connect_to(database, SPOOL_FILE, err))
        return false;
    if (!check_contents(database, err)) {
        if (err->code == ERROR_BUSY)
            return fail(err, ERROR_BUSY, "%s/%s is in use by another process", directory,
                        SPOOL_FILE);
        (void)fail_context(err, "%s/%s", directory, SPOOL_FILE);
        if (err->code == ERROR_DAMAGED) {
            size_t len = strlen(err->text);
            (void)snprintf(err->text + len, sizeof err->text - len,
                           " (damaged; nothing was changed; restore a backup, or move it away to "
                           "start empty)");
        }
        return false;
    }
    if (!pragmas_set(database, false, err) || !migrate(database, err) ||
        !pragmas_check(database, false, err) || !prepare_all(database, err))
        return fail_context(err, "%s/%s", directory, SPOOL_FILE);
    (void)sqlite3_db_config(database->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    /* After wal_autocheckpoint, which uses the same hook. */
    (void)sqlite3_wal_hook(database->handle, on_commit, database);
    /* The log exists since the first read: its name must survive a power loss as well. */
    return database_directory_sync(database->directory_fd, directory, err);
}

void database_close(struct database *database)
{
    disconnect(database);
    if (database->directory_fd > 0)
        (void)close(database->directory_fd);
    database->directory_fd = -1;
    free(database->directory);
    database->directory = NULL;
}

int64_t database_wal_bytes(const struct database *database)
{
    enum { WAL_HEADER_BYTES = 32, WAL_FRAME_BYTES = 24 };

    return database->wal_pages == 0
               ? 0
               : WAL_HEADER_BYTES + database->wal_pages * (database->page_size + WAL_FRAME_BYTES);
}

bool database_checkpoint(struct database *database, bool is_truncating, struct error *err)
{
    int in_log = 0;
    int copied = 0;

    if (sqlite3_wal_checkpoint_v2(database->handle, NULL,
                                  is_truncating ? SQLITE_CHECKPOINT_TRUNCATE
                                                : SQLITE_CHECKPOINT_PASSIVE,
                                  &in_log, &copied) != SQLITE_OK)
        return query_fail(database, err);
    /* There is no other reader: all of it was copied, and the next commit starts the log anew. */
    database->wal_pages = 0;
    return true;
}

bool database_log_extend(struct database *database, int64_t size_bytes)
{
    sqlite3_file *log = NULL;
    bool is_done = false;

    return sqlite3_file_control(database->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) ==
               SQLITE_OK &&
           wal_file_extend(log, size_bytes, &is_done) == SQLITE_OK && !is_done;
}
