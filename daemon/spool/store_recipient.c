/* One recipient: reading what decides, writing what changed, and what that means for its message. */
#include "store.h"

#include <stdlib.h>

#include "cleanup.h"
#include "error.h"
#include "query.h"
#include "xalloc.h"

void recipient_done(struct recipient *recipient)
{
    free(recipient->smarthost);
    recipient->smarthost = NULL;
}

bool recipient_read(struct store *store, int64_t id, struct message_delta *delta,
                    struct recipient *ret_recipient, struct error *err)
{
    enum { STATE, SMARTHOST, ATTEMPTS, CRASHES, UNDELIVERED, CHUNK_COUNT };
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_RECIPIENT_READ);
    enum recipient_state state = RECIPIENT_QUEUED;
    bool has_row = false;

    bind_int(query, 1, id);
    if (!query_step(&store->database, query, &has_row, err))
        return false;
    if (!has_row)
        return fail(err, ERROR_MISSING, "no such recipient");
    if (!recipient_state_parse(column_text(query, STATE), &state))
        return fail(err, ERROR_DAMAGED, "unknown state %s", column_text(query, STATE));
    delta->undelivered = sqlite3_column_int64(query, UNDELIVERED);
    delta->chunk_count = sqlite3_column_int64(query, CHUNK_COUNT);
    *ret_recipient = (struct recipient){
        .id = id,
        .state = state,
        .smarthost = column_text_copy(query, SMARTHOST),
        .attempts = sqlite3_column_int64(query, ATTEMPTS),
        .crashes = sqlite3_column_int64(query, CRASHES),
    };
    return true;
}

bool recipient_write(struct store *store, const struct recipient *before,
                     const struct recipient *after, const struct spool_outcome_recipient *result,
                     int64_t now_ms, struct message_delta *delta, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query =
        query_new(&store->database, result != NULL ? SQL_RECIPIENT_RESULT : SQL_RECIPIENT_WRITE);

    bind_int(query, 1, after->id);
    bind_text(query, 2, recipient_state_name(after->state));
    bind_text(query, 3, recipient_waiting_name(after->waiting));
    bind_int_unless(query, 4, after->due_at_s, 0);
    bind_text(query, 5, after->smarthost);
    bind_int(query, 6, after->attempts);
    bind_int(query, 7, after->crashes);
    bind_int(query, 8, now_ms);
    if (result != NULL) {
        bind_text(query, 9, result->class);
        bind_int_unless(query, 10, result->code, 0);
        bind_text_unless_empty(query, 11, result->enhanced);
        bind_text(query, 12, result->reply);
        bind_text(query, 13, result->stage);
        bind_text(query, 14, result->rule);
    }
    if (!query_run(&store->database, query, err))
        return false;
    tally_add(&store->tally, before->smarthost, before->state, -1);
    tally_add(&store->tally, after->smarthost, after->state, 1);
    delta->open += recipient_state_is_final(before->state) - recipient_state_is_final(after->state);
    delta->delivered +=
        (after->state == RECIPIENT_DELIVERED) - (before->state == RECIPIENT_DELIVERED);
    return true;
}

bool recipients_read(struct store *store, int64_t key, struct recipient **ret_recipients,
                     size_t *ret_count, struct error *err)
{
    enum { ID, SMARTHOST };
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_RECIPIENT_RANGE);
    struct recipient *recipients = NULL;
    size_t count = 0;
    bool has_row = true;

    bind_int(query, 1, key);
    while (query_step(&store->database, query, &has_row, err)) {
        if (!has_row) {
            *ret_recipients = recipients;
            *ret_count = count;
            return true;
        }
        if ((count & (count - 1)) == 0) /* doubles at each power of two */
            recipients = xrealloc(recipients, count > 0 ? 2 * count : 1, sizeof *recipients);
        recipients[count++] = (struct recipient){
            .id = sqlite3_column_int64(query, ID),
            .smarthost = column_text_copy(query, SMARTHOST),
        };
    }
    recipients_free(recipients, count);
    return false;
}

void recipients_free(struct recipient *recipients, size_t count)
{
    for (size_t i = 0; i < count; i++)
        recipient_done(&recipients[i]);
    free(recipients);
}

static bool message_count(struct store *store, int64_t key, const struct message_delta *delta,
                          int64_t now_ms, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_MESSAGE_SETTLE);

    bind_int(query, 1, key);
    bind_int(query, 2, delta->open);
    bind_int(query, 3, delta->delivered);
    bind_int(query, 4, now_ms / 1000);
    return query_run(&store->database, query, err);
}

bool message_settle(struct store *store, int64_t key, const struct message_delta *delta,
                    int64_t now_ms, struct error *err)
{
    if (delta->open == 0 && delta->delivered == 0)
        return true;
    if (!message_count(store, key, delta, now_ms, err))
        return false;
    return delta->delivered < delta->undelivered ||
           body_remove(store, key, delta->chunk_count, err);
}
