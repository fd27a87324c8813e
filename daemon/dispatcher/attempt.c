/* One transaction from the dispatcher's side: the order, what its end means for each recipient, and the commit of
   that. The slot serves the next message meanwhile; the inflight mark stays until the outcome is on disk. Main thread. */
#include "dispatcher_private.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "cleanup.h"
#include "clock.h"
#include "config.h"
#include "delivery.h"
#include "escape.h"
#include "invariant.h"
#include "log.h"
#include "xalloc.h"

#define MARK_NONE UINT_MAX

/* An order under way, and then its outcome until it is committed. */
struct flight {
    struct recording recording;
    struct dispatcher *dispatcher;
    struct lane *lane;
    struct work *work;
    size_t slot;    /* of the lane, until the order is back */
    unsigned mark;  /* MARK_NONE: no order, no mark */
    size_t count;   /* the first recipients of the work */
    bool *is_kept;  /* per recipient: still to do, here and now */
    unsigned probe; /* its number in the lane; 0: none */
};

static void flight_free(struct flight *flight)
{
    if (flight == NULL)
        return;
    free(flight->is_kept);
    free(flight);
}

static struct flight *flight_new(struct dispatcher *dispatcher, struct lane *lane,
                                 struct work *work, size_t count)
{
    struct flight *flight = NEW(struct flight);

    flight->dispatcher = dispatcher;
    flight->lane = lane;
    flight->work = work;
    flight->mark = MARK_NONE;
    flight->count = count;
    flight->is_kept = xcalloc(count, sizeof *flight->is_kept);
    return flight;
}

static void slot_take(struct flight *flight, size_t slot, struct delivery_order *order)
{
    struct lane *lane = flight->lane;

    flight->slot = slot;
    order->slot = lane->slots[slot].number;
    lane->slots[slot].is_busy = true;
    lane->busy_count++;
}

static void slot_release(struct flight *flight, bool has_session)
{
    struct lane *lane = flight->lane;

    lane->slots[flight->slot].has_session = has_session;
    lane->slots[flight->slot].is_busy = false;
    lane->busy_count--;
}

static void mark_take(struct flight *flight, struct delivery_order *order)
{
    struct dispatcher *dispatcher = flight->dispatcher;

    MUST(dispatcher->free_mark_count > 0);
    flight->mark = dispatcher->free_marks[--dispatcher->free_mark_count];
    order->mark = flight->mark;
}

static void mark_release(struct flight *flight)
{
    struct dispatcher *dispatcher = flight->dispatcher;

    if (flight->mark == MARK_NONE)
        return;
    delivery_mark_committed(dispatcher->with.delivery, flight->mark);
    dispatcher->free_marks[dispatcher->free_mark_count++] = flight->mark;
}

/* The transaction is over and whatever it changed is on disk: on with the rest of the message. */
static void land(struct flight *flight)
{
    struct dispatcher *dispatcher = flight->dispatcher;
    struct work *work = flight->work;

    mark_release(flight);
    lane_work_settle(work, flight->count, flight->is_kept);
    if (work->is_stale)
        lane_backlog_restart(flight->lane);
    if (work->message.recipient_count == 0 || work->is_stale)
        dispatcher_work_drop(dispatcher, flight->lane, work);
    else
        lane_work_requeue(flight->lane, work);
    flight_free(flight);
    dispatcher_pump(dispatcher);
}

/* Only now is it in the spool: a due time that came up before must be looked at again, here or where it went. */
static void note_due(const struct flight *flight, const struct spool_outcome *outcome)
{
    for (size_t i = 0; i < outcome->recipient_count; i++) {
        const struct spool_outcome_recipient *recipient = &outcome->recipients[i];
        if (recipient->smarthost == NULL)
            lane_later_due(flight->lane, recipient->due_at_s);
        else
            lane_backlog_note(dispatcher_lane_get(flight->dispatcher, recipient->smarthost),
                              recipient->due_at_s);
    }
}

static void on_recorded(struct spool_request *request)
{
    struct flight *flight = request->ctx;
    struct spool_outcome *outcome = (struct spool_outcome *)request;

    if (!recording_is_stored(&flight->recording))
        return;
    /* A message that is gone has nothing left to do either. */
    flight->work->is_stale = flight->work->is_stale || !request->is_ok;
    note_due(flight, outcome);
    spool_outcome_free(outcome);
    land(flight);
}

