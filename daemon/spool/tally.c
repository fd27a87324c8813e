/* Counts and their pending changes. There are as many rows as smarthosts: a handful. */
#include "tally.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "error.h"
#include "query.h"
#include "xalloc.h"

static struct tally_row *find(struct tally *tally, const char *smarthost)
{
    for (size_t i = 0; i < tally->count; i++)
        if (strcmp(tally->rows[i].smarthost, smarthost) == 0)
            return &tally->rows[i];
    tally->rows = xrealloc(tally->rows, tally->count + 1, sizeof *tally->rows);
    struct tally_row *row = &tally->rows[tally->count++];
    *row = (struct tally_row){ .smarthost = xstrdup(smarthost) };
    return row;
}

bool tally_load(struct tally *tally, struct database *database, struct error *err)
{
    enum { SMARTHOST, STATE, COUNT };
    AUTO_QUERY sqlite3_stmt *query = query_new(database, SQL_COUNT_ALL);
    bool has_row = true;

    while (query_step(database, query, &has_row, err)) {
        enum recipient_state state = RECIPIENT_QUEUED;
        if (!has_row)
            return true;
        if (!recipient_state_parse(column_text(query, STATE), &state))
            return fail(err, ERROR_DAMAGED, "counts of unknown state %s",
                        column_text(query, STATE));
        find(tally, column_text(query, SMARTHOST))->counts[state] =
            sqlite3_column_int64(query, COUNT);
    }
    return false;
}

void tally_done(struct tally *tally)
{
    for (size_t i = 0; i < tally->count; i++)
        free(tally->rows[i].smarthost);
    free(tally->rows);
    *tally = (struct tally){ .rows = NULL };
}

void tally_add(struct tally *tally, const char *smarthost, enum recipient_state state,
               int64_t number)
{
    find(tally, smarthost)->deltas[state] += number;
}

bool tally_write(struct tally *tally, struct database *database, struct error *err)
{
    for (size_t i = 0; i < tally->count; i++) {
        const struct tally_row *row = &tally->rows[i];
        for (int state = 0; state < RECIPIENT_STATE_COUNT; state++) {
            if (row->deltas[state] == 0)
                continue;
            AUTO_QUERY sqlite3_stmt *query = query_new(database, SQL_COUNT_WRITE);
            bind_text(query, 1, row->smarthost);
            bind_text(query, 2, recipient_state_name((enum recipient_state)state));
            bind_int(query, 3, row->counts[state] + row->deltas[state]);
            if (!query_run(database, query, err))
                return false;
        }
    }
    return true;
}

void tally_commit(struct tally *tally)
{
    for (size_t i = 0; i < tally->count; i++)
        for (int state = 0; state < RECIPIENT_STATE_COUNT; state++)
            tally->rows[i].counts[state] += tally->rows[i].deltas[state];
    tally_rollback(tally);
}

void tally_rollback(struct tally *tally)
{
    for (size_t i = 0; i < tally->count; i++)
        (void)memset(tally->rows[i].deltas, 0, sizeof tally->rows[i].deltas);
}

int64_t tally_total(const struct tally *tally, const char *smarthost, unsigned states)
{
    int64_t total = 0;

    for (size_t i = 0; i < tally->count; i++) {
        if (smarthost != NULL && strcasecmp(tally->rows[i].smarthost, smarthost) != 0)
            continue;
        for (int state = 0; state < RECIPIENT_STATE_COUNT; state++)
            if ((states & 1U << state) != 0)
                total += tally->rows[i].counts[state];
    }
    return total;
}
