/* Opening, closing, and what has to be done now and then, in steps so small that nobody waits for them. */
#include "store.h"

#include <stdlib.h>

#include "error.h"
#include "query.h"

enum {
    DAY_S = 24 * 3600,
    BODY_KEPT_S = DAY_S, /* after the last recipient became final */
    SPAN_KEPT_S = 60 * DAY_S,
    HISTORY_DEFAULT_S = 30 * DAY_S,
    TRIM_EVERY_S = 3600,
    MESSAGES_LOOKED_AT = 200,
    CHUNK_COST = ROWS_AT_ONCE / CHUNKS_AT_ONCE + 1,
    /* Unused pages up to here are kept for the next message: growing a file costs more than leaving it. */
    FREE_BYTES_KEPT = 16 * 1024 * 1024,
};

static bool run_plain(struct store *store, enum sql_query which, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, which);

    return query_run(&store->database, query, err);
}

static bool run_for(struct store *store, enum sql_query which, int64_t key, int64_t *ret_changes,
                    struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, which);

    bind_int(query, 1, key);
    if (sqlite3_bind_parameter_count(query) > 1)
        bind_int(query, 2, which == SQL_CHUNK_DELETE ? CHUNKS_AT_ONCE : ROWS_AT_ONCE);
    if (!query_run(&store->database, query, err))
        return false;
    *ret_changes = sqlite3_changes64(store->database.handle);
    return true;
}

/* --- Steps: each does a little and says what that cost, in rows touched; 0: there was nothing to do --- */

static bool loose_body_find(struct store *store, int64_t *ret_key, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_LOOSE_BODY_NEXT);
    bool has_row = false;

    bind_int(query, 1, store->first_key);
    if (!query_step(&store->database, query, &has_row, err))
        return false;
    *ret_key = has_row ? sqlite3_column_int64(query, 0) : 0;
    return true;
}

static bool purge_loose_body(struct store *store, const struct spool_upkeep *upkeep, int64_t *cost,
                             struct error *err)
{
    int64_t key = 0;
    int64_t chunks = 0;
    int64_t ignored = 0;

    (void)upkeep;
    if (!loose_body_find(store, &key, err))
        return false;
    if (key == 0)
        return true;
    if (!run_for(store, SQL_CHUNK_DELETE, key, &chunks, err))
        return false;
    *cost += 1 + chunks * CHUNK_COST;
    return chunks >= CHUNKS_AT_ONCE || (run_for(store, SQL_HIGH_WATER_RAISE, key, &ignored, err) &&
                                        run_for(store, SQL_LOOSE_BODY_DELETE, key, &ignored, err));
}

static bool body_forget(struct store *store, int64_t key, struct error *err)
{
    int64_t ignored = 0;

    return run_for(store, SQL_MESSAGE_BODY_FORGET, key, &ignored, err) &&
           body_loosen(store, key, false, err);
}

static bool expire_body(struct store *store, const struct spool_upkeep *upkeep, int64_t *cost,
                        struct error *err)
{
    int64_t key = 0;

    {
        AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_MESSAGE_BODY_EXPIRED);
        bool has_row = false;
        bind_int(query, 1, upkeep->now_s - BODY_KEPT_S);
        if (!query_step(&store->database, query, &has_row, err))
            return false;
        key = has_row ? sqlite3_column_int64(query, 0) : 0;
    }
    if (key == 0)
        return true;
    *cost += 2;
    return body_forget(store, key, err);
}

static bool recipients_delete(struct store *store, int64_t key, int64_t *ret_count,
                              struct error *err)
{
    enum { SMARTHOST, STATE };
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_RECIPIENT_DELETE);
    bool has_row = true;

    bind_int(query, 1, key);
    bind_int(query, 2, ROWS_AT_ONCE);
    for (*ret_count = 0; query_step(&store->database, query, &has_row, err); (*ret_count)++) {
        enum recipient_state state = RECIPIENT_QUEUED;
        if (!has_row)
            return true;
        if (!recipient_state_parse(column_text(query, STATE), &state))
            return fail(err, ERROR_DAMAGED, "unknown state %s", column_text(query, STATE));
        tally_add(&store->tally, column_text(query, SMARTHOST), state, -1);
    }
    return false;
}

/* Body, events, recipients, then the message itself. */
static bool message_trim(struct store *store, int64_t key, bool has_body, int64_t *cost,
                         struct error *err)
{
    int64_t events = 0;
    int64_t recipients = 0;
    int64_t ignored = 0;

    if (has_body && !body_forget(store, key, err))
        return false;
    if (!run_for(store, SQL_EVENT_DELETE, key, &events, err))
        return false;
    *cost += 1 + events;
    if (events >= ROWS_AT_ONCE)
        return true;
    if (!recipients_delete(store, key, &recipients, err))
        return false;
    *cost += recipients;
    return recipients >= ROWS_AT_ONCE ||
           (run_for(store, SQL_HIGH_WATER_RAISE, key, &ignored, err) &&
            run_for(store, SQL_EVENT_DELETE_ACCEPTED, key, &ignored, err) &&
            run_for(store, SQL_MESSAGE_DELETE, key, &ignored, err));
}

