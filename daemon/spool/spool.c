/* The spool thread: collects requests, runs them in groups, posts the answers; checkpoints and upkeep in between.
   How requests are answered from the database is the store's business, transactions are group.c's. */
#include "spool.h"

#include <event2/event.h>
#include <stdlib.h>

#include "ballast.h"
#include "blob.h"
#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "group.h"
#include "invariant.h"
#include "log.h"
#include "store.h"
#include "thread.h"
#include "xalloc.h"

enum {
    WAL_BYTES_MAX = 8 * 1024 * 1024, /* then a checkpoint, also under load, which takes 10 ms */
    /* Written beforehand: also the group that goes beyond the limit, unless it is of large bodies. */
    WAL_BYTES_READY = WAL_BYTES_MAX + 1024 * 1024,
    IDLE_MS = 1000,                /* without requests */
    UPKEEP_PAUSE_MS = 10,          /* between two steps while idle */
    UPKEEP_BUSY_PAUSE_MS = 200,    /* there may never be an idle second */
    UPKEEP_EVERY_MS = 3600 * 1000, /* for what has become old enough, while nobody asks */
    GATHER_MS = 5,                 /* between two groups of outcomes alone */
    GATHER_COUNT = 64,             /* so many do not wait */
    FULL_MS = 3000,                /* at least, before a full disk is tried again */
};

/* The log grows by at most one group beyond its limit; bodies take up to twice their size. */
_Static_assert(WAL_BYTES_MAX + 2 * GROUP_BYTES_MAX <= BALLAST_BYTES, "a checkpoint must fit in");

STAILQ_HEAD(request_list, mail);

struct spool {
    int64_t next_key; /* main thread only */

    struct loop_thread *thread;
    struct store store;
    struct ballast ballast;
    struct request_list arrivals;
    struct event *gatherer;
    int64_t last_group_ms; /* monotonic */
    struct event *timer;
    int64_t timer_at_ms; /* monotonic */
    int64_t last_answer_ms;
    int64_t full_seen_at_ms; /* monotonic; 0: the disk is not full */
    struct spool_upkeep upkeep;
    bool is_upkeep_running;
};

static void submit_committed(struct store *store, struct spool_request *request)
{
    (void)request;
    store->accepted_total++;
}

static void change_committed(struct store *store, struct spool_request *request)
{
    struct spool_change *change = (struct spool_change *)request;

    (void)store;
    change->cursor_key = change->next_cursor_key;
}

enum operation {
    OPERATION_SUBMIT,
    OPERATION_APPEND,
    OPERATION_ABANDON,
    OPERATION_READ,
    OPERATION_OUTCOME,
    OPERATION_CRASHED,
    OPERATION_DUE,
    OPERATION_LIST,
    OPERATION_CHANGE,
    OPERATION_LOG,
    OPERATION_PARKING,
    OPERATION_SUMMARY,
    OPERATION_UPKEEP,
};

static const struct spool_operation operations[] = {
    [OPERATION_SUBMIT] = { "submit", store_submit, submit_committed, true, true },
    [OPERATION_APPEND] = { "append", store_chunk_append, NULL, true, true },
    [OPERATION_ABANDON] = { "abandon", store_abandon, NULL, true, false },
    [OPERATION_READ] = { "read", store_chunk_read, NULL, false, false },
    [OPERATION_OUTCOME] = { "outcome", store_outcome, NULL, true, false },
    [OPERATION_CRASHED] = { "crashed", store_crashed, NULL, true, false },
    [OPERATION_DUE] = { "due", store_due, NULL, false, false },
    [OPERATION_LIST] = { "list", store_list, NULL, false, false },
    [OPERATION_CHANGE] = { "change", store_change, change_committed, true, false },
    [OPERATION_LOG] = { "log", store_log, NULL, false, false },
    [OPERATION_PARKING] = { "parking", store_parking, NULL, true, false },
    [OPERATION_SUMMARY] = { "summary", store_summary, NULL, false, false },
    [OPERATION_UPKEEP] = { "upkeep", store_upkeep, NULL, true, false },
};

/* --- Groups --- */

static void on_answer(struct mail *mail)
{
    struct spool_request *request = (struct spool_request *)mail;

    request->done(request);
}

static void on_request(struct mail *mail)
{
    struct spool_request *request = (struct spool_request *)mail;

    STAILQ_INSERT_TAIL(&request->spool->arrivals, mail, link);
}

