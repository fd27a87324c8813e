/* Joins the parts of the daemon on the main thread. What each part does stands in its own header. */
#include "server.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "config.h"
#include "control.h"
#include "delivery.h"
#include "dispatcher.h"
#include "error.h"
#include "intake.h"
#include "invariant.h"
#include "log.h"
#include "mailbox.h"
#include "resolver.h"
#include "spool.h"
#include "xalloc.h"

enum {
    RESOLVER_THREADS = 2,
    SLOTS_MAX = 4096,             /* sessions to smarthosts, all lanes together */
    MARKS_MAX = SLOTS_MAX + 1024, /* and deliveries whose outcome waits for its commit */
    STOP_FINISH_MS = 5000,        /* for transactions to end by themselves */
    STOP_CUT_MS = 1000,           /* for those that are cut off */
    STOP_RECORD_MS = 2500,        /* for their outcomes to be committed */
    STOP_CHECK_MS = 10,
    RESOLVER_GRACE_MS = 200,
};

struct server {
    struct event_base *base;
    struct mailbox *mailbox;
    const struct config *config; /* a reference */
    struct resolver *resolver;
    struct spool *spool;
    struct delivery *delivery;
    struct dispatcher *dispatcher;
    struct intake *intake;
    struct control *control;
    struct event *signals[3];
    struct event *stop_check;
    int64_t stop_deadline_ms; /* monotonic; 0: not stopping */
};

/* --- A body for a delivery thread: asked of the spool, answered to the thread that asked --- */

static void on_body_read(struct spool_request *request)
{
    struct spool_chunk *read = (struct spool_chunk *)request;
    struct delivery_chunk *wanted = request->ctx;

    if (!request->is_ok)
        log_line(LOG_LEVEL_ERROR, "spool", "a body cannot be read: %s", request->error.text);
    delivery_chunk_answer(wanted, request->is_ok ? TAKE(read->data) : NULL);
    spool_chunk_free(read);
}

static void on_chunk_wanted(struct delivery_chunk *wanted, void *ctx)
{
    struct server *server = ctx;
    struct spool_chunk *read = spool_chunk_new(wanted->key, wanted->index, NULL);

    read->request.reply_to = wanted->reply_to;
    read->request.done = on_body_read;
    read->request.ctx = wanted;
    spool_chunk_read(server->spool, read);
}

/* --- Signals --- */

static void report_to_log(const char *text, bool is_warning, void *ctx)
{
    (void)ctx;
    log_line(LOG_LEVEL_WARNING, is_warning ? "config" : "config-error", "%s", text);
}

static void on_reload(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;

    (void)fd;
    (void)what;
    if (server->stop_deadline_ms != 0)
        return;
    const struct config *config = config_load(server->config->path, report_to_log, NULL);
    if (config == NULL) {
        log_line(LOG_LEVEL_WARNING, "reload", "%s was refused, the old configuration stays",
                 server->config->path);
        return;
    }
    if (strcmp(config->state_directory, server->config->state_directory) != 0 ||
        strcmp(config->runtime_directory, server->config->runtime_directory) != 0 ||
        config->workers != server->config->workers)
        log_line(LOG_LEVEL_WARNING, "reload",
                 "state-directory, runtime-directory and workers take effect at the next start");
    intake_reload(server->intake, config);
    dispatcher_reload(server->dispatcher, config);
    control_reload(server->control, config);
    spool_history_set(server->spool, config->history_s);
    config_unref(server->config);
    server->config = config;
    log_line(LOG_LEVEL_INFO, "reload", "%s is in force", config->path);
}

static bool is_settled(const struct server *server)
{
    return (server->intake == NULL || intake_is_idle(server->intake)) &&
           (server->dispatcher == NULL || dispatcher_is_idle(server->dispatcher)) &&
           (server->control == NULL || control_is_idle(server->control));
}

static void on_stop_check(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;

    (void)fd;
    (void)what;
    if (is_settled(server) || clock_monotonic_ms() >= server->stop_deadline_ms)
        (void)event_base_loopbreak(server->base);
}

/* Nothing new from now on; what is under way may take until the deadline. */
static void begin_to_stop(struct server *server, int64_t limit_ms)
{
    static const struct timeval check = { .tv_usec = STOP_CHECK_MS * 1000 };
    bool is_first = server->stop_deadline_ms == 0;

    server->stop_deadline_ms = clock_monotonic_ms() + limit_ms;
    (void)event_add(server->stop_check, &check);
    if (is_first && server->control != NULL)
        control_stop(server->control);
    if (is_first && server->intake != NULL)
        intake_stop(server->intake);
    if (server->dispatcher != NULL)
        dispatcher_stop(server->dispatcher);
}

static void on_stop(evutil_socket_t signal_number, short what, void *arg)
{
    struct server *server = arg;

    (void)what;
    if (server->stop_deadline_ms != 0)
        return;
    log_line(LOG_LEVEL_INFO, "stop", "%s", signal_number == SIGTERM ? "SIGTERM" : "SIGINT");
    begin_to_stop(server, STOP_FINISH_MS);
}