static void post_outcome(struct spool *spool, struct spool_request *request)
{
    spool_outcome_record(spool, (struct spool_outcome *)request);
}

static void drop_outcome(struct recording *recording)
{
    struct flight *flight = recording->request->ctx;

    spool_outcome_free((struct spool_outcome *)recording->request);
    flight_free(flight);
}

static void record(struct flight *flight, struct spool_outcome *outcome)
{
    outcome->request.done = on_recorded;
    outcome->request.ctx = flight;
    flight->work->state = WORK_SETTLING;
    flight->recording = (struct recording){ .dispatcher = flight->dispatcher,
                                            .request = &outcome->request,
                                            .post = post_outcome,
                                            .drop = drop_outcome };
    recording_start(&flight->recording);
}

static void log_outcome(const struct flight *flight, const struct delivery_order *order,
                        const struct delivery_recipient *recipient,
                        const struct settlement *settlement)
{
    char code[16] = "";
    char next[UNITS_TEXT_SIZE] = "";
    char seconds[UNITS_TEXT_SIZE];
    const char *event = settlement->state == RECIPIENT_QUEUED
                            ? "deferred"
                            : recipient_state_name(settlement->state);
    int64_t now_ms = clock_wall_ms();

    if (recipient->code > 0)
        (void)snprintf(code, sizeof code, "%d", recipient->code);
    if (settlement->due_at_s > 0)
        units_format_duration(next, settlement->due_at_s - now_ms / 1000);
    units_format_duration(seconds, now_ms / 1000 - flight->work->message.accepted_at_s);
    char attempts[16];
    (void)snprintf(attempts, sizeof attempts, "%u", recipient->attempts + 1);
    log_event(LOG_LEVEL_INFO, order->id, event, "recipient", recipient->address, "sender",
              order->sender, "smarthost", flight->lane->name, "host", order->host, "stage",
              recipient->verdict.is_success ? NULL : verdict_stage_name(recipient->stage), "class",
              verdict_class_name(recipient->verdict.class), "code", code[0] ? code : NULL,
              "enhanced", recipient->enhanced[0] ? recipient->enhanced : NULL, "reply",
              recipient->reply, "attempts", attempts, "age", seconds, "next", next[0] ? next : NULL,
              NULL);
}

static void count(struct lane *lane, enum recipient_state state)
{
    if (state == RECIPIENT_DELIVERED)
        lane->delivered++;
    else if (state == RECIPIENT_QUEUED || state == RECIPIENT_IN_DOUBT)
        lane->deferred++;
    else
        lane->failed++;
}

static void fill_recipient(struct spool_outcome_recipient *record,
                           const struct delivery_recipient *recipient,
                           const struct settlement *settlement)
{
    record->number = recipient->number;
    record->state = settlement->state;
    record->waiting = settlement->waiting;
    record->due_at_s = settlement->due_at_s;
    record->is_attempt = settlement->is_attempt;
    record->class = verdict_class_name(recipient->verdict.class);
    record->code = recipient->code;
    (void)memcpy(record->enhanced, recipient->enhanced, sizeof record->enhanced);
    record->reply = recipient->reply != NULL ? escape_text(recipient->reply) : NULL;
    record->stage = verdict_stage_name(recipient->stage);
    record->rule = recipient->verdict.rule;
}

static struct settlement decide(const struct flight *flight, const struct delivery_order *order,
                                const struct delivery_recipient *recipient)
{
    const struct config *config = flight->dispatcher->with.config;
    const struct settle_policy policy = { .retry = config->retry,
                                          .lifetime_s = config->message_lifetime_s,
                                          .in_doubt_delay_s = config->in_doubt_delay_s,
                                          .is_in_doubt_held = config->is_in_doubt_held };
    int64_t now_s = clock_wall_s();
    const struct settle_question question = {
        .recipient = recipient,
        .age_s = lane_age_s(flight->lane, flight->work->message.accepted_at_s, now_s),
        .now_s = now_s,
        .random = recipient->result == DELIVERY_REFUSED ? lane_health_chance() : 0,
        .was_alone = order->recipient_count == 1,
    };

    return settle(&policy, &question);
}