static size_t body_bytes(const struct spool_request *request)
{
    if (request->operation == &operations[OPERATION_SUBMIT])
        return blob_len(((const struct spool_submit *)request)->last_chunk);
    if (request->operation == &operations[OPERATION_APPEND])
        return blob_len(((const struct spool_chunk *)request)->data);
    return 0;
}

static size_t take_group(struct spool *spool, struct spool_request *ret_members[GROUP_REQUESTS_MAX])
{
    size_t count = 0;
    size_t bytes = 0;

    while (!STAILQ_EMPTY(&spool->arrivals) && count < GROUP_REQUESTS_MAX &&
           bytes < GROUP_BYTES_MAX) {
        struct mail *mail = STAILQ_FIRST(&spool->arrivals);
        STAILQ_REMOVE_HEAD(&spool->arrivals, link);
        ret_members[count] = (struct spool_request *)mail;
        bytes += body_bytes(ret_members[count]);
        count++;
    }
    return count;
}

static void answer(struct spool *spool, struct spool_request *request)
{
    if (request != &spool->upkeep.request)
        spool->last_answer_ms = clock_monotonic_ms();
    if (request->is_unfinished) {
        mailbox_post(loop_thread_mailbox(spool->thread), &request->mail);
        return;
    }
    request->mail.on_arrival = on_answer;
    if (request->reply_to != NULL)
        mailbox_post(request->reply_to, &request->mail);
    else
        request->done(request); /* one of our own */
}

static void timer_set(struct spool *spool, int64_t delay_ms)
{
    const struct timeval delay = { delay_ms / 1000, delay_ms % 1000 * 1000 };

    spool->timer_at_ms = clock_monotonic_ms() + delay_ms;
    (void)event_add(spool->timer, &delay);
}

/* Writes first: nobody may learn of a message by a read before its submission is answered. Reads have seen all writes
   of their group, also those that were asked for later. */
static void answer_group(struct spool *spool, struct spool_request *const *members, size_t count)
{
    struct spool_request *reads[GROUP_REQUESTS_MAX];
    size_t read_count = 0;

    for (size_t i = 0; i < count; i++) {
        if (members[i]->operation->is_write)
            answer(spool, members[i]);
        else
            reads[read_count++] = members[i];
    }
    for (size_t i = 0; i < read_count; i++)
        answer(spool, reads[i]);
}

static void run_arrivals(struct spool *spool)
{
    struct spool_request *members[GROUP_REQUESTS_MAX];
    bool has_others = false; /* than our own upkeep */

    while (!STAILQ_EMPTY(&spool->arrivals)) {
        size_t count = take_group(spool, members);
        group_run(&spool->store, &spool->ballast, members, count);
        has_others = has_others || count > 1 || members[0] != &spool->upkeep.request;
        answer_group(spool, members, count);
        if (database_wal_bytes(&spool->store.database) > WAL_BYTES_MAX)
            group_checkpoint(&spool->store, &spool->ballast);
    }
    if (has_others && spool->timer != NULL && !spool->is_upkeep_running &&
        spool->timer_at_ms > clock_monotonic_ms() + IDLE_MS)
        timer_set(spool, IDLE_MS);
}

/* Nobody waits for the outcome of a delivery: its session is busy with the next message. When many come, they share a
   commit; one after a rest is stored at once, and so is whatever comes together with a request that is waited for.
   Bodies are read meanwhile, for they do not change. */
static bool may_gather(const struct spool *spool)
{
    const struct mail *mail;
    size_t outcomes = 0;

    if (spool->gatherer == NULL || clock_monotonic_ms() - spool->last_group_ms >= GATHER_MS)
        return false;
    STAILQ_FOREACH(mail, &spool->arrivals, link)
    {
        const struct spool_operation *operation = ((const struct spool_request *)mail)->operation;
        outcomes += operation == &operations[OPERATION_OUTCOME];
        if (operation != &operations[OPERATION_OUTCOME] && operation != &operations[OPERATION_READ])
            return false;
    }
    return outcomes < GATHER_COUNT;
}

static void run_all(struct spool *spool)
{
    run_arrivals(spool);
    spool->last_group_ms = clock_monotonic_ms();
}

