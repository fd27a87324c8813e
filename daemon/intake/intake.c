/* The listener, the sessions as a whole, and their end. */
#include "intake.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "invariant.h"
#include "units.h"
#include "xalloc.h"

#include "clock.h"
#include "config.h"
#include "listener.h"
#include "log.h"
#include "spool.h"

#include "access.h"
#include "dialogue.h"
#include "shared.h"
#include "users.h"

enum {
    INTAKE_SESSIONS_MAX = 20000,
    INTAKE_DESCRIPTORS_LEFT = 5000, /* for deliveries, at most */
    INTAKE_FOR_NEWCOMERS = 64,      /* the last places: only for users with few sessions */
    INTAKE_FEW_SESSIONS = 4,
    INTAKE_FOR_ROOT = 16, /* the very last ones */
    INTAKE_IDLE_MS = 300 * 1000,
    INTAKE_SWEEP_MAX_MS = 5000,
};

struct intake {
    struct intake_shared shared;
    const struct config *config; /* for new sessions */
    struct listener *listener;
    struct event *sweeper;
    unsigned sessions_max;
    unsigned user_sessions_max; /* the largest that any row of access allows */
    int64_t idle_ms;
};

/* --- New sessions --- */

unsigned intake_sessions_max(uint64_t descriptors)
{
    uint64_t left = descriptors / 2;

    if (left > INTAKE_DESCRIPTORS_LEFT)
        left = INTAKE_DESCRIPTORS_LEFT;
    return descriptors - left > INTAKE_SESSIONS_MAX ? INTAKE_SESSIONS_MAX
                                                    : (unsigned)(descriptors - left);
}

static unsigned count_sessions_max(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? intake_sessions_max(limit.rlim_cur)
                                                 : INTAKE_SESSIONS_MAX;
}

static void set_config(struct intake *intake, const struct config *config)
{
    config_unref(intake->config);
    intake->config = config_ref(config);
    intake->user_sessions_max = ACCESS_SESSIONS_DEFAULT;
    for (size_t i = 0; i < config->access_count; i++) {
        unsigned max = access_sessions_max(&config->access[i]);
        if (max > intake->user_sessions_max)
            intake->user_sessions_max = max;
    }
}

/* At rest nothing wakes us up: the sweeper runs as long as there are sessions. */
static void sweeper_start(struct intake *intake)
{
    int64_t period_ms = intake->idle_ms / 4;

    if (event_pending(intake->sweeper, EV_TIMEOUT, NULL))
        return;
    if (period_ms > INTAKE_SWEEP_MAX_MS)
        period_ms = INTAKE_SWEEP_MAX_MS;
    const struct timeval period = { .tv_sec = period_ms / 1000,
                                    .tv_usec = (period_ms % 1000) * 1000 };
    (void)event_add(intake->sweeper, &period);
}

/* Before the name is known, and before anything is allocated for the session. */
static bool has_room_for(const struct intake *intake, const struct user *user)
{
    unsigned sessions = intake->shared.counts.sessions;
    unsigned reserved = 0;

    if (user->uid != 0)
        reserved = user->sessions < INTAKE_FEW_SESSIONS ? INTAKE_FOR_ROOT : INTAKE_FOR_NEWCOMERS;
    /* One more than allowed gets as far as being told the limit. */
    return sessions + reserved < intake->sessions_max &&
           user->sessions <= intake->user_sessions_max;
}

static void on_accepted(int fd, const struct listener_peer *peer, void *ctx)
{
    static const char no_room[] = "421 4.3.2 too many sessions\r\n";
    struct intake *intake = ctx;
    struct user *user = users_get(intake->shared.users, peer->uid);

    sweeper_start(intake);
    if (has_room_for(intake, user)) {
        dialogue_start(&intake->shared, intake->config, user, fd);
    } else {
        (void)!send(fd, no_room, sizeof no_room - 1, MSG_NOSIGNAL | MSG_DONTWAIT); /* a courtesy */
        (void)close(fd);
    }
    user_unref(user);
}

/* --- Housekeeping --- */

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    struct intake *intake = arg;

    (void)fd;
    (void)what;
    while (!TAILQ_EMPTY(&intake->shared.finished)) {
        struct dialogue *dialogue = TAILQ_FIRST(&intake->shared.finished);
        TAILQ_REMOVE(&intake->shared.finished, dialogue, link);
        dialogue_free(dialogue);
    }
}

