/* Plain sockets only: TLS begins on a socket that is connected, here as after STARTTLS. */
#include "connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "invariant.h"
#include "resolver.h"
#include "xalloc.h"

struct connector {
    struct event_base *base;
    struct event *event; /* of fd, or a timer that starts the first attempt */
    int fd;
    struct timeval timeout;
    connect_done_fn *done;
    void *ctx;
    struct connect_result result;
    size_t next;
    size_t count;
    struct resolver_address addresses[];
};

bool connect_is_loopback(const struct resolver_address *address)
{
    if (address->address.ss_family == AF_INET) {
        struct sockaddr_in in;
        (void)memcpy(&in, &address->address, sizeof in);
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->address.ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        (void)memcpy(&in6, &address->address, sizeof in6);
        return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
    }
    return false;
}

static void format_address(const struct resolver_address *address,
                           char ret_text[CONNECT_ADDRESS_SIZE])
{
    if (getnameinfo((const struct sockaddr *)&address->address, address->len, ret_text,
                    CONNECT_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) != 0)
        (void)snprintf(ret_text, CONNECT_ADDRESS_SIZE, "?");
}

static void drop_attempt(struct connector *connector)
{
    if (connector->event != NULL)
        event_free(connector->event);
    connector->event = NULL;
    if (connector->fd >= 0)
        (void)close(connector->fd);
    connector->fd = -1;
}

static void note_failure(struct connector *connector, enum trouble trouble, const char *reason)
{
    struct connect_result *result = &connector->result;

    result->trouble = trouble;
    (void)snprintf(result->text, sizeof result->text, "connect to %s: %s", result->address, reason);
    drop_attempt(connector);
}

static void on_attempt_event(evutil_socket_t fd, short what, void *arg);

/* False: this address is out already. */
static bool attempt(struct connector *connector, const struct resolver_address *address)
{
    static const int on = 1;

    format_address(address, connector->result.address);
    connector->result.is_loopback = connect_is_loopback(address);
    connector->fd =
        socket(address->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connector->fd < 0) {
        note_failure(connector, TROUBLE_CONNECT, strerror(errno));
        return false;
    }
    (void)setsockopt(connector->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(connector->fd, (const struct sockaddr *)&address->address, address->len) != 0 &&
        errno != EINPROGRESS) {
        note_failure(connector, TROUBLE_CONNECT, strerror(errno));
        return false;
    }
    connector->event =
        event_new(connector->base, connector->fd, EV_WRITE, on_attempt_event, connector);
    MUST(connector->event != NULL && event_add(connector->event, &connector->timeout) == 0);
    return true;
}

static void attempt_next(struct connector *connector)
{
    while (connector->next < connector->count)
        if (attempt(connector, &connector->addresses[connector->next++]))
            return;
    connector->done(&connector->result, connector->ctx);
}

static void on_attempt_event(evutil_socket_t fd, short what, void *arg)
{
    struct connector *connector = arg;
    int reason = 0;
    socklen_t len = sizeof reason;

    if ((what & EV_WRITE) == 0) {
        note_failure(connector, TROUBLE_TIMEOUT, "no answer");
        attempt_next(connector);
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &len) != 0)
        reason = errno;
    if (reason != 0) {
        note_failure(connector, TROUBLE_CONNECT, strerror(reason));
        attempt_next(connector);
        return;
    }
    event_free(connector->event);
    connector->event = NULL;
    connector->result.fd = connector->fd;
    connector->fd = -1;
    connector->done(&connector->result, connector->ctx);
}

static void on_start(evutil_socket_t fd, short what, void *arg)
{
    struct connector *connector = arg;

    (void)fd;
    (void)what;
    drop_attempt(connector);
    attempt_next(connector);
}

struct connector *connector_start(struct event_base *base, const struct resolver_address *addresses,
                                  size_t count, unsigned timeout_ms, connect_done_fn *done,
                                  void *ctx)
{
    static const struct timeval now = { 0 };
    struct connector *connector = xcalloc(1, sizeof *connector + count * sizeof addresses[0]);

    connector->base = base;
    connector->fd = -1;
    connector->timeout.tv_sec = timeout_ms / 1000;
    connector->timeout.tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000;
    connector->done = done;
    connector->ctx = ctx;
    connector->result.fd = -1;
    connector->count = count;
    (void)memcpy(connector->addresses, addresses, count * sizeof addresses[0]);
    connector->event = event_new(base, -1, 0, on_start, connector);
    MUST(connector->event != NULL && event_add(connector->event, &now) == 0);
    return connector;
}

void connector_free(struct connector *connector)
{
    if (connector == NULL)
        return;
    drop_attempt(connector);
    free(connector);
}
