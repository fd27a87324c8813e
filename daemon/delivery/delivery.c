/* The delivery threads and their slots: which session gets an order, when sessions are freed, start and stop.
   What happens within a session is none of its business. */
#include "delivery_private.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "error.h"
#include "inflight.h"
#include "invariant.h"
#include "order.h"
#include "session.h"
#include "thread.h"
#include "tls.h"
#include "xalloc.h"

/* A place for one session. The order that waits: for the session before it to end, or for a new session. */
struct slot {
    struct session *session;
    struct delivery_order *waiting;
};

struct worker {
    struct delivery *delivery;
    struct loop_thread *thread;
    struct session_host host;
    struct session_list sessions; /* also those that are over, until they are freed */
    struct slot *slots;           /* slot s stands at s / threads */
    struct event *reaper;
    struct event *grace;
    bool is_grace_over;
    bool is_running; /* its thread; of the main thread */
};

struct delivery {
    struct inflight *inflight;
    struct session_timing timing;
    unsigned slots_max;
    unsigned slots_per_worker;
    unsigned worker_count;
    struct worker workers[];
};

/* --- On the delivery thread --- */

static struct slot *slot_of(struct worker *worker, unsigned slot)
{
    return &worker->slots[slot / worker->delivery->worker_count];
}

static void start_session(struct worker *worker, struct slot *slot, struct delivery_order *order)
{
    MUST(slot->session == NULL);
    slot->session = session_new(&worker->host, order);
    session_list_add(&worker->sessions, slot->session);
}

static void give_back_stopped(struct delivery_order *order)
{
    struct outcome outcome =
        outcome_of_trouble(STAGE_CONNECT, TROUBLE_STOPPED, "outboxd is stopping");

    order_trouble_note(order, &outcome);
    order_give_back(order);
}

static void on_order(struct mail *mail)
{
    struct delivery_order *order = (struct delivery_order *)mail;
    struct worker *worker = order->worker;
    struct slot *slot = slot_of(worker, order->slot);

    MUST(slot->waiting == NULL);
    if (worker->host.is_stopping) {
        give_back_stopped(order);
    } else if (slot->session == NULL) {
        start_session(worker, slot, order);
    } else if (session_can_serve(slot->session, order)) {
        session_serve(slot->session, order);
    } else {
        /* It is quitting, or goes elsewhere. The smarthost counts connections: one after the other. */
        MUST(!session_has_order(slot->session));
        slot->waiting = order;
        session_quit(slot->session);
    }
}

static void reap_soon(struct worker *worker)
{
    static const struct timeval now = { 0 };

    if (worker->reaper != NULL)
        MUST(event_add(worker->reaper, &now) == 0);
}

static void on_session_closed(struct session *session, void *ctx)
{
    struct worker *worker = ctx;
    struct slot *slot = slot_of(worker, session_slot(session));

    if (slot->session == session)
        slot->session = NULL;
    reap_soon(worker);
}

static void on_unserved(struct session *session, struct delivery_order *order, void *ctx)
{
    struct slot *slot = slot_of(ctx, session_slot(session));

    MUST(slot->waiting == NULL);
    slot->waiting = order;
}

static void reap(struct worker *worker)
{
    struct session *next = NULL;

    for (struct session *session = TAILQ_FIRST(&worker->sessions); session != NULL;
         session = next) {
        next = session_next(session);
        if (session_is_over(session))
            session_release(session);
        if (!session_may_free(session))
            continue;
        session_list_remove(&worker->sessions, session);
        session_free(session);
    }
}

static void on_reaper(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;

    (void)fd;
    (void)what;
    reap(worker);
    for (unsigned i = 0; i < worker->delivery->slots_per_worker; i++) {
        struct slot *slot = &worker->slots[i];
        if (slot->waiting == NULL || slot->session != NULL)
            continue;
        struct delivery_order *order = TAKE(slot->waiting);
        if (worker->host.is_stopping)
            give_back_stopped(order);
        else
            start_session(worker, slot, order);
    }
}

