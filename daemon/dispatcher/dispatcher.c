/* Lanes, and what may start when. Attempts, backlog, lane health and recovery have their own files. Main thread. */
#include "dispatcher_private.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "cleanup.h"
#include "clock.h"
#include "config.h"
#include "delivery.h"
#include "invariant.h"
#include "log.h"
#include "xalloc.h"

enum {
    EXPIRY_CHECK_S = 60, /* of messages that wait behind a smarthost in trouble */
    TIMER_MAX_MS =
        60 * 1000, /* the wall clock may jump: never sleep longer while something waits */
};

static struct lane *find_lane(const struct dispatcher *dispatcher, const char *name)
{
    for (size_t i = 0; i < dispatcher->lane_count; i++)
        if (strcmp(dispatcher->lanes[i]->name, name) == 0)
            return dispatcher->lanes[i];
    return NULL;
}

struct lane *dispatcher_lane_get(struct dispatcher *dispatcher, const char *name)
{
    struct lane *lane = find_lane(dispatcher, name);

    if (lane != NULL)
        return lane;
    lane = lane_new(name, clock_wall_ms());
    dispatcher->lanes =
        xrealloc(dispatcher->lanes, dispatcher->lane_count + 1, sizeof *dispatcher->lanes);
    dispatcher->lanes[dispatcher->lane_count++] = lane;
    return lane;
}

void dispatcher_work_drop(struct dispatcher *dispatcher, struct lane *lane, struct work *work)
{
    if (work->body != NULL)
        dispatcher->body_bytes -= blob_len(work->body);
    lane_work_drop(lane, work);
}

/* --- What may start --- */

static bool may_send(const struct dispatcher *dispatcher)
{
    return !dispatcher->is_stopping && dispatcher->recovering == 0 &&
           dispatcher->unrecorded_count == 0;
}

static bool is_expired(const struct dispatcher *dispatcher, const struct lane *lane,
                       const struct work *work, int64_t now_s)
{
    return lane_age_s(lane, work->message.accepted_at_s, now_s) >=
           dispatcher->with.config->message_lifetime_s;
}

static void expire(struct dispatcher *dispatcher, struct lane *lane, struct work *work)
{
    static const struct settlement expired = { .state = RECIPIENT_EXPIRED };

    attempt_settle_untried(dispatcher, lane, work, &expired, NULL);
}

/* Behind a smarthost that is not parked, only unreachable, messages do age. */
static void expire_waiting(struct dispatcher *dispatcher, struct lane *lane, int64_t now_s)
{
    struct work *next;

    if (lane->circuit.state != CIRCUIT_OPEN || now_s - lane->expiry_checked_at_s < EXPIRY_CHECK_S)
        return;
    lane->expiry_checked_at_s = now_s;
    for (struct work *work = TAILQ_FIRST(&lane->ready); work != NULL; work = next) {
        next = TAILQ_NEXT(work, link);
        if (is_expired(dispatcher, lane, work, now_s))
            expire(dispatcher, lane, work);
    }
}

/* By what the spool still tells about a message; conditions on its user, group and tag do not hold. */
static const char *smarthost_now(const struct config *config,
                                 const struct spool_due_message *message,
                                 const struct spool_due_recipient *recipient)
{
    const struct route_question question = { .sender = message->sender,
                                             .recipient = recipient->address,
                                             .user = "" };
    const struct route *route = route_choose(config->routes, config->route_count, &question);

    MUST(route != NULL);
    return config->smarthosts[route->smarthosts[0]].name;
}

/* The smarthost left the configuration: each recipient goes where the routes send it now. */
static void reroute(struct dispatcher *dispatcher, struct lane *lane, int64_t now_s)
{
    const struct settlement now = { .state = RECIPIENT_QUEUED,
                                    .waiting = WAITING_NOW,
                                    .due_at_s = now_s };

    while (!TAILQ_EMPTY(&lane->ready)) {
        struct work *work = TAILQ_FIRST(&lane->ready);
        const struct spool_due_message *message = &work->message;
        AUTO_FREE const char **to = xcalloc(message->recipient_count, sizeof *to);
        for (size_t i = 0; i < message->recipient_count; i++)
            to[i] = smarthost_now(dispatcher->with.config, message, &message->recipients[i]);
        attempt_settle_untried(dispatcher, lane, work, &now, to);
    }
}