static void log_accepted(const struct spool_submit *request)
{
    char recipients[UNITS_TEXT_SIZE];
    char size[UNITS_TEXT_SIZE];

    log_event(LOG_LEVEL_INFO, request->id, "accepted", "sender", request->sender, "recipients",
              units_format_count(recipients, request->recipient_count), "size",
              units_format_count(size, (uint64_t)request->size_bytes), "user", request->user, "tag",
              request->tag, NULL);
}

/* Of what was accepted all clients know by now: the log and the dispatcher are next. */
static void on_announce(evutil_socket_t fd, short what, void *arg)
{
    struct intake_shared *shared = &((struct intake *)arg)->shared;

    (void)fd;
    (void)what;
    while (!STAILQ_EMPTY(&shared->accepted)) {
        struct spool_submit *message = (struct spool_submit *)STAILQ_FIRST(&shared->accepted);
        STAILQ_REMOVE_HEAD(&shared->accepted, link);
        log_accepted(message);
        shared->options.accepted(message, shared->options.ctx);
        spool_submit_free(message);
    }
}

/* Safe against the current session leaving the list, which is all that a session can do to it. */
static void for_each_session(struct intake *intake,
                             void (*visit)(struct dialogue *dialogue, const struct intake *intake))
{
    struct dialogue *next = NULL;

    for (struct dialogue *s = TAILQ_FIRST(&intake->shared.sessions); s != NULL; s = next) {
        next = TAILQ_NEXT(s, link);
        visit(s, intake);
    }
}

static void check_idle(struct dialogue *dialogue, const struct intake *intake)
{
    dialogue_check_idle(dialogue, clock_monotonic_ms(), intake->idle_ms);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct intake *intake = arg;

    (void)fd;
    (void)what;
    for_each_session(intake, check_idle);
    users_sweep(intake->shared.users, clock_monotonic_ms());
    if (intake->shared.counts.sessions > 0)
        sweeper_start(intake);
}

static bool start_housekeeping(struct intake *intake)
{
    struct event_base *base = intake->shared.options.base;

    intake->shared.reaper = event_new(base, -1, 0, on_reap, intake);
    intake->shared.announcer = event_new(base, -1, 0, on_announce, intake);
    intake->sweeper = event_new(base, -1, 0, on_sweep, intake);
    return intake->shared.reaper != NULL && intake->shared.announcer != NULL &&
           intake->sweeper != NULL;
}

/* --- Life --- */

struct intake *intake_start(const struct intake_options *options, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/submit.sock", options->config->runtime_directory);
    struct intake *intake = NEW(struct intake);
    struct intake_shared *shared = &intake->shared;

    shared->options = *options;
    shared->options.config = NULL;
    TAILQ_INIT(&shared->sessions);
    TAILQ_INIT(&shared->finished);
    STAILQ_INIT(&shared->accepted);
    budget_init(&shared->budget);
    shared->users = users_new(options->resolver, options->mailbox);
    set_config(intake, options->config);
    intake->sessions_max = count_sessions_max();
    intake->idle_ms = options->idle_ms > 0 ? options->idle_ms : INTAKE_IDLE_MS;
    bool is_ok = start_housekeeping(intake) || fail(err, ERROR_BUSY, "intake: no events");
    if (is_ok)
        intake->listener = listener_open_unix(options->base, path, on_accepted, intake, err);
    if (intake->listener != NULL)
        return intake;
    intake_free(intake);
    return NULL;
}

void intake_reload(struct intake *intake, const struct config *config)
{
    set_config(intake, config);
}

static void stop_session(struct dialogue *dialogue, const struct intake *intake)
{
    (void)intake;
    dialogue_stop(dialogue);
}

void intake_stop(struct intake *intake)
{
    listener_close(TAKE(intake->listener));
    for_each_session(intake, stop_session);
}

bool intake_is_idle(const struct intake *intake)
{
    return intake->shared.counts.sessions == 0 && intake->shared.submission_count == 0 &&
           STAILQ_EMPTY(&intake->shared.accepted);
}

void intake_free(struct intake *intake)
{
    if (intake == NULL)
        return;
    MUST(intake_is_idle(intake) && budget_is_unused(&intake->shared.budget));
    on_reap(-1, 0, intake);
    listener_close(intake->listener);
    if (intake->sweeper != NULL)
        event_free(intake->sweeper);
    if (intake->shared.announcer != NULL)
        event_free(intake->shared.announcer);
    if (intake->shared.reaper != NULL)
        event_free(intake->shared.reaper);
    users_free(intake->shared.users);
    config_unref(intake->config);
    free(intake);
}

struct intake_counts intake_counts(const struct intake *intake)
{
    return intake->shared.counts;
}
