/* read(2) and send(2) behind two events. */
#include "connection.h"

#include <errno.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include "invariant.h"

enum { OUTPUT_BYTES = 256 }; /* the reply to EHLO fits in */

/* Nothing is heard of it any more; the owner closes it outside of its callbacks. */
static void give_up(struct connection *connection)
{
    if (connection->is_over)
        return;
    connection->is_over = true;
    (void)event_del(connection->readable);
    (void)event_del(connection->writable);
    connection->over(connection->ctx);
}

/* A long input is rare: its memory is not kept for the rest of the session. */
static void trim(struct strbuf *buf)
{
    if (buf->len > 0 || buf->capacity <= CONNECTION_IDLE_BYTES)
        return;
    strbuf_done(buf);
    strbuf_init(buf);
}

static void want_read(struct connection *connection)
{
    bool may_read = !connection->is_closing && !connection->is_read_ended &&
                    connection->input.len < CONNECTION_KEPT_MAX;

    if (may_read)
        (void)event_add(connection->readable, NULL); /* no-op when it is */
    else
        (void)event_del(connection->readable);
}

static size_t offer_kept(struct connection *connection)
{
    struct strbuf *input = &connection->input;

    if (input->len == 0)
        return 0;
    size_t used = connection->input_arrived(input->data, input->len, connection->ctx);
    strbuf_consume(input, used);
    return used;
}

static void offer(struct connection *connection, const char *bytes, size_t len)
{
    if (connection->input.len > 0) {
        strbuf_append(&connection->input, bytes, len);
        (void)offer_kept(connection);
        return;
    }
    size_t used = connection->input_arrived(bytes, len, connection->ctx);
    strbuf_append(&connection->input, bytes + used, len - used);
}

/* Input may have been left because there was too much output; once that is written, nothing else would bring it up
   again. */
static void after_input(struct connection *connection)
{
    size_t used = 0;

    do {
        connection_flush(connection);
        if (connection->is_over)
            return;
        bool may_go_on = connection->output.len == 0 && !connection->is_closing;
        used = may_go_on ? offer_kept(connection) : 0;
    } while (used > 0);
    trim(&connection->input);
    want_read(connection);
    if (connection->is_read_ended && !connection->is_closing)
        connection->read_ended(connection->ctx);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;
    ssize_t n = read((int)fd, connection->read_buffer, connection->read_buffer_size);

    (void)what;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        give_up(connection);
        return;
    }
    if (n == 0)
        connection->is_read_ended = true;
    else
        offer(connection, connection->read_buffer, (size_t)n);
    after_input(connection);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct connection *connection = arg;

    (void)fd;
    (void)what;
    connection_flush(connection);
    if (!connection->is_over && connection->output.len == 0)
        connection_resume(connection); /* input may have waited for the output to drain */
}

bool connection_open(struct connection *connection, struct event_base *base, int fd)
{
    connection->fd = fd;
    strbuf_init(&connection->input);
    strbuf_init_sized(&connection->output, OUTPUT_BYTES);
    connection->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, connection);
    connection->writable = event_new(base, fd, EV_WRITE, on_writable, connection);
    if (connection->readable != NULL && connection->writable != NULL &&
        event_add(connection->readable, NULL) == 0)
        return true;
    connection_close(connection);
    return false;
}

void connection_close(struct connection *connection)
{
    if (connection->readable != NULL)
        event_free(connection->readable);
    if (connection->writable != NULL)
        event_free(connection->writable);
    connection->readable = NULL;
    connection->writable = NULL;
    if (connection->fd >= 0)
        (void)close(connection->fd);
    connection->fd = -1;
    strbuf_done(&connection->input);
    strbuf_done(&connection->output);
}

void connection_resume(struct connection *connection)
{
    if (connection->is_over || connection->is_closing)
        return;
    (void)offer_kept(connection);
    after_input(connection);
}

void connection_flush(struct connection *connection)
{
    struct strbuf *output = &connection->output;

    if (connection->is_over)
        return;
    while (output->len > 0) {
        ssize_t n = send(connection->fd, output->data, output->len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            (void)event_add(connection->writable, NULL);
            return;
        }
        if (n < 0) {
            give_up(connection);
            return;
        }
        strbuf_consume(output, (size_t)n);
    }
    trim(output);
    if (connection->is_closing)
        give_up(connection);
}

void connection_end(struct connection *connection)
{
    if (connection->is_over)
        return;
    connection->is_closing = true;
    (void)event_del(connection->readable);
}

void connection_break(struct connection *connection)
{
    give_up(connection);
}