/* Consequences beyond this recipient: a parked sender, smaller transactions. */
static void note_consequences(struct flight *flight, const struct delivery_order *order,
                              const struct delivery_recipient *recipient,
                              const struct settlement *settlement)
{
    if (recipient->result == DELIVERY_DONE)
        lane_sender_unpark(flight->lane, order->sender);
    if (settlement->state == RECIPIENT_QUEUED && settlement->waiting == WAITING_SENDER)
        lane_sender_park(flight->lane, order->sender, settlement->due_at_s);
    count(flight->lane, settlement->state);
}

/* Every transaction of this message breaks while those of others may pass: charge the message. */
static void charge_untried(struct work *work, struct delivery_order *order)
{
    if (!order->has_trouble || !order->was_connected || order->trouble.scope == SCOPE_ACCOUNT ||
        order->trouble_stage == STAGE_ANY || ++work->untried < LANE_UNTRIED_MAX)
        return;
    work->untried = 0;
    for (size_t i = 0; i < order->recipient_count; i++) {
        struct delivery_recipient *recipient = &order->recipients[i];
        if (recipient->result != DELIVERY_UNTRIED)
            continue;
        recipient->result = DELIVERY_REFUSED;
        recipient->verdict = order->trouble;
        recipient->verdict.is_permanent = false;
        recipient->verdict.scope = SCOPE_MESSAGE;
        recipient->verdict.action = ACTION_RETRY;
        recipient->stage = order->trouble_stage;
        recipient->code = order->trouble_code;
        (void)memcpy(recipient->enhanced, order->trouble_enhanced, sizeof recipient->enhanced);
        recipient->reply = xstrdup_or_null(order->trouble_text);
    }
}

static void shrink_slice(struct work *work, const struct delivery_order *order)
{
    size_t accepted = 0;
    size_t split = 0;

    for (size_t i = 0; i < order->recipient_count; i++) {
        accepted += order->recipients[i].result == DELIVERY_DONE;
        split += order->recipients[i].result == DELIVERY_REFUSED &&
                 order->recipients[i].verdict.action == ACTION_SPLIT;
    }
    if (split > 0)
        work->slice_max = accepted > 0 ? accepted : (order->recipient_count + 1) / 2;
}

/* Builds the outcome of what was decided; recipients that go on here and now are only marked as kept. */
static struct spool_outcome *settle_order(struct flight *flight, struct delivery_order *order)
{
    struct spool_outcome *outcome = spool_outcome_new(order->recipient_count);
    size_t settled = 0;

    for (size_t i = 0; i < order->recipient_count; i++) {
        const struct delivery_recipient *recipient = &order->recipients[i];
        if (recipient->result == DELIVERY_UNTRIED) {
            flight->is_kept[i] = true;
            continue;
        }
        struct settlement settlement = decide(flight, order, recipient);
        flight->is_kept[i] =
            settlement.state == RECIPIENT_QUEUED && settlement.waiting == WAITING_NOW;
        if (flight->is_kept[i])
            continue;
        fill_recipient(&outcome->recipients[settled++], recipient, &settlement);
        note_consequences(flight, order, recipient, &settlement);
        log_outcome(flight, order, recipient, &settlement);
    }
    outcome->recipient_count = settled;
    outcome->key = order->key;
    outcome->at_ms = clock_wall_ms();
    outcome->duration_ms = order->duration_ms;
    outcome->smarthost = xstrdup(flight->lane->name);
    outcome->host = xstrdup_or_null(order->host);
    return outcome;
}

/* Not one that was overtaken: unparked, in trouble again, and the next probe is out. */
static bool is_probe(const struct flight *flight)
{
    const struct lane *lane = flight->lane;

    return lane->circuit.is_probing && flight->probe == lane->probes_started;
}

