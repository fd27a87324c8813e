/* What becomes of recipients by delivery: backlog, outcomes, and what a crash left behind. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "invariant.h"
#include "query.h"
#include "xalloc.h"

enum { CRASHES_MAX = 3 };

/* Which news a recipient takes from delivery (1 << state). An administrator's word stands against everything except
   that the mail has, or may have, gone out; what has gone out stays so. */
#define NEWS_ALL  ((1U << RECIPIENT_STATE_COUNT) - 1)
#define NEWS_GONE (1U << RECIPIENT_DELIVERED | 1U << RECIPIENT_IN_DOUBT)
static const unsigned takes_news[RECIPIENT_STATE_COUNT] = {
    [RECIPIENT_QUEUED] = NEWS_ALL,  [RECIPIENT_IN_DOUBT] = NEWS_ALL,
    [RECIPIENT_HELD] = NEWS_GONE,   [RECIPIENT_CANCELLED] = NEWS_GONE,
    [RECIPIENT_FAILED] = NEWS_GONE, [RECIPIENT_EXPIRED] = NEWS_GONE,
    [RECIPIENT_DELIVERED] = 0,
};

/* NULL: nothing that people want to read about. */
static const char *event_kind(const struct spool_outcome_recipient *news)
{
    if (news->state == RECIPIENT_IN_DOUBT)
        return "in-doubt";
    if (news->state == RECIPIENT_EXPIRED)
        return "expired";
    return news->is_attempt || news->class != NULL ? "attempt" : NULL;
}

static bool outcome_event(struct store *store, const struct spool_outcome *outcome,
                          const struct spool_outcome_recipient *news, enum recipient_state state,
                          struct error *err)
{
    const struct new_event event = {
        .at_ms = outcome->at_ms,
        .key = outcome->key,
        .recipient_id = row_id(outcome->key, news->number),
        .kind = event_kind(news),
        .state = recipient_state_name(state),
        .smarthost = outcome->smarthost,
        .host = outcome->host,
        .stage = news->stage,
        .class = news->class,
        .rule = news->rule,
        .code = news->code,
        .enhanced = news->enhanced,
        .reply = news->reply,
        .duration_ms = outcome->duration_ms,
        .uid = -1,
    };

    return event.kind == NULL || event_record(store, &event, err);
}

/* before as it was read; what it becomes. */
static struct recipient apply(const struct recipient *before,
                              const struct spool_outcome_recipient *news)
{
    struct recipient after = *before;
    bool is_waiting = news->state == RECIPIENT_QUEUED || news->state == RECIPIENT_IN_DOUBT;

    after.state = news->state;
    after.waiting = news->state == RECIPIENT_QUEUED ? news->waiting : WAITING_NONE;
    after.due_at_s = is_waiting ? news->due_at_s : 0;
    if (news->smarthost != NULL)
        after.smarthost = news->smarthost;
    return after;
}

static bool outcome_of_one(struct store *store, const struct spool_outcome *outcome,
                           const struct spool_outcome_recipient *news, struct message_delta *delta,
                           struct error *err)
{
    struct recipient before = { 0 };
    int64_t id = row_id(outcome->key, news->number);

    if (!recipient_read(store, id, delta, &before, err))
        return false;
    bool takes = (takes_news[before.state] & 1U << news->state) != 0;
    struct recipient after = takes ? apply(&before, news) : before;
    if (news->is_attempt) {
        after.attempts++;
        after.crashes = 0;
    }
    bool has_result = news->is_attempt || news->class != NULL;
    bool is_ok = recipient_write(store, &before, &after, has_result ? news : NULL, outcome->at_ms,
                                 delta, err) &&
                 outcome_event(store, outcome, news, after.state, err);
    recipient_done(&before);
    return is_ok;
}

