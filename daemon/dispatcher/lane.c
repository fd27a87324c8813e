/* Lanes: the state kept per smarthost. Decides nothing; the dispatcher does. Main thread. */
#include "lane.h"

#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "cleanup.h"
#include "config.h"
#include "invariant.h"
#include "xalloc.h"

struct lane *lane_new(const char *name, int64_t now_ms)
{
    struct lane *lane = NEW(struct lane);

    lane->name = xstrdup(name);
    circuit_init(&lane->circuit);
    TAILQ_INIT(&lane->ready);
    bucket_init(&lane->rate, (struct rate){ 0 }, now_ms);
    bucket_init(&lane->daily, (struct rate){ 0 }, now_ms);
    lane->has_backlog = true;
    return lane;
}

void lane_free(struct lane *lane)
{
    struct work *work;
    struct work *next_work;

    if (lane == NULL)
        return;
    HASH_ITER(hh, lane->works, work, next_work)
    lane_work_drop(lane, work);
    lane_senders_unpark(lane);
    free(lane->spans);
    free(lane->slots);
    free(lane->reason_rule);
    free(lane->reason_text);
    free(lane->name);
    free(lane);
}

void lane_configure(struct lane *lane, const struct smarthost_config *smarthost, int64_t now_ms)
{
    lane->smarthost = smarthost;
    if (smarthost == NULL)
        return;
    bucket_change(&lane->rate, smarthost->rate, now_ms);
    struct rate daily = { .count = (uint32_t)smarthost->daily_limit, .period_s = 86400 };
    bucket_change(&lane->daily, daily, now_ms);
}

void lane_due_message_clear(struct spool_due_message *message)
{
    for (size_t i = 0; i < message->recipient_count; i++)
        free(message->recipients[i].address);
    free(message->recipients);
    free(message->sender);
    free(message->header_from);
    *message = (struct spool_due_message){ 0 };
}

static bool has_recipient(const struct spool_due_message *message, size_t count, uint16_t number)
{
    for (size_t i = 0; i < count; i++)
        if (message->recipients[i].number == number)
            return true;
    return false;
}

/* Recipients of one message come one after the other when they are due at different times, or are too many. */
static void join(struct spool_due_message *known, struct spool_due_message *more)
{
    size_t count = known->recipient_count;

    known->recipients =
        xrealloc(known->recipients, count + more->recipient_count, sizeof *known->recipients);
    for (size_t i = 0; i < more->recipient_count; i++) {
        struct spool_due_recipient *recipient = &more->recipients[i];
        if (has_recipient(known, count, recipient->number))
            continue;
        known->recipients[known->recipient_count++] = *recipient;
        recipient->address = NULL;
    }
    lane_due_message_clear(more);
}

struct work *lane_work_add(struct lane *lane, struct spool_due_message *message, struct blob *body)
{
    struct work *work = lane_work_find(lane, message->key);

    if (work != NULL) {
        join(&work->message, message);
        return NULL;
    }
    work = NEW(struct work);
    work->message = *message;
    *message = (struct spool_due_message){ 0 };
    work->body = body != NULL ? blob_ref(body) : NULL;
    HASH_ADD(hh, lane->works, message.key, sizeof work->message.key, work);
    lane->work_count++;
    TAILQ_INSERT_TAIL(&lane->ready, work, link);
    return work;
}

struct work *lane_work_find(struct lane *lane, int64_t key)
{
    struct work *work;

    HASH_FIND(hh, lane->works, &key, sizeof key, work);
    return work;
}

void lane_work_requeue(struct lane *lane, struct work *work)
{
    MUST(work->state != WORK_READY);
    work->state = WORK_READY;
    TAILQ_INSERT_TAIL(&lane->ready, work, link);
}

void lane_work_take(struct lane *lane, struct work *work)
{
    MUST(work->state == WORK_READY);
    TAILQ_REMOVE(&lane->ready, work, link);
    work->state = WORK_IN_FLIGHT;
}

void lane_work_drop(struct lane *lane, struct work *work)
{
    if (work->state == WORK_READY)
        TAILQ_REMOVE(&lane->ready, work, link);
    HASH_DEL(lane->works, work);
    lane->work_count--;
    lane_due_message_clear(&work->message);
    blob_unref(work->body);
    free(work);
}

void lane_work_settle(struct work *work, size_t count, const bool *is_kept)
{
    struct spool_due_message *message = &work->message;
    size_t left = 0;

    MUST(count <= message->recipient_count);
    for (size_t i = 0; i < message->recipient_count; i++) {
        if (i >= count || is_kept[i])
            message->recipients[left++] = message->recipients[i];
        else
            free(message->recipients[i].address);
    }
    message->recipient_count = left;
}

void lane_slot_add(struct lane *lane, unsigned number)
{
    lane->slots = xrealloc(lane->slots, lane->slot_count + 1, sizeof *lane->slots);
    lane->slots[lane->slot_count++] = (struct lane_slot){ .number = number };
}