/* Finds the next message that has been final for too long; *ret_key 0: none among those looked at. One from the future
   is no end: it was accepted while the clock was wrong. */
static bool old_message_find(struct store *store, int64_t now_s, int64_t *ret_key,
                             bool *ret_has_body, bool *ret_is_end, struct error *err)
{
    enum { KEY, ACCEPTED_AT, FINAL_AT, HAS_BODY };
    int64_t until_s = now_s - store->history_s;
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_MESSAGE_OLDEST);
    bool has_row = true;

    bind_int(query, 1, store->trim_cursor);
    bind_int(query, 2, MESSAGES_LOOKED_AT);
    for (int i = 0; i < MESSAGES_LOOKED_AT; i++) {
        if (!query_step(&store->database, query, &has_row, err))
            return false;
        int64_t accepted_at_s = has_row ? sqlite3_column_int64(query, ACCEPTED_AT) / 1000 : now_s;
        *ret_is_end = !has_row || (accepted_at_s > until_s && accepted_at_s <= now_s);
        if (*ret_is_end)
            return true;
        if (sqlite3_column_type(query, FINAL_AT) != SQLITE_NULL &&
            sqlite3_column_int64(query, FINAL_AT) <= until_s) {
            *ret_key = sqlite3_column_int64(query, KEY);
            *ret_has_body = sqlite3_column_int64(query, HAS_BODY) != 0;
            return true;
        }
        store->trim_cursor = sqlite3_column_int64(query, KEY);
    }
    return true;
}

static bool trim_messages(struct store *store, const struct spool_upkeep *upkeep, int64_t *cost,
                          struct error *err)
{
    int64_t key = 0;
    bool has_body = false;
    bool is_end = false;

    int64_t pause_s = store->trim_after_s - upkeep->now_s;
    if (pause_s > 0 && pause_s <= TRIM_EVERY_S) /* more: the clock was put back */
        return true;
    if (!old_message_find(store, upkeep->now_s, &key, &has_body, &is_end, err))
        return false;
    if (is_end) {
        store->trim_cursor = 0;
        store->trim_after_s = upkeep->now_s + TRIM_EVERY_S;
        return true;
    }
    if (key != 0)
        return message_trim(store, key, has_body, cost, err);
    *cost += MESSAGES_LOOKED_AT;
    return true;
}

static bool trim_events(struct store *store, const struct spool_upkeep *upkeep, int64_t *cost,
                        struct error *err)
{
    return run_for(store, SQL_EVENT_TRIM, (upkeep->now_s - store->history_s) * 1000, cost, err);
}

static bool trim_spans(struct store *store, const struct spool_upkeep *upkeep, int64_t *cost,
                       struct error *err)
{
    int64_t ignored = 0;

    (void)cost; /* there are few, and always all are removed */
    return run_for(store, SQL_PARKED_SPAN_TRIM, upkeep->now_s - SPAN_KEPT_S, &ignored, err);
}

static bool vacuum(struct store *store, const struct spool_upkeep *upkeep, int64_t *cost,
                   struct error *err)
{
    int64_t pages = 0;

    if (!upkeep->is_idle)
        return true;
    if (!query_number(&store->database, SQL_FREELIST_COUNT, &pages, err))
        return false;
    if (pages * store->database.page_size <= FREE_BYTES_KEPT)
        return true;
    *cost += ROWS_AT_ONCE;
    return run_plain(store, SQL_VACUUM_STEP, err);
}

static bool (*const steps[])(struct store *, const struct spool_upkeep *, int64_t *,
                             struct error *) = {
    purge_loose_body, expire_body, trim_messages, trim_events, trim_spans, vacuum,
};

bool store_upkeep(struct store *store, struct spool_request *request, struct error *err)
{
    struct spool_upkeep *upkeep = (struct spool_upkeep *)request;
    int64_t spent = 0;

    for (size_t i = 0; spent < ROWS_AT_ONCE && i < sizeof steps / sizeof steps[0];) {
        int64_t cost = 0;
        if (!steps[i](store, upkeep, &cost, err))
            return false;
        spent += cost;
        i += cost == 0;
    }
    upkeep->has_more = spent > 0;
    return true;
}

/* --- Opening and closing --- */

bool store_open(struct store *store, const char *state_directory, struct error *err)
{
    store->history_s = HISTORY_DEFAULT_S;
    if (!database_open(&store->database, state_directory, err) ||
        !tally_load(&store->tally, &store->database, err) ||
        !store_key_highest(store, &store->first_key, err))
        return false;
    store->first_key++;
    return true;
}

void store_close(struct store *store)
{
    database_close(&store->database);
    tally_done(&store->tally);
}
