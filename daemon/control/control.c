/* Starts and stops the control socket and keeps its connections. What is asked over them is in the other files. */
#include "control.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "xalloc.h"

#include "config.h"
#include "listener.h"
#include "log.h"

#include "connection.h"

enum {
    CONNECTIONS_MAX = 256,
    CONNECTIONS_PER_USER_MAX = 32, /* nobody may take the socket from the others; root is exempt */
};

struct control {
    struct connection_host host;
    const struct config *config;
    struct listener *listener;
    struct connection_list connections;
    struct event *reap; /* frees what has finished, from outside of its own callbacks */
};

static bool may_connect(const struct control *control, uid_t uid)
{
    unsigned all = 0;
    unsigned own = 0;

    for (const struct connection *at = LIST_FIRST(&control->connections); at != NULL;
         at = connection_list_next(at)) {
        all++;
        own += connection_uid(at) == uid ? 1 : 0;
    }
    return uid == 0 || (all < CONNECTIONS_MAX && own < CONNECTIONS_PER_USER_MAX);
}

static void on_accepted(int fd, const struct listener_peer *peer, void *ctx)
{
    static const char busy[] = "{\"status\":75,\"error\":\"too many connections\"}\n";
    struct control *control = ctx;

    if (!may_connect(control, peer->uid)) {
        (void)send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)close(fd);
        return;
    }
    struct connection *connection = connection_new(&control->host, fd, peer->uid);
    if (connection != NULL)
        connection_list_insert(&control->connections, connection);
}

static void on_finished(void *ctx)
{
    struct control *control = ctx;

    event_active(control->reap, EV_TIMEOUT, 0);
}

static void on_reap(evutil_socket_t fd, short what, void *ctx)
{
    struct control *control = ctx;
    struct connection *next = NULL;

    (void)fd;
    (void)what;
    for (struct connection *at = LIST_FIRST(&control->connections); at != NULL; at = next) {
        next = connection_list_next(at);
        if (connection_is_finished(at))
            connection_free(at);
    }
}

struct control *control_start(const struct control_options *options, struct error *err)
{
    struct control *control = NEW(struct control);
    AUTO_FREE char *path = xasprintf("%s/control.sock", options->config->runtime_directory);

    control->host = (struct connection_host){
        .base = options->base,
        .mailbox = options->mailbox,
        .spool = options->spool,
        .resolver = options->resolver,
        .dispatcher = options->dispatcher,
        .finished = on_finished,
        .ctx = control,
    };
    control->config = config_ref(options->config);
    LIST_INIT(&control->connections);
    control->reap = event_new(options->base, -1, 0, on_reap, control);
    if (control->reap == NULL)
        (void)fail(err, ERROR_BUSY, "control socket: out of memory or descriptors");
    else
        control->listener = listener_open_unix(options->base, path, on_accepted, control, err);
    if (control->listener == NULL) {
        control_free(control);
        return NULL;
    }
    return control;
}

void control_reload(struct control *control, const struct config *config)
{
    config_unref(control->config);
    control->config = config_ref(config);
}

void control_stop(struct control *control)
{
    control->host.is_stopping = true;
    if (control->listener != NULL)
        listener_close(TAKE(control->listener));
    for (struct connection *at = LIST_FIRST(&control->connections); at != NULL;
         at = connection_list_next(at))
        connection_stop(at);
}

void control_hang_up(struct control *control)
{
    for (struct connection *at = LIST_FIRST(&control->connections); at != NULL;
         at = connection_list_next(at))
        connection_hang_up(at);
}

bool control_is_idle(const struct control *control)
{
    return LIST_EMPTY(&control->connections);
}

void control_free(struct control *control)
{
    if (control == NULL)
        return;
    if (control->listener != NULL)
        listener_close(control->listener);
    on_reap(-1, 0, control);
    if (control->reap != NULL)
        event_free(control->reap);
    config_unref(control->config);
    free(control);
}