bool store_outcome(struct store *store, struct spool_request *request, struct error *err)
{
    const struct spool_outcome *outcome = (const struct spool_outcome *)request;
    struct message_delta delta = { 0 };

    for (size_t i = 0; i < outcome->recipient_count; i++)
        if (!outcome_of_one(store, outcome, &outcome->recipients[i], &delta, err))
            return false;
    return message_settle(store, outcome->key, &delta, outcome->at_ms, err);
}

/* --- After a crash --- */

static bool crashed_event(struct store *store, const struct spool_crashed *crashed,
                          const struct recipient *after, const char *kind, struct error *err)
{
    const struct new_event event = {
        .at_ms = crashed->now_ms,
        .key = crashed->key,
        .recipient_id = after->id,
        .kind = kind,
        .state = recipient_state_name(after->state),
        .smarthost = crashed->smarthost,
        .uid = -1,
    };

    return event_record(store, &event, err);
}

/* What was final before the crash stays: its outcome had been committed. */
static bool crash_of_one(struct store *store, const struct spool_crashed *crashed, int64_t id,
                         struct message_delta *delta, struct error *err)
{
    struct recipient before = { 0 };

    if (!recipient_read(store, id, delta, &before, err))
        return false;
    struct recipient after = before;
    bool is_ok = true;
    if (crashed->was_at_dot && !recipient_state_is_final(before.state)) {
        after.state = RECIPIENT_IN_DOUBT;
        after.due_at_s = crashed->is_in_doubt_held ? 0 : crashed->due_at_s;
        is_ok = recipient_write(store, &before, &after, NULL, crashed->now_ms, delta, err) &&
                crashed_event(store, crashed, &after, "in-doubt", err);
    } else if (before.state == RECIPIENT_QUEUED || before.state == RECIPIENT_IN_DOUBT) {
        after.crashes++;
        after.waiting = before.state == RECIPIENT_QUEUED ? WAITING_NOW : WAITING_NONE;
        after.due_at_s = crashed->now_ms / 1000;
        if (after.crashes >= CRASHES_MAX) {
            after.state = RECIPIENT_HELD;
            after.waiting = WAITING_NONE;
            after.due_at_s = 0;
        }
        is_ok = recipient_write(store, &before, &after, NULL, crashed->now_ms, delta, err) &&
                crashed_event(store, crashed, &after, "crashed", err);
    }
    recipient_done(&before);
    return is_ok;
}

bool store_crashed(struct store *store, struct spool_request *request, struct error *err)
{
    const struct spool_crashed *crashed = (const struct spool_crashed *)request;
    struct message_delta delta = { 0 };
    struct recipient *all = NULL;
    size_t count = 0;
    bool is_ok = true;

    for (size_t i = 0; is_ok && i < crashed->number_count; i++)
        is_ok =
            crash_of_one(store, crashed, row_id(crashed->key, crashed->numbers[i]), &delta, err);
    /* The mark had no room for the numbers: all that were to go there. */
    if (crashed->number_count == 0) {
        if (!recipients_read(store, crashed->key, &all, &count, err))
            return false;
        if (count == 0)
            return fail(err, ERROR_MISSING, "no such message");
        for (size_t i = 0; is_ok && i < count; i++)
            if (strcmp(all[i].smarthost, crashed->smarthost) == 0)
                is_ok = crash_of_one(store, crashed, all[i].id, &delta, err);
        recipients_free(all, count);
    }
    return is_ok && message_settle(store, crashed->key, &delta, crashed->now_ms, err);
}

/* --- Backlog --- */

/* Columns of due_same and due_later. */
enum due_column {
    DUE_ID,
    DUE_AT,
    DUE_STATE,
    DUE_ATTEMPTS,
    DUE_ADDRESS,
    DUE_QUEUE_ID,
    DUE_SENDER,
    DUE_HEADER_FROM,
    DUE_ACCEPTED_AT,
    DUE_SIZE,
    DUE_CHUNK_COUNT,
    DUE_IS_8BIT,
    DUE_NEEDS_SMTPUTF8,
};