static void signals_add(struct server *server)
{
    static const struct {
        int number;
        event_callback_fn handler;
    } wanted[COUNT_OF(server->signals)] = {
        { SIGTERM, on_stop },
        { SIGINT, on_stop },
        { SIGHUP, on_reload },
    };

    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        server->signals[i] =
            evsignal_new(server->base, wanted[i].number, wanted[i].handler, server);
        MUST(server->signals[i] != NULL && event_add(server->signals[i], NULL) == 0);
    }
}

/* --- Start and stop, which mirror each other --- */

static bool start_engines(struct server *server, struct error *err)
{
    const struct config *config = server->config;

    server->resolver = resolver_start(RESOLVER_THREADS, err);
    if (server->resolver == NULL)
        return false;
    server->spool = spool_start(config->state_directory, err);
    if (server->spool == NULL)
        return false;
    spool_history_set(server->spool, config->history_s);
    const struct delivery_options delivery = { .threads = config->workers,
                                               .slots_max = SLOTS_MAX,
                                               .marks_max = MARKS_MAX,
                                               .state_directory = config->state_directory,
                                               .resolver = server->resolver,
                                               .chunk_wanted = on_chunk_wanted,
                                               .chunk_ctx = server };
    server->delivery = delivery_start(&delivery, err);
    return server->delivery != NULL;
}

static bool start_doors(struct server *server, struct error *err)
{
    const struct dispatcher_options dispatcher = { .base = server->base,
                                                   .mailbox = server->mailbox,
                                                   .spool = server->spool,
                                                   .config = server->config,
                                                   .delivery = server->delivery,
                                                   .slots_max = SLOTS_MAX,
                                                   .marks_max = MARKS_MAX };
    server->dispatcher = dispatcher_start(&dispatcher);
    const struct intake_options intake = { .base = server->base,
                                           .mailbox = server->mailbox,
                                           .spool = server->spool,
                                           .resolver = server->resolver,
                                           .config = server->config,
                                           .accepted = dispatcher_message_accepted,
                                           .ctx = server->dispatcher };
    server->intake = intake_start(&intake, err);
    if (server->intake == NULL)
        return false;
    const struct control_options control = { .base = server->base,
                                             .mailbox = server->mailbox,
                                             .spool = server->spool,
                                             .resolver = server->resolver,
                                             .dispatcher = server->dispatcher,
                                             .config = server->config };
    server->control = control_start(&control, err);
    return server->control != NULL;
}

static bool start(struct server *server, struct error *err)
{
    server->base = event_base_new();
    server->mailbox = server->base != NULL ? mailbox_new(server->base, NULL, NULL) : NULL;
    if (server->mailbox == NULL)
        return fail(err, ERROR_BUSY, "no event loop (out of file descriptors?)");
    signals_add(server);
    server->stop_check = event_new(server->base, -1, EV_PERSIST, on_stop_check, server);
    MUST(server->stop_check != NULL);
    return start_engines(server, err) && start_doors(server, err);
}

/* Lets the main loop run until everything is answered, at most so long. Also after a start that failed halfway. */
static void settle_until(struct server *server, int64_t limit_ms)
{
    if (server->stop_check == NULL)
        return;
    begin_to_stop(server, limit_ms);
    if (server->control != NULL)
        control_hang_up(server->control);
    if (!is_settled(server))
        (void)event_base_dispatch(server->base);
    (void)event_del(server->stop_check);
}

/* As after a crash: what was committed is kept, what was not has not been promised. Not through the log, whose thread
   cannot end while others still use it. */
static _Noreturn void leave(void)
{
    (void)dprintf(STDERR_FILENO, "stop: the spool does not answer; leaving without it\n");
    _exit(EXIT_STATUS_TEMPORARY);
}

static void stop(struct server *server)
{
    if (server->delivery != NULL)
        delivery_stop(server->delivery, STOP_CUT_MS);
    settle_until(server, STOP_RECORD_MS);
    if (!is_settled(server))
        leave();
    control_free(server->control);
    intake_free(server->intake);
    if (server->spool != NULL)
        spool_stop(server->spool);
    if (server->resolver != NULL)
        resolver_stop(server->resolver, RESOLVER_GRACE_MS);
    delivery_free(server->delivery);
    mailbox_free(server->mailbox); /* what is still under way arrives at the dispatcher */
    dispatcher_free(server->dispatcher);
    for (size_t i = 0; i < COUNT_OF(server->signals); i++)
        if (server->signals[i] != NULL)
            event_free(server->signals[i]);
    if (server->stop_check != NULL)
        event_free(server->stop_check);
    if (server->base != NULL)
        event_base_free(server->base);
    config_unref(server->config);
}

int server_run(const struct config *config)
{
    struct server server = { .config = config_ref(config) };
    struct error err;
    bool is_started = start(&server, &err);

    if (is_started) {
        log_line(LOG_LEVEL_INFO, "start", "outboxd %s listens in %s", OUTBOX_VERSION,
                 config->runtime_directory);
        (void)event_base_dispatch(server.base);
    } else {
        log_line(LOG_LEVEL_ERROR, "start", "%s", err.text);
    }
    stop(&server);
    if (is_started) {
        log_line(LOG_LEVEL_INFO, "stop", "done");
        return EXIT_STATUS_OK;
    }
    return err.code == ERROR_CONFIG ? EXIT_STATUS_CONFIG : EXIT_STATUS_START;
}