static void on_order_done(struct delivery_order *order)
{
    struct flight *flight = order->ctx;
    struct dispatcher *dispatcher = flight->dispatcher;
    bool is_stopped =
        order->has_trouble && order->trouble.scope == SCOPE_CONNECTION && dispatcher->is_stopping;

    dispatcher->orders_out--;
    slot_release(flight, order->is_session_open);
    if (is_stopped) {
        flight->lane->circuit.is_probing = false;
    } else {
        lane_health_note(dispatcher, flight->lane, order, is_probe(flight));
        charge_untried(flight->work, order);
    }
    shrink_slice(flight->work, order);
    struct spool_outcome *outcome = settle_order(flight, order);
    delivery_order_free(order);
    if (outcome->recipient_count == 0) {
        spool_outcome_free(outcome);
        land(flight);
        return;
    }
    record(flight, outcome);
    dispatcher_pump(dispatcher);
}

static struct delivery_order *order_new(const struct dispatcher *dispatcher,
                                        const struct lane *lane, const struct work *work,
                                        size_t recipient_count)
{
    const struct spool_due_message *message = &work->message;
    struct delivery_order *order =
        delivery_order_new(dispatcher->with.config, lane->smarthost, recipient_count);

    order->key = message->key;
    (void)memcpy(order->id, message->id, sizeof order->id);
    order->sender = xstrdup(message->sender);
    order->size_bytes = message->size_bytes;
    order->is_8bit = message->is_8bit;
    order->needs_smtputf8 = message->needs_smtputf8;
    order->chunk_count = message->chunk_count;
    order->body = work->body != NULL ? blob_ref(work->body) : NULL;
    for (size_t i = 0; i < recipient_count; i++) {
        order->recipients[i].number = message->recipients[i].number;
        order->recipients[i].address = xstrdup(message->recipients[i].address);
        order->recipients[i].attempts = message->recipients[i].attempts;
    }
    return order;
}

void attempt_start(struct dispatcher *dispatcher, struct lane *lane, struct work *work, size_t slot)
{
    size_t recipient_count = work->message.recipient_count;

    if (recipient_count > lane->smarthost->recipients_max)
        recipient_count = lane->smarthost->recipients_max;
    if (work->slice_max > 0 && recipient_count > work->slice_max)
        recipient_count = work->slice_max;
    MUST(recipient_count > 0);
    struct flight *flight = flight_new(dispatcher, lane, work, recipient_count);
    struct delivery_order *order = order_new(dispatcher, lane, work, recipient_count);
    order->reply_to = dispatcher->with.mailbox;
    order->done = on_order_done;
    order->ctx = flight;
    slot_take(flight, slot, order);
    mark_take(flight, order);
    if (lane->circuit.state != CIRCUIT_CLOSED) {
        flight->probe = ++lane->probes_started;
        circuit_probe_started(&lane->circuit);
    }
    lane_work_take(lane, work);
    bucket_take(&lane->rate);
    bucket_take(&lane->daily);
    dispatcher->orders_out++;
    delivery_order_start(dispatcher->with.delivery, TAKE(order));
}

void attempt_settle_untried(struct dispatcher *dispatcher, struct lane *lane, struct work *work,
                            const struct settlement *settlement, const char *const *to_smarthosts)
{
    const struct spool_due_message *message = &work->message;
    struct flight *flight = flight_new(dispatcher, lane, work, message->recipient_count);
    struct spool_outcome *outcome = spool_outcome_new(message->recipient_count);

    for (size_t i = 0; i < message->recipient_count; i++) {
        struct spool_outcome_recipient *record = &outcome->recipients[i];
        const char *to_smarthost = to_smarthosts != NULL ? to_smarthosts[i] : NULL;
        record->number = message->recipients[i].number;
        record->state = settlement->state;
        record->waiting = settlement->waiting;
        record->due_at_s = settlement->due_at_s;
        record->smarthost = xstrdup_or_null(to_smarthost);
        log_event(LOG_LEVEL_INFO, message->id,
                  settlement->state == RECIPIENT_QUEUED ? "waits"
                                                        : recipient_state_name(settlement->state),
                  "recipient", message->recipients[i].address, "sender", message->sender,
                  "smarthost", to_smarthost != NULL ? to_smarthost : lane->name, NULL);
        if (settlement->state != RECIPIENT_QUEUED)
            count(lane, settlement->state);
    }
    outcome->key = message->key;
    outcome->at_ms = clock_wall_ms();
    lane_work_take(lane, work);
    record(flight, outcome);
}