static struct spool_due_message *due_message_add(struct spool_due *due, int64_t key,
                                                 sqlite3_stmt *query)
{
    due->messages = xrealloc(due->messages, due->message_count + 1, sizeof *due->messages);
    struct spool_due_message *message = &due->messages[due->message_count++];
    *message = (struct spool_due_message){
        .key = key,
        .sender = column_text_copy(query, DUE_SENDER),
        .header_from = column_text_copy(query, DUE_HEADER_FROM),
        .accepted_at_s = sqlite3_column_int64(query, DUE_ACCEPTED_AT) / 1000,
        .size_bytes = sqlite3_column_int64(query, DUE_SIZE),
        .chunk_count = (uint32_t)sqlite3_column_int64(query, DUE_CHUNK_COUNT),
        .is_8bit = sqlite3_column_int64(query, DUE_IS_8BIT) != 0,
        .needs_smtputf8 = sqlite3_column_int64(query, DUE_NEEDS_SMTPUTF8) != 0,
    };
    (void)strncpy(message->id, column_text(query, DUE_QUEUE_ID), sizeof message->id - 1);
    return message;
}

/* Recipients of one message that are due at the same time are next to each other; others make a message again. */
static bool due_row(struct spool_due *due, sqlite3_stmt *query, struct error *err)
{
    int64_t id = sqlite3_column_int64(query, DUE_ID);
    int64_t key = id >> ID_SHIFT;
    enum recipient_state state = RECIPIENT_QUEUED;

    if (!recipient_state_parse(column_text(query, DUE_STATE), &state))
        return fail(err, ERROR_DAMAGED, "unknown state %s", column_text(query, DUE_STATE));
    struct spool_due_message *message =
        due->message_count > 0 ? &due->messages[due->message_count - 1] : NULL;
    if (message == NULL || message->key != key)
        message = due_message_add(due, key, query);
    message->recipients =
        xrealloc(message->recipients, message->recipient_count + 1, sizeof *message->recipients);
    message->recipients[message->recipient_count++] = (struct spool_due_recipient){
        .number = (uint16_t)(id & UINT16_MAX),
        .attempts = (unsigned)sqlite3_column_int64(query, DUE_ATTEMPTS),
        .state = state,
        .address = column_text_copy(query, DUE_ADDRESS),
    };
    due->cursor_due_s = sqlite3_column_int64(query, DUE_AT);
    due->cursor_recipient = id;
    return true;
}

static bool due_part(struct store *store, struct spool_due *due, enum sql_query which,
                     unsigned *room, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, which);
    bool has_row = true;

    bind_text(query, 1, due->smarthost);
    bind_int(query, 2, due->cursor_due_s);
    bind_int(query, 3, due->cursor_recipient);
    bind_int(query, 4, due->now_s);
    bind_int(query, 5, *room);
    while (query_step(&store->database, query, &has_row, err)) {
        if (!has_row)
            return true;
        if (!due_row(due, query, err))
            return false;
        (*room)--;
    }
    return false;
}

static bool due_next(struct store *store, struct spool_due *due, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_DUE_NEXT);
    bool has_row = false;

    bind_text(query, 1, due->smarthost);
    bind_int(query, 2, due->now_s);
    if (!query_step(&store->database, query, &has_row, err))
        return false;
    due->next_due_at_s = has_row ? sqlite3_column_int64(query, 0) : 0;
    return true;
}

bool store_due(struct store *store, struct spool_request *request, struct error *err)
{
    struct spool_due *due = (struct spool_due *)request;
    unsigned room = due->limit;

    if (!due_part(store, due, SQL_DUE_SAME, &room, err) ||
        (room > 0 && !due_part(store, due, SQL_DUE_LATER, &room, err)))
        return false;
    due->is_end = room > 0;
    return !due->is_end || due_next(store, due, err);
}