struct slot_mail {
    struct mail mail;
    struct worker *worker;
    unsigned slot;
};

static void on_slot_close(struct mail *mail)
{
    struct slot_mail *close = (struct slot_mail *)mail;
    struct slot *slot = slot_of(close->worker, close->slot);

    if (slot->session != NULL)
        session_quit(slot->session);
    free(close);
}

/* --- Stopping, on the delivery thread --- */

struct stop_mail {
    struct mail mail;
    struct worker *worker;
    unsigned grace_ms;
};

static void on_grace_over(evutil_socket_t fd, short what, void *arg)
{
    struct worker *worker = arg;

    (void)fd;
    (void)what;
    worker->is_grace_over = true;
}

static void on_stop_mail(struct mail *mail)
{
    struct stop_mail *stop = (struct stop_mail *)mail;
    struct worker *worker = stop->worker;
    struct timeval grace = { .tv_sec = stop->grace_ms / 1000,
                             .tv_usec = (suseconds_t)(stop->grace_ms % 1000) * 1000 };

    worker->host.is_stopping = true;
    for (unsigned i = 0; i < worker->delivery->slots_per_worker; i++) {
        struct slot *slot = &worker->slots[i];
        if (slot->waiting != NULL)
            give_back_stopped(TAKE(slot->waiting));
        if (slot->session != NULL)
            session_wind_down(slot->session);
    }
    MUST(event_add(worker->grace, &grace) == 0);
    free(stop);
}

static bool is_busy(const struct worker *worker)
{
    const struct session *session = NULL;

    for (session = TAILQ_FIRST(&worker->sessions); session != NULL; session = session_next(session))
        if (!session_is_over(session))
            return true;
    return false;
}

/* The loop has been asked to end: it goes on here for as long as there is something to wait for. */
static void on_thread_stop(void *ctx)
{
    struct worker *worker = ctx;

    while (is_busy(worker) && !worker->is_grace_over)
        (void)event_base_loop(worker->host.base, EVLOOP_ONCE);
    for (struct session *session = TAILQ_FIRST(&worker->sessions); session != NULL;
         session = session_next(session)) {
        session_stop(session);
        session_release(session);
    }
    reap(worker);
    for (unsigned i = 0; i < worker->delivery->slots_per_worker; i++)
        if (worker->slots[i].waiting != NULL)
            give_back_stopped(TAKE(worker->slots[i].waiting));
    event_free(TAKE(worker->reaper));
    event_free(TAKE(worker->grace));
}

/* --- From the main thread --- */

static bool worker_start(struct worker *worker, unsigned number,
                         const struct delivery_options *options, struct error *err)
{
    static const struct loop_thread_hooks hooks = { .on_stop = on_thread_stop };
    char name[24];

    (void)snprintf(name, sizeof name, "delivery-%u", number);
    worker->thread = loop_thread_new(name, &hooks, worker, err);
    if (worker->thread == NULL)
        return false;
    struct event_base *base = loop_thread_base(worker->thread);
    worker->host = (struct session_host){
        .base = base,
        .mailbox = loop_thread_mailbox(worker->thread),
        .resolver = options->resolver,
        .tls = tls_store_new(),
        .inflight = worker->delivery->inflight,
        .timing = &worker->delivery->timing,
        .chunk_wanted = options->chunk_wanted,
        .chunk_ctx = options->chunk_ctx,
        .closed = on_session_closed,
        .unserved = on_unserved,
        .ctx = worker,
    };
    worker->slots = xcalloc(worker->delivery->slots_per_worker, sizeof *worker->slots);
    worker->reaper = event_new(base, -1, 0, on_reaper, worker);
    worker->grace = event_new(base, -1, 0, on_grace_over, worker);
    MUST(worker->reaper != NULL && worker->grace != NULL);
    worker->is_running = loop_thread_start(worker->thread, err);
    return worker->is_running;
}