/* Runs what reads bodies; the outcomes wait for the gatherer. */
static void gather(struct spool *spool)
{
    static const struct timeval delay = { .tv_usec = GATHER_MS * 1000 };
    struct request_list all = STAILQ_HEAD_INITIALIZER(all);
    struct request_list outcomes = STAILQ_HEAD_INITIALIZER(outcomes);

    STAILQ_CONCAT(&all, &spool->arrivals);
    while (!STAILQ_EMPTY(&all)) {
        struct mail *mail = STAILQ_FIRST(&all);
        STAILQ_REMOVE_HEAD(&all, link);
        if (((struct spool_request *)mail)->operation == &operations[OPERATION_OUTCOME])
            STAILQ_INSERT_TAIL(&outcomes, mail, link);
        else
            STAILQ_INSERT_TAIL(&spool->arrivals, mail, link);
    }
    run_arrivals(spool);
    STAILQ_CONCAT(&spool->arrivals, &outcomes);
    if (!STAILQ_EMPTY(&spool->arrivals) && !evtimer_pending(spool->gatherer, NULL))
        MUST(evtimer_add(spool->gatherer, &delay) == 0);
}

static void on_drained(void *ctx)
{
    struct spool *spool = ctx;

    if (may_gather(spool))
        gather(spool);
    else
        run_all(spool);
}

static void on_gathered(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    run_all(arg);
}

/* --- Upkeep --- */

static bool is_idle(const struct spool *spool)
{
    return clock_monotonic_ms() - spool->last_answer_ms >= IDLE_MS;
}

static void ballast_try(struct spool *spool)
{
    struct error err;
    bool was_full = spool->store.is_full;

    spool->store.is_full = !ballast_take(&spool->ballast, &err);
    if (was_full && !spool->store.is_full)
        log_line(LOG_LEVEL_INFO, "disk-has-room", "new mail is accepted again");
    if (!was_full && spool->store.is_full)
        log_line(LOG_LEVEL_ERROR, "disk-full", "%s; new mail is refused", err.text);
}

static bool log_extend(struct spool *spool)
{
    return ballast_is_far(&spool->ballast, WAL_BYTES_READY) &&
           database_log_extend(&spool->store.database, WAL_BYTES_READY);
}

/* After one step of upkeep. The next burst shall find the log at its beginning, and its space written. */
static int64_t upkeep_pause_ms(struct spool *spool, bool has_more)
{
    if (!is_idle(spool))
        return has_more ? UPKEEP_BUSY_PAUSE_MS : IDLE_MS;
    if (has_more)
        return UPKEEP_PAUSE_MS;
    if (spool->store.database.wal_pages > 0)
        group_checkpoint(&spool->store, &spool->ballast);
    if (log_extend(spool))
        return UPKEEP_PAUSE_MS;
    return spool->store.is_full ? IDLE_MS : UPKEEP_EVERY_MS;
}

static void on_upkeep_done(struct spool_request *request)
{
    struct spool *spool = request->spool;
    bool has_more = request->is_ok && spool->upkeep.has_more;

    spool->is_upkeep_running = false;
    if (spool->timer != NULL)
        timer_set(spool, upkeep_pause_ms(spool, has_more));
}

static void post(struct spool *spool, struct spool_request *request, enum operation operation)
{
    request->spool = spool;
    request->operation = &operations[operation];
    request->is_ok = false;
    request->is_settled = false;
    request->is_unfinished = false;
    request->mail.on_arrival = on_request;
    mailbox_post(loop_thread_mailbox(spool->thread), &request->mail);
}

/* A disk that has just been full is given time: intake must not open and close with each message. */
static bool is_full_for_long(struct spool *spool)
{
    int64_t now_ms = clock_monotonic_ms();

    if (!spool->store.is_full)
        spool->full_seen_at_ms = 0;
    else if (spool->full_seen_at_ms == 0)
        spool->full_seen_at_ms = now_ms;
    return spool->store.is_full && now_ms - spool->full_seen_at_ms >= FULL_MS;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct spool *spool = arg;

    (void)fd;
    (void)what;
    if (is_full_for_long(spool))
        ballast_try(spool);
    spool->upkeep = (struct spool_upkeep){
        .request.done = on_upkeep_done,
        .now_s = clock_wall_s(),
        .is_idle = is_idle(spool),
    };
    spool->is_upkeep_running = true;
    post(spool, &spool->upkeep.request, OPERATION_UPKEEP);
}

/* --- Start and stop --- */

