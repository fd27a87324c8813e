/* Binds, steps, and translates errors. */
#include "query.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "invariant.h"
#include "xalloc.h"

sqlite3_stmt *query_new(struct database *database, enum sql_query query)
{
    sqlite3_stmt *statement = database->statements[query];

    MUST(statement != NULL && sqlite3_stmt_busy(statement) == 0);
    return statement;
}

/* Binding fails only for a wrong index or without memory. */
void bind_int(sqlite3_stmt *query, int index, int64_t value)
{
    MUST(sqlite3_bind_int64(query, index, value) == SQLITE_OK);
}

void bind_int_unless(sqlite3_stmt *query, int index, int64_t value, int64_t null_value)
{
    if (value != null_value)
        bind_int(query, index, value);
    else
        MUST(sqlite3_bind_null(query, index) == SQLITE_OK);
}

void bind_text(sqlite3_stmt *query, int index, const char *text)
{
    MUST(sqlite3_bind_text(query, index, text, -1, SQLITE_STATIC) == SQLITE_OK);
}

void bind_text_unless_empty(sqlite3_stmt *query, int index, const char *text)
{
    bind_text(query, index, text[0] != '\0' ? text : NULL);
}

void bind_bytes(sqlite3_stmt *query, int index, const void *bytes, size_t len)
{
    /* A NULL pointer would be bound as NULL: an empty blob needs an address. */
    MUST(sqlite3_bind_blob64(query, index, len > 0 ? bytes : "", len, SQLITE_STATIC) == SQLITE_OK);
}

bool query_step(struct database *database, sqlite3_stmt *query, bool *ret_has_row,
                struct error *err)
{
    int rc = sqlite3_step(query);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return query_fail(database, err);
    *ret_has_row = rc == SQLITE_ROW;
    return true;
}

bool query_number(struct database *database, enum sql_query which, int64_t *ret_value,
                  struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(database, which);
    bool has_row = false;

    if (!query_step(database, query, &has_row, err))
        return false;
    *ret_value = has_row ? sqlite3_column_int64(query, 0) : 0;
    return true;
}

bool query_run(struct database *database, sqlite3_stmt *query, struct error *err)
{
    bool has_row = true;

    while (has_row)
        if (!query_step(database, query, &has_row, err))
            return false;
    return true;
}

const char *column_text(sqlite3_stmt *query, int column)
{
    return (const char *)sqlite3_column_text(query, column);
}

char *column_text_copy(sqlite3_stmt *query, int column)
{
    return xstrdup_or_null(column_text(query, column));
}

/* Why the last write failed. sqlite3_system_errno() does not know it when a COMMIT fails. */
static int write_errno(struct database *database)
{
    sqlite3_file *log = NULL;
    int number = 0;

    (void)sqlite3_file_control(database->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (log != NULL && log->pMethods != NULL)
        (void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &number);
    if (number == 0)
        (void)sqlite3_file_control(database->handle, "main", SQLITE_FCNTL_LAST_ERRNO, &number);
    return number;
}

static enum error_code code_of(int rc, int number)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ERROR_FULL;
    case SQLITE_IOERR:
        /* Only writing can lack space. A sync that fails, for whatever reason, has an unknown outcome. On a file
           system that became read-only nothing was written, and it may become writable again. */
        if (rc == SQLITE_IOERR_WRITE &&
            (number == ENOSPC || number == EDQUOT || number == EFBIG || number == EROFS))
            return ERROR_FULL;
        return ERROR_IO;
    case SQLITE_CONSTRAINT:
        /* A number or an id that is taken; else a CHECK: the row was not what we thought. */
        return rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_ROWID ||
                       rc == SQLITE_CONSTRAINT_UNIQUE
                   ? ERROR_USAGE
                   : ERROR_DAMAGED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERROR_DAMAGED;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERROR_BUSY;
    default:
        return ERROR_IO;
    }
}

bool query_fail(struct database *database, struct error *err)
{
    int rc = sqlite3_extended_errcode(database->handle);
    int number = (rc & 0xff) == SQLITE_IOERR ? write_errno(database) : 0;

    return fail(err, code_of(rc, number), "%s (SQLite error %d%s%s)",
                sqlite3_errmsg(database->handle), rc, number != 0 ? ", " : "",
                number != 0 ? strerror(number) : "");
}