struct delivery *delivery_start_with(const struct delivery_options *options,
                                     const struct session_timing *timing, struct error *err)
{
    MUST(options->threads > 0 && options->slots_max > 0);
    struct delivery *delivery =
        xcalloc(1, sizeof *delivery + options->threads * sizeof delivery->workers[0]);

    delivery->timing = *timing;
    delivery->slots_max = options->slots_max;
    delivery->slots_per_worker = (options->slots_max + options->threads - 1) / options->threads;
    delivery->worker_count = options->threads;
    for (unsigned i = 0; i < options->threads; i++) {
        delivery->workers[i].delivery = delivery;
        TAILQ_INIT(&delivery->workers[i].sessions);
    }
    delivery->inflight = inflight_open(options->state_directory, options->marks_max, err);
    bool is_started = delivery->inflight != NULL;
    for (unsigned i = 0; is_started && i < options->threads; i++)
        is_started = worker_start(&delivery->workers[i], i + 1, options, err);
    if (is_started)
        return delivery;
    delivery_stop(delivery, 0);
    delivery_free(delivery);
    return NULL;
}

struct delivery *delivery_start(const struct delivery_options *options, struct error *err)
{
    struct session_timing timing;

    session_timing_default(&timing);
    return delivery_start_with(options, &timing, err);
}

/* All threads begin to stop before the first is waited for: one grace, not one after the other. */
void delivery_stop(struct delivery *delivery, unsigned grace_ms)
{
    for (unsigned i = 0; i < delivery->worker_count; i++) {
        struct worker *worker = &delivery->workers[i];
        if (!worker->is_running)
            continue;
        struct stop_mail *stop = NEW(struct stop_mail);
        stop->mail.on_arrival = on_stop_mail;
        stop->worker = worker;
        stop->grace_ms = grace_ms;
        mailbox_post(worker->host.mailbox, &stop->mail);
    }
    for (unsigned i = 0; i < delivery->worker_count; i++)
        loop_thread_stop(delivery->workers[i].thread);
}

static void worker_free(struct worker *worker)
{
    /* Of a thread that never ran. */
    if (worker->reaper != NULL)
        event_free(TAKE(worker->reaper));
    if (worker->grace != NULL)
        event_free(TAKE(worker->grace));
    loop_thread_free(worker->thread); /* answers that came late arrive here */
    while (!TAILQ_EMPTY(&worker->sessions)) {
        struct session *session = TAILQ_FIRST(&worker->sessions);
        session_list_remove(&worker->sessions, session);
        session_free(session);
    }
    tls_store_free(worker->host.tls);
    free(worker->slots);
}

void delivery_free(struct delivery *delivery)
{
    if (delivery == NULL)
        return;
    for (unsigned i = 0; i < delivery->worker_count; i++)
        worker_free(&delivery->workers[i]);
    inflight_close(delivery->inflight);
    free(delivery);
}

static struct worker *worker_of(struct delivery *delivery, unsigned slot)
{
    MUST(slot < delivery->slots_max);
    return &delivery->workers[slot % delivery->worker_count];
}

void delivery_order_start(struct delivery *delivery, struct delivery_order *order)
{
    struct worker *worker = worker_of(delivery, order->slot);

    order->worker = worker;
    order->mail.on_arrival = on_order;
    mailbox_post(worker->host.mailbox, &order->mail);
}

void delivery_slot_close(struct delivery *delivery, unsigned slot)
{
    struct slot_mail *close = NEW(struct slot_mail);

    close->mail.on_arrival = on_slot_close;
    close->worker = worker_of(delivery, slot);
    close->slot = slot;
    mailbox_post(close->worker->host.mailbox, &close->mail);
}

void delivery_mark_committed(struct delivery *delivery, unsigned mark)
{
    inflight_clear(delivery->inflight, mark);
}

bool delivery_inflight_next(struct delivery *delivery, unsigned *mark,
                            struct inflight_mark *ret_mark)
{
    return inflight_next(delivery->inflight, mark, ret_mark);
}
