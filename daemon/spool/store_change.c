/* What people do to mail: hold, release, retry, delete. */
#include "store.h"

#include <stdlib.h>

#include "error.h"
#include "query.h"
#include "xalloc.h"

#define STATE_BIT(name) (1U << RECIPIENT_##name)

/* One row per change: from which states, to which, and what the history calls it. */
static const struct change_rule {
    unsigned from; /* 1 << state */
    enum recipient_state to;
    bool needs_body;
    const char *event;
} rules[CHANGE_KIND_COUNT] = {
    [CHANGE_HOLD] = { STATE_BIT(QUEUED) | STATE_BIT(IN_DOUBT), RECIPIENT_HELD, false, "held" },
    [CHANGE_RELEASE] = { STATE_BIT(HELD), RECIPIENT_QUEUED, true, "released" },
    [CHANGE_RETRY] = { STATE_BIT(QUEUED) | STATE_BIT(IN_DOUBT) | STATE_BIT(HELD) |
                           STATE_BIT(FAILED) | STATE_BIT(EXPIRED),
                       RECIPIENT_QUEUED, true, "retried" },
    [CHANGE_DELETE] = { STATE_BIT(QUEUED) | STATE_BIT(IN_DOUBT) | STATE_BIT(HELD),
                        RECIPIENT_CANCELLED, false, "cancelled" },
};

static bool change_event(struct store *store, const struct spool_change *change, int64_t key,
                         int64_t recipient_id, struct error *err)
{
    const struct change_rule *rule = &rules[change->kind];
    const struct new_event event = {
        .at_ms = change->now_ms,
        .key = key,
        .recipient_id = recipient_id,
        .kind = rule->event,
        .state = recipient_state_name(rule->to),
        .uid = change->actor,
    };

    return event_record(store, &event, err);
}

static bool change_one(struct store *store, const struct spool_change *change, int64_t id,
                       struct message_delta *delta, struct error *err)
{
    const struct change_rule *rule = &rules[change->kind];
    struct recipient before = { 0 };

    if (!recipient_read(store, id, delta, &before, err))
        return false;
    struct recipient after = before;
    after.state = rule->to;
    after.waiting = rule->to == RECIPIENT_QUEUED ? WAITING_NOW : WAITING_NONE;
    after.due_at_s = rule->to == RECIPIENT_QUEUED ? change->now_ms / 1000 : 0;
    after.crashes = 0;
    bool is_ok = recipient_write(store, &before, &after, NULL, change->now_ms, delta, err);
    recipient_done(&before);
    return is_ok;
}

static bool is_affected(const struct change_rule *rule, const struct spool_row *row, bool is_match)
{
    return is_match && (rule->from & 1U << row->state) != 0 && (row->has_body || !rule->needs_body);
}

/* rows are all recipients of one message. */
static bool change_message(struct store *store, struct spool_change *change,
                           const struct spool_row *rows, const bool *is_match, size_t count,
                           struct error *err)
{
    const struct change_rule *rule = &rules[change->kind];
    struct message_delta delta = { 0 };
    size_t affected = 0;

    for (size_t i = 0; i < count; i++)
        affected += is_affected(rule, &rows[i], is_match[i]);
    if (affected == 0)
        return true;
    change->changed_count++;
    if (change->is_dry_run)
        return true;
    for (size_t i = 0; i < count; i++) {
        int64_t id = row_id(rows[i].key, rows[i].number);
        if (!is_affected(rule, &rows[i], is_match[i]))
            continue;
        if (!change_one(store, change, id, &delta, err) ||
            (affected < count && !change_event(store, change, rows[i].key, id, err)))
            return false;
    }
    if (affected == count && !change_event(store, change, rows[0].key, -1, err))
        return false;
    change->keys = xrealloc(change->keys, change->key_count + 1, sizeof *change->keys);
    change->keys[change->key_count++] = rows[0].key;
    return message_settle(store, rows[0].key, &delta, change->now_ms, err);
}

static bool change_all(struct store *store, struct spool_change *change, const struct scan *scan,
                       struct error *err)
{
    size_t first = 0;

    while (first < scan->row_count) {
        size_t end = first + 1;
        while (end < scan->row_count && scan->rows[end].key == scan->rows[first].key)
            end++;
        if (!change_message(store, change, &scan->rows[first], &scan->is_match[first], end - first,
                            err))
            return false;
        first = end;
    }
    return true;
}

/* Looks first and changes then: an index is not walked while it changes. cursor_key moves only with the commit. */
bool store_change(struct store *store, struct spool_request *request, struct error *err)
{
    struct spool_change *change = (struct spool_change *)request;
    struct scan scan = {
        .filter = change->filter,
        .uid = change->uid,
        .now_s = change->now_ms / 1000,
        .cursor_key = change->cursor_key,
        .message_limit = ROWS_AT_ONCE,
        .examined_max = ROWS_AT_ONCE,
    };

    change->changed_count = 0;
    change->key_count = 0;
    bool is_ok = scan_step(store, &scan, err) && change_all(store, change, &scan, err);
    change->message_count = scan.message_count;
    change->is_end = scan.is_end;
    change->next_cursor_key = scan.cursor_key;
    for (size_t i = 0; i < scan.row_count; i++)
        spool_row_done(&scan.rows[i]);
    free(scan.rows);
    free(scan.is_match);
    return is_ok;
}
