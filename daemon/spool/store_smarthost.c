/* What is kept about smarthosts, and the figures of the whole spool. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "error.h"
#include "query.h"
#include "xalloc.h"

enum { SPAN_KEPT_S = 60 * 24 * 3600 };

/* --- Parking --- */

static bool text_is_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Whether this is news to people: parked or not, or parked for another reason. */
static bool parking_is_news(struct store *store, const struct spool_parking *parking,
                            bool *ret_is_news, bool *ret_was_parked, struct error *err)
{
    enum { IS_PARKED, CLASS, CODE };
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_SMARTHOST_READ);
    bool has_row = false;

    bind_text(query, 1, parking->smarthost);
    if (!query_step(&store->database, query, &has_row, err))
        return false;
    bool was_parked = has_row && sqlite3_column_int64(query, IS_PARKED) != 0;
    bool is_same_reason = has_row && sqlite3_column_int(query, CODE) == parking->code &&
                          text_is_same(column_text(query, CLASS), parking->class);
    *ret_was_parked = was_parked;
    *ret_is_news = was_parked != parking->is_parked || (parking->is_parked && !is_same_reason);
    return true;
}

static bool smarthost_write(struct store *store, const struct spool_parking *parking,
                            struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query =
        query_new(&store->database, parking->is_parked ? SQL_SMARTHOST_PARK : SQL_SMARTHOST_UNPARK);

    bind_text(query, 1, parking->smarthost);
    if (parking->is_parked) {
        bind_int(query, 2, parking->at_ms / 1000);
        bind_int_unless(query, 3, parking->retry_at_s, 0);
        bind_text(query, 4, parking->class);
        bind_text(query, 5, parking->stage);
        bind_int_unless(query, 6, parking->code, 0);
        bind_text_unless_empty(query, 7, parking->enhanced);
        bind_text(query, 8, parking->reply);
        bind_text(query, 9, parking->rule);
    }
    return query_run(&store->database, query, err);
}

static bool span_write(struct store *store, const struct spool_parking *parking, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(
        &store->database, parking->is_parked ? SQL_PARKED_SPAN_OPEN : SQL_PARKED_SPAN_CLOSE);

    bind_text(query, 1, parking->smarthost);
    bind_int(query, 2, parking->at_ms / 1000);
    return query_run(&store->database, query, err);
}

bool store_parking(struct store *store, struct spool_request *request, struct error *err)
{
    const struct spool_parking *parking = (const struct spool_parking *)request;
    const struct new_event event = {
        .at_ms = parking->at_ms,
        .recipient_id = -1,
        .kind = parking->is_parked ? "parked" : "unparked",
        .smarthost = parking->smarthost,
        .stage = parking->stage,
        .class = parking->class,
        .rule = parking->rule,
        .code = parking->code,
        .enhanced = parking->enhanced,
        .reply = parking->reply,
        .uid = parking->uid,
    };
    bool is_news = false;
    bool was_parked = false;

    if (!parking_is_news(store, parking, &is_news, &was_parked, err) ||
        !smarthost_write(store, parking, err))
        return false;
    if (was_parked != parking->is_parked && !span_write(store, parking, err))
        return false;
    return !is_news || event_record(store, &event, err);
}

/* --- Summary --- */

static struct spool_smarthost *smarthost_named(struct spool_summary *summary, const char *name)
{
    for (size_t i = 0; i < summary->smarthost_count; i++)
        if (strcmp(summary->smarthosts[i].name, name) == 0)
            return &summary->smarthosts[i];
    summary->smarthosts =
        xrealloc(summary->smarthosts, summary->smarthost_count + 1, sizeof *summary->smarthosts);
    struct spool_smarthost *smarthost = &summary->smarthosts[summary->smarthost_count++];
    *smarthost = (struct spool_smarthost){ .name = xstrdup(name) };
    return smarthost;
}

static bool smarthosts_parked(struct store *store, struct spool_summary *summary, struct error *err)
{
    enum { NAME, IS_PARKED, SINCE, RETRY_AT, CLASS, STAGE, CODE, ENHANCED, REPLY, RULE };
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_SMARTHOST_ALL);
    bool has_row = true;

    while (query_step(&store->database, query, &has_row, err)) {
        if (!has_row)
            return true;
        struct spool_smarthost *smarthost = smarthost_named(summary, column_text(query, NAME));
        smarthost->is_parked = sqlite3_column_int64(query, IS_PARKED) != 0;
        smarthost->parked_since_s = sqlite3_column_int64(query, SINCE);
        smarthost->retry_at_s = sqlite3_column_int64(query, RETRY_AT);
        smarthost->class = column_text_copy(query, CLASS);
        smarthost->stage = column_text_copy(query, STAGE);
        smarthost->code = sqlite3_column_int(query, CODE);
        smarthost->enhanced = column_text_copy(query, ENHANCED);
        smarthost->reply = column_text_copy(query, REPLY);
        smarthost->rule = column_text_copy(query, RULE);
    }
    return false;
}

static bool spans_of(struct store *store, struct spool_smarthost *smarthost, int64_t from_s,
                     struct error *err)
{
    enum { FROM, UNTIL };
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_PARKED_SPAN_READ);
    bool has_row = true;

    bind_text(query, 1, smarthost->name);
    bind_int(query, 2, from_s);
    while (query_step(&store->database, query, &has_row, err)) {
        if (!has_row)
            return true;
        smarthost->spans =
            xrealloc(smarthost->spans, smarthost->span_count + 1, sizeof *smarthost->spans);
        smarthost->spans[smarthost->span_count++] = (struct spool_parked_span){
            .from_s = sqlite3_column_int64(query, FROM),
            .until_s = sqlite3_column_int64(query, UNTIL),
        };
    }
    return false;
}

static void smarthosts_counted(const struct store *store, struct spool_summary *summary)
{
    for (size_t i = 0; i < store->tally.count; i++) {
        const struct tally_row *row = &store->tally.rows[i];
        if (tally_total(&store->tally, row->smarthost, ~0U) == 0)
            continue;
        struct spool_smarthost *smarthost = smarthost_named(summary, row->smarthost);
        for (int state = 0; state < RECIPIENT_STATE_COUNT; state++)
            smarthost->counts[state] = (uint64_t)row->counts[state];
    }
}

bool store_summary(struct store *store, struct spool_request *request, struct error *err)
{
    struct spool_summary *summary = (struct spool_summary *)request;
    int64_t oldest_ms = 0;
    int64_t pages = 0;

    if (!smarthosts_parked(store, summary, err) ||
        !query_number(&store->database, SQL_MESSAGE_OLDEST_OPEN, &oldest_ms, err) ||
        !query_number(&store->database, SQL_PAGE_COUNT, &pages, err))
        return false;
    for (size_t i = 0; i < summary->smarthost_count; i++)
        if (!spans_of(store, &summary->smarthosts[i], clock_wall_s() - SPAN_KEPT_S, err))
            return false;
    smarthosts_counted(store, summary);
    summary->oldest_queued_at_s = oldest_ms / 1000;
    summary->accepted_total = store->accepted_total;
    summary->commits_total = store->commits_total;
    summary->wal_bytes = database_wal_bytes(&store->database);
    summary->database_bytes = pages * store->database.page_size;
    summary->is_full = store->is_full;
    return true;
}