size_t lane_slot_free(const struct lane *lane)
{
    size_t found = SIZE_MAX;

    for (size_t i = 0; i < lane->slot_count && i < lane->smarthost->connections_max; i++) {
        const struct lane_slot *slot = &lane->slots[i];
        if (slot->is_busy)
            continue;
        if (slot->has_session)
            return i;
        if (found == SIZE_MAX)
            found = i;
    }
    return found;
}

void lane_reason_set(struct lane *lane, enum verdict_stage stage, int code, const char *enhanced,
                     const char *escaped_text)
{
    free(lane->reason_text);
    lane->reason_text = xstrdup_or_null(escaped_text);
    lane->reason_stage = stage;
    lane->reason_code = code;
    lane->reason_enhanced[0] = '\0';
    if (enhanced != NULL)
        (void)strncpy(lane->reason_enhanced, enhanced, sizeof lane->reason_enhanced - 1);
}

void lane_later_due(struct lane *lane, int64_t due_at_s)
{
    if (due_at_s > 0 && (lane->next_due_at_s == 0 || due_at_s < lane->next_due_at_s))
        lane->next_due_at_s = due_at_s;
}

void lane_backlog_note(struct lane *lane, int64_t due_at_s)
{
    lane->has_backlog = true;
    /* What lies before the cursor will be met anyway: also by a read under way, which began after due_at_s. */
    if (due_at_s > lane->cursor_due_s)
        return;
    if (lane->again_from_s == 0 || due_at_s < lane->again_from_s)
        lane->again_from_s = due_at_s;
}

static void go_to(struct lane *lane, int64_t due_s, int64_t recipient)
{
    lane->cursor_due_s = due_s;
    lane->cursor_recipient = recipient;
}

void lane_backlog_restart(struct lane *lane)
{
    lane->has_backlog = true;
    lane->is_read_stale = lane->is_reading;
    lane->again_from_s = 0;
    go_to(lane, 0, 0);
}

void lane_backlog_advance(struct lane *lane, const struct spool_due *due)
{
    bool was_stale = lane->is_read_stale;

    lane->is_reading = false;
    lane->is_read_stale = false;
    if (due->is_end)
        lane_later_due(lane, due->next_due_at_s);
    if (was_stale)
        return;
    if (!due->is_end) {
        go_to(lane, due->cursor_due_s, due->cursor_recipient);
        return;
    }
    lane->has_backlog = lane->again_from_s > 0;
    go_to(lane, lane->has_backlog ? lane->again_from_s - 1 : 0, 0);
    lane->again_from_s = 0;
}

void lane_backlog_fail(struct lane *lane, int64_t retry_at_s)
{
    lane->is_reading = false;
    lane->is_read_stale = false;
    lane->has_backlog = false;
    lane->again_from_s = 0;
    go_to(lane, 0, 0);
    lane_later_due(lane, retry_at_s);
}

void lane_parked(struct lane *lane, int64_t now_s)
{
    lane->spans = xrealloc(lane->spans, lane->span_count + 1, sizeof(struct spool_parked_span));
    lane->spans[lane->span_count++] = (struct spool_parked_span){ .from_s = now_s };
}

void lane_unparked(struct lane *lane, int64_t now_s)
{
    if (lane->span_count > 0 && lane->spans[lane->span_count - 1].until_s == 0)
        lane->spans[lane->span_count - 1].until_s = now_s;
}

int64_t lane_age_s(const struct lane *lane, int64_t accepted_at_s, int64_t now_s)
{
    int64_t age_s = now_s - accepted_at_s;

    for (size_t i = 0; i < lane->span_count; i++) {
        const struct spool_parked_span *span = &lane->spans[i];
        int64_t from_s = span->from_s > accepted_at_s ? span->from_s : accepted_at_s;
        int64_t until_s = span->until_s > 0 && span->until_s < now_s ? span->until_s : now_s;
        if (until_s > from_s)
            age_s -= until_s - from_s;
    }
    return age_s;
}

void lane_sender_park(struct lane *lane, const char *sender, int64_t until_s)
{
    struct parked_sender *parked;

    HASH_FIND_STR(lane->parked_senders, sender, parked);
    if (parked == NULL) {
        parked = xcalloc(1, sizeof *parked + strlen(sender) + 1);
        (void)strcpy(parked->sender, sender);
        HASH_ADD_STR(lane->parked_senders, sender, parked);
    }
    parked->until_s = until_s;
}

void lane_sender_unpark(struct lane *lane, const char *sender)
{
    struct parked_sender *parked;

    HASH_FIND_STR(lane->parked_senders, sender, parked);
    if (parked == NULL)
        return;
    HASH_DEL(lane->parked_senders, parked);
    free(parked);
}

void lane_senders_unpark(struct lane *lane)
{
    struct parked_sender *parked;
    struct parked_sender *next;

    HASH_ITER(hh, lane->parked_senders, parked, next)
    {
        HASH_DEL(lane->parked_senders, parked);
        free(parked);
    }
}

int64_t lane_sender_parked_until(struct lane *lane, const char *sender, int64_t now_s)
{
    struct parked_sender *parked;

    HASH_FIND_STR(lane->parked_senders, sender, parked);
    if (parked == NULL)
        return 0;
    if (parked->until_s > now_s)
        return parked->until_s;
    lane_sender_unpark(lane, sender);
    return 0;
}