static void on_start(void *ctx)
{
    struct spool *spool = ctx;

    spool->timer = evtimer_new(loop_thread_base(spool->thread), on_timer, spool);
    spool->gatherer = evtimer_new(loop_thread_base(spool->thread), on_gathered, spool);
    MUST(spool->timer != NULL && spool->gatherer != NULL);
    timer_set(spool, IDLE_MS);
}

static void on_stop(void *ctx)
{
    struct spool *spool = ctx;

    event_free(TAKE(spool->gatherer));
    event_free(TAKE(spool->timer));
    run_arrivals(spool);
}

static void spool_free(struct spool *spool)
{
    if (spool == NULL)
        return;
    /* What was still in the mailbox is done here. */
    loop_thread_free(spool->thread);
    store_close(&spool->store);
    free(spool);
}

DEFINE_CLEANUP(struct spool, spool_free)

struct spool *spool_start(const char *state_directory, struct error *err)
{
    static const struct loop_thread_hooks hooks = { on_start, on_drained, on_stop };
    CLEANUP(spool_free_p) struct spool *spool = NEW(struct spool);

    STAILQ_INIT(&spool->arrivals);
    spool->store.database.directory_fd = -1;
    if (!store_open(&spool->store, state_directory, err))
        return NULL;
    spool->next_key = spool->store.first_key;
    ballast_init(&spool->ballast, spool->store.database.directory_fd);
    ballast_try(spool);
    spool->thread = loop_thread_new("spool", &hooks, spool, err);
    if (spool->thread == NULL || !loop_thread_start(spool->thread, err))
        return NULL;
    return TAKE(spool);
}

void spool_stop(struct spool *spool)
{
    if (spool == NULL)
        return;
    loop_thread_stop(spool->thread);
    spool_free(spool);
}

/* --- Questions --- */

int64_t spool_message_key_new(struct spool *spool)
{
    return spool->next_key++;
}

void spool_message_submit(struct spool *spool, struct spool_submit *submit)
{
    post(spool, &submit->request, OPERATION_SUBMIT);
}

void spool_chunk_append(struct spool *spool, struct spool_chunk *chunk)
{
    post(spool, &chunk->request, OPERATION_APPEND);
}

void spool_chunk_read(struct spool *spool, struct spool_chunk *chunk)
{
    post(spool, &chunk->request, OPERATION_READ);
}

static void on_abandoned(struct spool_request *request)
{
    free(request);
}

void spool_message_abandon(struct spool *spool, int64_t key)
{
    struct spool_abandon *abandon = NEW(struct spool_abandon);

    abandon->key = key;
    abandon->request.done = on_abandoned;
    post(spool, &abandon->request, OPERATION_ABANDON);
}

void spool_outcome_record(struct spool *spool, struct spool_outcome *outcome)
{
    post(spool, &outcome->request, OPERATION_OUTCOME);
}

void spool_crashed_record(struct spool *spool, struct spool_crashed *crashed)
{
    post(spool, &crashed->request, OPERATION_CRASHED);
}

void spool_due_read(struct spool *spool, struct spool_due *due)
{
    post(spool, &due->request, OPERATION_DUE);
}

void spool_list_read(struct spool *spool, struct spool_list *list)
{
    post(spool, &list->request, OPERATION_LIST);
}

void spool_change_step(struct spool *spool, struct spool_change *change)
{
    post(spool, &change->request, OPERATION_CHANGE);
}

void spool_log_read(struct spool *spool, struct spool_log *log)
{
    post(spool, &log->request, OPERATION_LOG);
}

void spool_parking_record(struct spool *spool, struct spool_parking *parking)
{
    post(spool, &parking->request, OPERATION_PARKING);
}

void spool_summary_read(struct spool *spool, struct spool_summary *summary)
{
    post(spool, &summary->request, OPERATION_SUMMARY);
}

struct history_mail {
    struct mail mail;
    struct spool *spool;
    int64_t history_s;
};

static void on_history(struct mail *mail)
{
    struct history_mail *history = (struct history_mail *)mail;

    history->spool->store.history_s = history->history_s;
    free(history);
}

void spool_history_set(struct spool *spool, int64_t history_s)
{
    struct history_mail *history = NEW(struct history_mail);

    history->mail.on_arrival = on_history;
    history->spool = spool;
    history->history_s = history_s;
    mailbox_post(loop_thread_mailbox(spool->thread), &history->mail);
}
