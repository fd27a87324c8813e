/* Copies bytes both ways with one bounded buffer for each direction. */
#include "smtp_pipe.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "cleanup.h"

struct flow {
    int from;
    int to;
    char bytes[16384];
    size_t len;
    bool is_ended;  /* from gave its last byte */
    bool is_broken; /* to takes no more */
};

static bool may_be_retried(int error)
{
    return error == EINTR || error == EAGAIN;
}

static void flow_read(struct flow *flow)
{
    ssize_t n = read(flow->from, flow->bytes, sizeof flow->bytes);

    if (n > 0)
        flow->len = (size_t)n;
    else if (n == 0 || !may_be_retried(errno))
        flow->is_ended = true;
}

static void flow_write(struct flow *flow)
{
    ssize_t n = write(flow->to, flow->bytes, flow->len);

    if (n > 0) {
        flow->len -= (size_t)n;
        memmove(flow->bytes, flow->bytes + n, flow->len);
    } else if (n < 0 && !may_be_retried(errno)) {
        flow->is_broken = true;
    }
}

/* Waits until something can move, then moves it. False: poll itself failed. */
static bool move(struct flow *flows, size_t count)
{
    struct pollfd waits[2];

    for (size_t i = 0; i < count; i++) {
        bool must_write = flows[i].len > 0;
        waits[i].fd = must_write ? flows[i].to : flows[i].is_ended ? -1 : flows[i].from;
        waits[i].events = must_write ? POLLOUT : POLLIN;
        waits[i].revents = 0;
    }
    if (poll(waits, (nfds_t)count, -1) < 0)
        return errno == EINTR;
    for (size_t i = 0; i < count; i++) {
        if (waits[i].revents == 0)
            continue;
        if (flows[i].len > 0)
            flow_write(&flows[i]);
        else
            flow_read(&flows[i]);
    }
    return true;
}

int smtp_pipe_run(int fd, int input_fd, int output_fd)
{
    struct flow flows[2] = {
        {.from = input_fd, .to = fd       },
        { .from = fd,      .to = output_fd}
    };
    struct flow *up = &flows[0];
    struct flow *down = &flows[1];
    bool is_shut = false;
    bool is_fine = true;

    while (is_fine && !down->is_broken && !(down->is_ended && down->len == 0)) {
        if (up->is_broken) { /* the daemon hung up on us; what it said still comes */
            up->len = 0;
            up->is_ended = true;
        }
        if (up->is_ended && up->len == 0 && !is_shut) {
            (void)shutdown(fd, SHUT_WR);
            is_shut = true;
        }
        is_fine = move(flows, COUNT_OF(flows));
    }
    (void)close(fd);
    return is_fine ? EX_OK : EX_TEMPFAIL;
}

int smtp_pipe_refuse(int output_fd)
{
    static const char line[] = "421 4.3.2 outboxd is not running, try again later\r\n";

    (void)!write(output_fd, line, sizeof line - 1); /* a caller that is gone needs no answer */
    return EX_TEMPFAIL;
}
