/* The history: what happened, and reading it in pages. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "invariant.h"
#include "query.h"
#include "xalloc.h"

bool event_record_accepted(struct store *store, const struct spool_submit *submit,
                           int64_t *ret_number, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_EVENT_ACCEPTED);

    bind_int(query, 1, submit->accepted_at_ms);
    bind_int(query, 2, submit->key);
    bind_int(query, 3, submit->uid);
    if (!query_run(&store->database, query, err))
        return false;
    *ret_number = sqlite3_last_insert_rowid(store->database.handle);
    return true;
}

bool event_record(struct store *store, const struct new_event *event, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_EVENT_INSERT);

    bind_int(query, 1, event->at_ms);
    bind_int_unless(query, 2, event->key, 0);
    bind_int_unless(query, 3, event->recipient_id, -1);
    bind_text(query, 4, event->kind);
    bind_text(query, 5, event->state);
    bind_text(query, 6, event->smarthost);
    bind_text(query, 7, event->host);
    bind_text(query, 8, event->stage);
    bind_text(query, 9, event->class);
    bind_text(query, 10, event->rule);
    bind_int_unless(query, 11, event->code, 0);
    bind_text_unless_empty(query, 12, event->enhanced != NULL ? event->enhanced : "");
    bind_text(query, 13, event->reply);
    bind_int_unless(query, 14, event->duration_ms, 0);
    bind_int_unless(query, 15, event->uid, -1);
    return query_run(&store->database, query, err);
}

/* Columns of the log_ queries. */
enum log_column {
    LOG_NUMBER,
    LOG_AT,
    LOG_KEY,
    LOG_QUEUE_ID,
    LOG_ADDRESS,
    LOG_KIND,
    LOG_STATE,
    LOG_SMARTHOST,
    LOG_HOST,
    LOG_STAGE,
    LOG_CLASS,
    LOG_RULE,
    LOG_CODE,
    LOG_ENHANCED,
    LOG_REPLY,
    LOG_DURATION,
    LOG_UID,
    LOG_OWNER,
};

static bool is_for(sqlite3_stmt *query, int64_t uid)
{
    if (uid == SPOOL_ANYBODY)
        return true;
    return sqlite3_column_type(query, LOG_OWNER) != SQLITE_NULL &&
           sqlite3_column_int64(query, LOG_OWNER) == uid;
}

static void log_row(struct spool_log *log, sqlite3_stmt *query)
{
    const char *id = column_text(query, LOG_QUEUE_ID);
    bool is_daemon = sqlite3_column_type(query, LOG_UID) == SQLITE_NULL;

    if ((log->event_count & (log->event_count - 1)) == 0)
        log->events = xrealloc(log->events, log->event_count > 0 ? 2 * log->event_count : 1,
                               sizeof *log->events);
    struct spool_event *event = &log->events[log->event_count++];
    *event = (struct spool_event){
        .number = sqlite3_column_int64(query, LOG_NUMBER),
        .at_ms = sqlite3_column_int64(query, LOG_AT),
        .key = sqlite3_column_int64(query, LOG_KEY),
        .kind = column_text_copy(query, LOG_KIND),
        .recipient = column_text_copy(query, LOG_ADDRESS),
        .state = column_text_copy(query, LOG_STATE),
        .smarthost = column_text_copy(query, LOG_SMARTHOST),
        .host = column_text_copy(query, LOG_HOST),
        .stage = column_text_copy(query, LOG_STAGE),
        .class = column_text_copy(query, LOG_CLASS),
        .rule = column_text_copy(query, LOG_RULE),
        .code = sqlite3_column_int(query, LOG_CODE),
        .enhanced = column_text_copy(query, LOG_ENHANCED),
        .reply = column_text_copy(query, LOG_REPLY),
        .duration_ms = sqlite3_column_int64(query, LOG_DURATION),
        .uid = is_daemon ? -1 : sqlite3_column_int64(query, LOG_UID),
    };
    if (id != NULL)
        (void)strncpy(event->id, id, sizeof event->id - 1);
}

static void reverse(struct spool_event *events, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        struct spool_event other = events[i];
        events[i] = events[count - 1 - i];
        events[count - 1 - i] = other;
    }
}

/* From the cursor on, until there are enough events, there are no more, or enough has been examined for now. */
static bool log_step(struct store *store, struct spool_log *log, int64_t key, bool *ret_is_end,
                     struct error *err)
{
    enum sql_query which = log->is_newest ? SQL_LOG_BEFORE : SQL_LOG_AFTER;
    AUTO_QUERY sqlite3_stmt *query =
        query_new(&store->database, key != 0 ? SQL_LOG_MESSAGE : which);
    bool has_row = true;

    bind_int(query, 1, log->cursor);
    if (key != 0)
        bind_int(query, 2, key);
    for (unsigned examined = 0; examined < ROWS_EXAMINED && log->event_count < log->limit;
         examined++) {
        if (!query_step(&store->database, query, &has_row, err))
            return false;
        if (!has_row)
            break;
        log->cursor = sqlite3_column_int64(query, LOG_NUMBER);
        if (is_for(query, log->uid))
            log_row(log, query);
    }
    *ret_is_end = !has_row || log->event_count >= log->limit;
    return true;
}

bool store_log(struct store *store, struct spool_request *request, struct error *err)
{
    struct spool_log *log = (struct spool_log *)request;
    int64_t key = 0;
    bool is_end = false;

    MUST(!log->is_newest || log->id[0] == '\0');
    if (log->id[0] != '\0' && !message_find(store, log->id, log->uid, &key, err))
        return false;
    if (log->id[0] != '\0' && key == 0)
        return fail(err, ERROR_MISSING, "no such message");
    if (!request->is_unfinished)
        log->cursor = log->is_newest ? INT64_MAX : log->after;
    if (!log_step(store, log, key, &is_end, err))
        return false;
    request->is_unfinished = !is_end;
    if (is_end && log->is_newest)
        reverse(log->events, log->event_count);
    return true;
}