/* Messages that cannot go now for reasons of their own leave the head of the list. True: look at the next one. */
static bool set_aside(struct dispatcher *dispatcher, struct lane *lane, struct work *work,
                      int64_t now_s)
{
    if (is_expired(dispatcher, lane, work, now_s)) {
        expire(dispatcher, lane, work);
        return true;
    }
    int64_t until_s = lane_sender_parked_until(lane, work->message.sender, now_s);
    if (until_s == 0)
        return false;
    struct settlement later = { .state = RECIPIENT_QUEUED,
                                .waiting = WAITING_SENDER,
                                .due_at_s = until_s };
    attempt_settle_untried(dispatcher, lane, work, &later, NULL);
    return true;
}

static bool has_token(struct lane *lane, int64_t now_ms)
{
    lane->is_rate_limited =
        bucket_wait_ms(&lane->rate, now_ms) > 0 || bucket_wait_ms(&lane->daily, now_ms) > 0;
    return !lane->is_rate_limited;
}

/* Slots are made as they are needed, up to connections-max; the numbers are the delivery module's. */
static size_t slot_for(struct dispatcher *dispatcher, struct lane *lane)
{
    size_t slot = lane_slot_free(lane);

    if (slot != SIZE_MAX || lane->slot_count >= lane->smarthost->connections_max ||
        dispatcher->slots_used >= dispatcher->with.slots_max)
        return slot;
    lane_slot_add(lane, dispatcher->slots_used++);
    return lane->slot_count - 1;
}

static void lane_pump(struct dispatcher *dispatcher, struct lane *lane, int64_t now_ms)
{
    int64_t now_s = now_ms / 1000;

    lane->is_rate_limited = false;
    if (lane->next_due_at_s > 0 && lane->next_due_at_s <= now_s) {
        lane_backlog_note(lane, lane->next_due_at_s);
        lane->next_due_at_s = 0;
    }
    if (lane->smarthost == NULL)
        reroute(dispatcher, lane, now_s);
    expire_waiting(dispatcher, lane, now_s);
    while (lane->smarthost != NULL && !TAILQ_EMPTY(&lane->ready)) {
        struct work *work = TAILQ_FIRST(&lane->ready);
        if (!circuit_may_start(&lane->circuit, now_s))
            break;
        if (set_aside(dispatcher, lane, work, now_s))
            continue;
        size_t slot = slot_for(dispatcher, lane);
        if (slot == SIZE_MAX || dispatcher->free_mark_count == 0 || !has_token(lane, now_ms))
            break;
        attempt_start(dispatcher, lane, work, slot);
    }
    backlog_read(dispatcher, lane, now_s);
}

/* --- The timer --- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Milliseconds until this lane, just pumped at now_ms, wants attention by itself; INT64_MAX: not at all. What has been
   possible since then waits for something else, which will pump again. */
static int64_t lane_wake_ms(struct lane *lane, int64_t now_ms)
{
    int64_t wake_ms = INT64_MAX;
    bool has_work = !TAILQ_EMPTY(&lane->ready);

    if (lane->next_due_at_s > 0)
        wake_ms = lane->next_due_at_s * 1000 - now_ms;
    if (lane->circuit.state != CIRCUIT_CLOSED && !lane->circuit.is_probing &&
        lane->circuit.retry_at_s * 1000 > now_ms && (has_work || lane->has_backlog))
        wake_ms = earlier(wake_ms, lane->circuit.retry_at_s * 1000 - now_ms);
    if (lane->is_rate_limited) {
        int64_t rate_ms = bucket_wait_ms(&lane->rate, now_ms);
        int64_t daily_ms = bucket_wait_ms(&lane->daily, now_ms);
        wake_ms = earlier(wake_ms, rate_ms > daily_ms ? rate_ms : daily_ms);
    }
    if (has_work && lane->circuit.state == CIRCUIT_OPEN)
        wake_ms = earlier(wake_ms, EXPIRY_CHECK_S * 1000);
    return wake_ms;
}

