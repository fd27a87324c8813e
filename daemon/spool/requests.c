/* Making and releasing requests. Texts in them are theirs, except those that spool.h calls static. */
#include "spool.h"

#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "store.h"
#include "xalloc.h"

/* --- Intake --- */

struct spool_submit *spool_submit_new(size_t recipient_count)
{
    struct spool_submit *submit = NEW(struct spool_submit);

    submit->recipient_count = recipient_count;
    submit->recipients = xcalloc(recipient_count, sizeof *submit->recipients);
    return submit;
}

void spool_submit_free(struct spool_submit *submit)
{
    if (submit == NULL)
        return;
    for (size_t i = 0; i < submit->recipient_count; i++) {
        free(submit->recipients[i].address);
        free(submit->recipients[i].smarthost);
    }
    free(submit->recipients);
    blob_unref(submit->last_chunk);
    free(submit->sender);
    free(submit->header_from);
    free(submit->user);
    free(submit->tag);
    free(submit);
}

struct spool_chunk *spool_chunk_new(int64_t key, uint32_t index, struct blob *data)
{
    struct spool_chunk *chunk = NEW(struct spool_chunk);

    chunk->key = key;
    chunk->index = index;
    chunk->data = data;
    return chunk;
}

void spool_chunk_free(struct spool_chunk *chunk)
{
    if (chunk == NULL)
        return;
    blob_unref(chunk->data);
    free(chunk);
}

/* --- Delivery --- */

struct spool_outcome *spool_outcome_new(size_t recipient_count)
{
    struct spool_outcome *outcome = NEW(struct spool_outcome);

    outcome->recipient_count = recipient_count;
    outcome->recipients = xcalloc(recipient_count, sizeof *outcome->recipients);
    return outcome;
}

void spool_outcome_free(struct spool_outcome *outcome)
{
    if (outcome == NULL)
        return;
    for (size_t i = 0; i < outcome->recipient_count; i++) {
        free(outcome->recipients[i].smarthost);
        free(outcome->recipients[i].reply);
    }
    free(outcome->recipients);
    free(outcome->smarthost);
    free(outcome->host);
    free(outcome);
}

struct spool_due *spool_due_new(const char *smarthost, int64_t now_s, unsigned limit)
{
    struct spool_due *due = NEW(struct spool_due);

    due->smarthost = xstrdup(smarthost);
    due->now_s = now_s;
    due->limit = limit;
    return due;
}

static void due_message_done(struct spool_due_message *message)
{
    for (size_t i = 0; i < message->recipient_count; i++)
        free(message->recipients[i].address);
    free(message->recipients);
    free(message->sender);
    free(message->header_from);
}

void spool_due_free(struct spool_due *due)
{
    if (due == NULL)
        return;
    for (size_t i = 0; i < due->message_count; i++)
        due_message_done(&due->messages[i]);
    free(due->messages);
    free(due->smarthost);
    free(due);
}

struct spool_crashed *spool_crashed_new(int64_t key, size_t number_count)
{
    struct spool_crashed *crashed = NEW(struct spool_crashed);

    crashed->key = key;
    crashed->number_count = number_count;
    crashed->numbers = xcalloc(number_count, sizeof *crashed->numbers);
    return crashed;
}

void spool_crashed_free(struct spool_crashed *crashed)
{
    if (crashed == NULL)
        return;
    free(crashed->numbers);
    free(crashed->smarthost);
    free(crashed);
}

/* --- People --- */

struct spool_list *spool_list_new(struct filter *filter, int64_t uid, int64_t now_s,
                                  unsigned message_limit)
{
    struct spool_list *list = NEW(struct spool_list);

    list->filter = filter;
    list->uid = uid;
    list->now_s = now_s;
    list->message_limit = message_limit;
    return list;
}

void spool_list_clear(struct spool_list *list)
{
    for (size_t i = 0; i < list->row_count; i++)
        spool_row_done(&list->rows[i]);
    free(list->rows);
    list->rows = NULL;
    list->row_count = 0;
}

void spool_list_free(struct spool_list *list)
{
    if (list == NULL)
        return;
    spool_list_clear(list);
    free(list);
}

struct spool_change *spool_change_new(struct filter *filter, enum spool_change_kind kind,
                                      int64_t uid, uid_t actor)
{
    struct spool_change *change = NEW(struct spool_change);

    change->filter = filter;
    change->kind = kind;
    change->uid = uid;
    change->actor = actor;
    return change;
}

void spool_change_free(struct spool_change *change)
{
    if (change == NULL)
        return;
    free(change->keys);
    free(change);
}

struct spool_log *spool_log_new(const char *id, int64_t uid, int64_t after, unsigned limit)
{
    struct spool_log *log = NEW(struct spool_log);

    /* One that is longer than any of ours must not be cut to one of ours. */
    (void)strncpy(log->id, strlen(id) <= QUEUE_ID_LEN ? id : "?", sizeof log->id - 1);
    log->uid = uid;
    log->after = after;
    log->limit = limit;
    return log;
}

static void event_done(struct spool_event *event)
{
    free(event->kind);
    free(event->recipient);
    free(event->state);
    free(event->smarthost);
    free(event->host);
    free(event->stage);
    free(event->class);
    free(event->rule);
    free(event->enhanced);
    free(event->reply);
}

void spool_log_free(struct spool_log *log)
{
    if (log == NULL)
        return;
    for (size_t i = 0; i < log->event_count; i++)
        event_done(&log->events[i]);
    free(log->events);
    free(log);
}

/* --- Smarthosts --- */

struct spool_parking *spool_parking_new(const char *smarthost, bool is_parked)
{
    struct spool_parking *parking = NEW(struct spool_parking);

    parking->smarthost = xstrdup(smarthost);
    parking->is_parked = is_parked;
    parking->uid = -1;
    return parking;
}

void spool_parking_free(struct spool_parking *parking)
{
    if (parking == NULL)
        return;
    free(parking->smarthost);
    free(parking->reply);
    free(parking);
}

struct spool_summary *spool_summary_new(void)
{
    return NEW(struct spool_summary);
}

static void smarthost_done(struct spool_smarthost *smarthost)
{
    free(smarthost->name);
    free(smarthost->class);
    free(smarthost->stage);
    free(smarthost->enhanced);
    free(smarthost->reply);
    free(smarthost->rule);
    free(smarthost->spans);
}

void spool_summary_free(struct spool_summary *summary)
{
    if (summary == NULL)
        return;
    for (size_t i = 0; i < summary->smarthost_count; i++)
        smarthost_done(&summary->smarthosts[i]);
    free(summary->smarthosts);
    free(summary);
}
