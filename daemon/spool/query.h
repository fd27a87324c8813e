/* Running prepared statements, and what SQLite's errors mean for us. A statement is used by one function at a time:
       AUTO_QUERY sqlite3_stmt *query = query_new(database, SQL_CHUNK_READ);
       bind_int(query, 1, id);
   and is reset when the variable leaves its scope, so that no read stays open. */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "database.h"

struct error;

sqlite3_stmt *query_new(struct database *database, enum sql_query query);
static inline void query_done(sqlite3_stmt **query)
{
    (void)sqlite3_reset(*query);
    (void)sqlite3_clear_bindings(*query);
}
#define AUTO_QUERY __attribute__((cleanup(query_done)))

void bind_int(sqlite3_stmt *query, int index, int64_t value);
void bind_int_unless(sqlite3_stmt *query, int index, int64_t value, int64_t null_value);
/* text must live until the query is done; NULL is NULL. */
void bind_text(sqlite3_stmt *query, int index, const char *text);
/* "" is NULL. */
void bind_text_unless_empty(sqlite3_stmt *query, int index, const char *text);
void bind_bytes(sqlite3_stmt *query, int index, const void *bytes, size_t len);

/* The next row, or none. */
bool query_step(struct database *database, sqlite3_stmt *query, bool *ret_has_row,
                struct error *err);
/* To the end; rows are passed over. */
bool query_run(struct database *database, sqlite3_stmt *query, struct error *err);
/* The first column of the first row of a query without parameters; 0 when there is none or it is NULL. */
bool query_number(struct database *database, enum sql_query which, int64_t *ret_value,
                  struct error *err);

/* Until the next step. NULL is NULL. */
const char *column_text(sqlite3_stmt *query, int column);
/* Returns, caller frees. NULL is NULL. */
char *column_text_copy(sqlite3_stmt *query, int column);

/* Tells the last error of the connection. ERROR_FULL no space; ERROR_DAMAGED; ERROR_BUSY locked; else ERROR_IO. */
bool query_fail(struct database *database, struct error *err);