/* INT64_MAX: something else will wake us. */
static int64_t wake_ms(const struct dispatcher *dispatcher, int64_t now_ms)
{
    int64_t least_ms = INT64_MAX;

    if (dispatcher->is_stopping)
        return INT64_MAX;
    if (!STAILQ_EMPTY(&dispatcher->unrecorded))
        return dispatcher->try_again_at_ms - clock_monotonic_ms();
    for (size_t i = 0; may_send(dispatcher) && i < dispatcher->lane_count; i++)
        least_ms = earlier(least_ms, lane_wake_ms(dispatcher->lanes[i], now_ms));
    return least_ms == INT64_MAX ? INT64_MAX : earlier(least_ms, TIMER_MAX_MS);
}

static void timer_set(struct dispatcher *dispatcher, int64_t now_ms)
{
    int64_t delay_ms = wake_ms(dispatcher, now_ms);

    (void)evtimer_del(dispatcher->timer);
    if (delay_ms == INT64_MAX)
        return;
    delay_ms = delay_ms < 1 ? 1 : delay_ms;
    const struct timeval delay = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };
    (void)evtimer_add(dispatcher->timer, &delay);
}

void dispatcher_pump(struct dispatcher *dispatcher)
{
    int64_t now_ms = clock_wall_ms();

    for (size_t i = 0; may_send(dispatcher) && i < dispatcher->lane_count; i++)
        lane_pump(dispatcher, dispatcher->lanes[i], now_ms);
    timer_set(dispatcher, now_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct dispatcher *dispatcher = arg;

    (void)fd;
    (void)what;
    if (clock_monotonic_ms() >= dispatcher->try_again_at_ms)
        recordings_try_again(dispatcher);
    dispatcher_pump(dispatcher);
}

/* --- News from outside --- */

/* The part of a newly accepted message that goes through this lane now; what is sent later is only noted. */
static size_t message_for_lane(const struct spool_submit *submit, struct lane *lane, int64_t now_s,
                               struct spool_due_message *message)
{
    size_t found = 0;

    message->recipients = xcalloc(submit->recipient_count, sizeof *message->recipients);
    for (size_t i = 0; i < submit->recipient_count; i++) {
        const struct spool_new_recipient *recipient = &submit->recipients[i];
        if (strcmp(recipient->smarthost, lane->name) != 0)
            continue;
        if (recipient->due_at_s > now_s) {
            lane_later_due(lane, recipient->due_at_s);
            continue;
        }
        message->recipients[found++] =
            (struct spool_due_recipient){ .number = (uint16_t)i,
                                          .address = xstrdup(recipient->address) };
    }
    message->recipient_count = found;
    message->key = submit->key;
    (void)memcpy(message->id, submit->id, sizeof message->id);
    message->sender = xstrdup(submit->sender);
    message->header_from = xstrdup_or_null(submit->header_from);
    message->accepted_at_s = submit->accepted_at_ms / 1000;
    message->size_bytes = submit->size_bytes;
    message->chunk_count = submit->chunk_count;
    message->is_8bit = submit->is_8bit;
    message->needs_smtputf8 = submit->needs_smtputf8;
    return found;
}

/* Leaves it in the spool. */
static void leave(struct lane *lane, const struct spool_submit *submit, int64_t now_s)
{
    for (size_t i = 0; i < submit->recipient_count; i++) {
        const struct spool_new_recipient *recipient = &submit->recipients[i];
        if (strcmp(recipient->smarthost, lane->name) != 0)
            continue;
        if (recipient->due_at_s > now_s)
            lane_later_due(lane, recipient->due_at_s);
        else
            lane_backlog_note(lane, recipient->due_at_s);
    }
}

static void lane_accept(struct dispatcher *dispatcher, struct lane *lane,
                        const struct spool_submit *submit)
{
    struct spool_due_message message = { 0 };
    int64_t now_s = clock_wall_s();
    bool has_room = lane->work_count < LANE_ACTIVE_MAX && !lane->has_backlog &&
                    lane->circuit.state != CIRCUIT_PARKED && lane->smarthost != NULL;

    if (!has_room) {
        leave(lane, submit, now_s);
        return;
    }
    struct blob *body = submit->chunk_count == 1 ? submit->last_chunk : NULL;
    if (body != NULL && dispatcher->body_bytes + blob_len(body) > DISPATCHER_BODY_BYTES_MAX)
        body = NULL;
    size_t count = message_for_lane(submit, lane, now_s, &message);
    if (count > 0 && lane_work_add(lane, &message, body) != NULL && body != NULL)
        dispatcher->body_bytes += blob_len(body);
    lane_due_message_clear(&message);
}

void dispatcher_message_accepted(const struct spool_submit *submit, void *ctx)
{
    struct dispatcher *dispatcher = ctx;

    for (size_t i = 0; i < dispatcher->lane_count; i++) {
        struct lane *lane = dispatcher->lanes[i];
        for (size_t j = 0; j < submit->recipient_count; j++) {
            if (strcmp(submit->recipients[j].smarthost, lane->name) != 0)
                continue;
            lane_accept(dispatcher, lane, submit);
            break;
        }
    }
    dispatcher_pump(dispatcher);
}

static void forget(struct dispatcher *dispatcher, struct lane *lane, int64_t key)
{
    struct work *work = lane_work_find(lane, key);

    if (work == NULL)
        return;
    if (work->state == WORK_READY)
        dispatcher_work_drop(dispatcher, lane, work);
    else
        work->is_stale = true;
}

void dispatcher_messages_changed(struct dispatcher *dispatcher, const int64_t *keys, size_t count)
{
    for (size_t i = 0; i < dispatcher->lane_count; i++) {
        struct lane *lane = dispatcher->lanes[i];
        for (size_t j = 0; j < count; j++)
            forget(dispatcher, lane, keys[j]);
        lane_backlog_restart(lane);
        /* Somebody wants them tried: a parked sender shows itself again. */
        lane_senders_unpark(lane);
        if (lane->circuit.state == CIRCUIT_OPEN)
            lane->circuit.retry_at_s = clock_wall_s();
    }
    dispatcher_pump(dispatcher);
}

/* --- Views and switches --- */

size_t dispatcher_lane_count(const struct dispatcher *dispatcher)
{
    return dispatcher->lane_count;
}

static struct lane_view view_of(const struct lane *lane)
{
    struct lane_view view = {
        .smarthost = lane->name,
        .circuit = lane->circuit,
        .reason_text = lane->reason_text,
        .reason_code = lane->reason_code,
        .reason_enhanced = lane->reason_enhanced,
        .reason_stage = verdict_stage_name(lane->reason_stage),
        .connections = (unsigned)lane->busy_count,
        .connections_max = lane->smarthost != NULL ? lane->smarthost->connections_max : 0,
        .active = lane->work_count,
        .is_rate_limited = lane->is_rate_limited,
        .delivered = lane->delivered,
        .deferred = lane->deferred,
        .failed = lane->failed,
    };

    for (size_t i = 0; i < lane->slot_count; i++)
        view.connections_idle += !lane->slots[i].is_busy && lane->slots[i].has_session;
    return view;
}

struct lane_view dispatcher_lane(const struct dispatcher *dispatcher, size_t index)
{
    MUST(index < dispatcher->lane_count);
    return view_of(dispatcher->lanes[index]);
}

bool dispatcher_lane_find(const struct dispatcher *dispatcher, const char *smarthost,
                          struct lane_view *ret_view)
{
    const struct lane *lane = find_lane(dispatcher, smarthost);

    if (lane == NULL)
        return false;
    *ret_view = view_of(lane);
    return lane->smarthost != NULL;
}

static struct lane *configured_lane(const struct dispatcher *dispatcher, const char *smarthost)
{
    struct lane *lane = find_lane(dispatcher, smarthost);

    return lane != NULL && lane->smarthost != NULL ? lane : NULL;
}

bool dispatcher_park(struct dispatcher *dispatcher, const char *smarthost, int64_t uid)
{
    struct lane *lane = configured_lane(dispatcher, smarthost);

    if (lane == NULL)
        return false;
    lane_health_park(dispatcher, lane, uid);
    return true;
}

bool dispatcher_unpark(struct dispatcher *dispatcher, const char *smarthost, int64_t uid)
{
    struct lane *lane = configured_lane(dispatcher, smarthost);

    if (lane == NULL)
        return false;
    lane_health_unpark(dispatcher, lane, uid);
    return true;
}

/* --- Start and stop --- */

static void configure(struct dispatcher *dispatcher, const struct config *config)
{
    int64_t now_ms = clock_wall_ms();

    for (size_t i = 0; i < config->smarthost_count; i++)
        (void)dispatcher_lane_get(dispatcher, config->smarthosts[i].name);
    for (size_t i = 0; i < dispatcher->lane_count; i++) {
        struct lane *lane = dispatcher->lanes[i];
        lane_configure(lane, config_smarthost(config, lane->name), now_ms);
    }
}

struct dispatcher *dispatcher_start(const struct dispatcher_options *options)
{
    struct dispatcher *dispatcher = NEW(struct dispatcher);

    dispatcher->with = *options;
    dispatcher->with.config = config_ref(options->config);
    STAILQ_INIT(&dispatcher->unrecorded);
    dispatcher->timer = evtimer_new(options->base, on_timer, dispatcher);
    MUST(dispatcher->timer != NULL);
    configure(dispatcher, options->config);
    dispatcher->free_marks = xcalloc(options->marks_max, sizeof *dispatcher->free_marks);
    while (dispatcher->free_mark_count < options->marks_max) {
        dispatcher->free_marks[dispatcher->free_mark_count] =
            options->marks_max - 1 - (unsigned)dispatcher->free_mark_count;
        dispatcher->free_mark_count++;
    }
    recovery_start(dispatcher);
    return dispatcher;
}

void dispatcher_reload(struct dispatcher *dispatcher, const struct config *config)
{
    const struct config *before = dispatcher->with.config;

    dispatcher->with.config = config_ref(config);
    configure(dispatcher, config);
    for (size_t i = 0; i < dispatcher->lane_count; i++)
        lane_health_reload(dispatcher, dispatcher->lanes[i],
                           config_smarthost(before, dispatcher->lanes[i]->name));
    config_unref(before);
    dispatcher_pump(dispatcher);
}

void dispatcher_stop(struct dispatcher *dispatcher)
{
    dispatcher->is_stopping = true;
    recordings_try_again(dispatcher);
    timer_set(dispatcher, clock_wall_ms());
}

bool dispatcher_is_idle(const struct dispatcher *dispatcher)
{
    return dispatcher->orders_out == 0 && dispatcher->requests_out == 0;
}

void dispatcher_free(struct dispatcher *dispatcher)
{
    if (dispatcher == NULL)
        return;
    if (dispatcher->unrecorded_count > 0)
        log_line(LOG_LEVEL_WARNING, "stop",
                 "%zu deliveries were not recorded: they are looked into at the next start",
                 dispatcher->unrecorded_count);
    recordings_drop(dispatcher);
    for (size_t i = 0; i < dispatcher->lane_count; i++)
        lane_free(dispatcher->lanes[i]);
    free(dispatcher->lanes);
    free(dispatcher->free_marks);
    event_free(dispatcher->timer);
    config_unref(dispatcher->with.config);
    free(dispatcher);
}
