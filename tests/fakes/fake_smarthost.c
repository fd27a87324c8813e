/* The scripted server: blocking sockets, but every wait also looks at the descriptor that ends the thread. */
#include "fake_smarthost.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "invariant.h"
#include "strbuf.h"
#include "xalloc.h"

struct fake_smarthost {
    struct fake_options options;
    int listener;
    int stop_fd;
    int progress_fd; /* counts rows played, down by those waited for */
    unsigned port;
    SSL_CTX *ctx;
    pthread_t thread;
    bool is_running;

    /* The thread's while it runs: */
    int fd;
    SSL *ssl;
    struct strbuf input;
    struct strbuf heard;
    struct strbuf heard_in_clear;
    struct strbuf message;
    char *problem;
    char server_name[256];
    unsigned messages;
    unsigned connections;
    size_t bytes_sent;
};

__attribute__((format(printf, 2, 3))) static void complain(struct fake_smarthost *fake,
                                                           const char *fmt, ...)
{
    va_list args;

    if (fake->problem != NULL)
        return;
    va_start(args, fmt);
    MUST(vasprintf(&fake->problem, fmt, args) >= 0);
    va_end(args);
}

/* False: the thread is to end. */
static bool wait_for(const struct fake_smarthost *fake, int fd, short events)
{
    struct pollfd fds[] = { { .fd = fd, .events = events },
                            { .fd = fake->stop_fd, .events = POLLIN } };

    while (poll(fds, 2, -1) < 0)
        MUST(errno == EINTR);
    return fds[1].revents == 0;
}

/* --- Bytes --- */

/* 0: the connection is over, for whatever reason. */
static size_t receive(struct fake_smarthost *fake, char *bytes, size_t size)
{
    for (;;) {
        if ((fake->ssl == NULL || SSL_pending(fake->ssl) == 0) && !wait_for(fake, fake->fd, POLLIN))
            return 0;
        ERR_clear_error();
        ssize_t len = fake->ssl != NULL ? SSL_read(fake->ssl, bytes, (int)size)
                                        : recv(fake->fd, bytes, size, 0);
        if (len > 0)
            return (size_t)len;
        if (fake->ssl == NULL || SSL_get_error(fake->ssl, (int)len) != SSL_ERROR_WANT_READ)
            return 0;
    }
}

static bool fill(struct fake_smarthost *fake)
{
    char bytes[65536];
    size_t size = fake->options.read_max > 0 ? fake->options.read_max : sizeof bytes;
    size_t len = receive(fake, bytes, size);

    strbuf_append(&fake->input, bytes, len);
    strbuf_append(&fake->heard, bytes, len);
    if (fake->ssl == NULL)
        strbuf_append(&fake->heard_in_clear, bytes, len);
    return len > 0;
}

static bool transmit(struct fake_smarthost *fake, const char *bytes, size_t len)
{
    size_t done = 0;

    while (done < len) {
        if (!wait_for(fake, fake->fd, POLLOUT))
            return false;
        ERR_clear_error();
        ssize_t sent = fake->ssl != NULL ? SSL_write(fake->ssl, bytes + done, (int)(len - done))
                                         : send(fake->fd, bytes + done, len - done, MSG_NOSIGNAL);
        if (sent > 0)
            done += (size_t)sent;
        else if (fake->ssl == NULL || SSL_get_error(fake->ssl, (int)sent) != SSL_ERROR_WANT_WRITE)
            return false;
    }
    return true;
}

static void cork(const struct fake_smarthost *fake, int on)
{
    if (fake->options.is_corked)
        MUST(setsockopt(fake->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on) == 0);
}

/* False: the connection is over, or is to be. */
static bool say(struct fake_smarthost *fake, const char *bytes, size_t len)
{
    bool is_first = fake->connections == 1;
    size_t step = fake->options.write_max > 0 ? fake->options.write_max : len;
    long cut_at = is_first ? fake->options.cut_at : -1;

    if (fake->options.is_updating_keys)
        MUST(SSL_key_update(fake->ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
    for (size_t at = 0; at < len; at += step) {
        size_t piece = len - at < step ? len - at : step;
        if (cut_at >= 0 && fake->bytes_sent + piece > (size_t)cut_at)
            piece = (size_t)cut_at - fake->bytes_sent;
        if (!transmit(fake, bytes + at, piece))
            return false;
        if (is_first)
            fake->bytes_sent += piece;
        if (cut_at >= 0 && fake->bytes_sent == (size_t)cut_at &&
            (piece < step || fake->options.is_cut_eager))
            return false;
    }
    cork(fake, 0);
    return true;
}

/* The next line with its CRLF, from fake->input; 0: there is none any more. */
static size_t next_line(struct fake_smarthost *fake)
{
    for (;;) {
        const char *end = memmem(fake->input.data, fake->input.len, "\r\n", 2);
        if (end != NULL)
            return (size_t)(end - fake->input.data) + 2;
        if (!fill(fake))
            return 0;
    }
}

/* --- Rows --- */

static bool expect_message(struct fake_smarthost *fake)
{
    strbuf_clear(&fake->message);
    for (size_t len = next_line(fake); len > 0; len = next_line(fake)) {
        const char *line = fake->input.data;
        bool is_dot = len == 3 && line[0] == '.';
        size_t stuffed = line[0] == '.' ? 1 : 0;
        if (!is_dot)
            strbuf_append(&fake->message, line + stuffed, len - stuffed);
        strbuf_consume(&fake->input, len);
        if (is_dot) {
            fake->messages++;
            return true;
        }
    }
    return false;
}

static bool expect_line(struct fake_smarthost *fake, const char *prefix)
{
    size_t len = next_line(fake);

    if (len == 0)
        return false;
    bool is_right =
        strcmp(prefix, "*") == 0 ||
        (len >= strlen(prefix) + 2 && strncmp(fake->input.data, prefix, strlen(prefix)) == 0);
    if (!is_right)
        complain(fake, "expected \"%s\", got \"%.*s\"", prefix, (int)len - 2, fake->input.data);
    strbuf_consume(&fake->input, len);
    return is_right;
}

static bool begin_tls(struct fake_smarthost *fake)
{
    fake->ssl = SSL_new(fake->ctx);
    MUST(fake->ssl != NULL && SSL_set_fd(fake->ssl, fake->fd) == 1);
    for (;;) {
        cork(fake, 1);
        ERR_clear_error();
        int rc = SSL_accept(fake->ssl);
        const char *name = SSL_get_servername(fake->ssl, TLSEXT_NAMETYPE_host_name);
        (void)snprintf(fake->server_name, sizeof fake->server_name, "%s", name != NULL ? name : "");
        if (rc == 1)
            return true;
        int reason = SSL_get_error(fake->ssl, rc);
        if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE)
            return false;
        cork(fake, 0);
        if (!wait_for(fake, fake->fd, reason == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT))
            return false;
    }
}

static void reset(struct fake_smarthost *fake)
{
    static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

    (void)setsockopt(fake->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* Waits for the client to go, without reading: POLLRDHUP comes also behind unread bytes. */
static void stall(struct fake_smarthost *fake)
{
    (void)wait_for(fake, fake->fd, POLLRDHUP);
}

static void hear_goodbye(struct fake_smarthost *fake)
{
    if (fill(fake))
        complain(fake, "got \"%s\" instead of a goodbye", fake->input.data);
    else if ((SSL_get_shutdown(fake->ssl) & SSL_RECEIVED_SHUTDOWN) == 0)
        complain(fake, "the client left without a goodbye");
    MUST(eventfd_write(fake->progress_fd, 1) == 0);
}

static bool play_row(struct fake_smarthost *fake, const struct fake_row *row)
{
    bool is_open = true;

    if (row->expect != NULL)
        is_open =
            strcmp(row->expect, ".") == 0 ? expect_message(fake) : expect_line(fake, row->expect);
    if (is_open && row->reply != NULL)
        is_open = say(fake, row->reply, strlen(row->reply));
    if (!is_open)
        return false;
    MUST(eventfd_write(fake->progress_fd, 1) == 0);
    switch (row->then) {
    case FAKE_GO_ON:
        return true;
    case FAKE_TLS:
        return begin_tls(fake);
    case FAKE_CLOSE:
        return false;
    case FAKE_RESET:
        reset(fake);
        return false;
    case FAKE_STALL:
        stall(fake);
        return false;
    case FAKE_REPEAT:
        while (say(fake, row->reply, strlen(row->reply)))
            ;
        return false;
    case FAKE_HEAR_GOODBYE:
        hear_goodbye(fake);
        return false;
    }
    return false;
}

static void serve(struct fake_smarthost *fake, const struct fake_row *script)
{
    static const int on = 1;

    (void)setsockopt(fake->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    MUST(fcntl(fake->fd, F_SETFL, O_NONBLOCK) == 0);
    strbuf_clear(&fake->input);
    bool is_open = !fake->options.is_implicit_tls || begin_tls(fake);
    for (const struct fake_row *row = script; is_open; row++)
        is_open = play_row(fake, row);
    SSL_free(TAKE(fake->ssl));
    (void)close(fake->fd);
    fake->fd = -1;
}

static void *run(void *arg)
{
    struct fake_smarthost *fake = arg;
    const struct fake_row *const *script = fake->options.scripts;

    while (wait_for(fake, fake->listener, POLLIN)) {
        fake->fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
        MUST(fake->fd >= 0);
        fake->connections++;
        if (*script == NULL) {
            complain(fake, "connection %u was not expected", fake->connections);
            (void)close(fake->fd);
            continue;
        }
        serve(fake, *script++);
    }
    return NULL;
}

/* --- From the test's thread --- */

static void load_certificate(struct fake_smarthost *fake)
{
    fake->ctx = SSL_CTX_new(TLS_server_method());
    MUST(fake->ctx != NULL);
    MUST(SSL_CTX_use_certificate_chain_file(fake->ctx, fake->options.certificate) == 1);
    MUST(SSL_CTX_use_PrivateKey_file(fake->ctx, fake->options.key, SSL_FILETYPE_PEM) == 1);
    (void)SSL_CTX_set_mode(fake->ctx,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (fake->options.max_protocol != NULL && strcmp(fake->options.max_protocol, "TLSv1.1") == 0) {
        SSL_CTX_set_security_level(fake->ctx, 0);
        (void)SSL_CTX_set_min_proto_version(fake->ctx, TLS1_VERSION);
        (void)SSL_CTX_set_max_proto_version(fake->ctx, TLS1_1_VERSION);
    }
    if (fake->options.max_protocol != NULL && strcmp(fake->options.max_protocol, "TLSv1.2") == 0)
        (void)SSL_CTX_set_max_proto_version(fake->ctx, TLS1_2_VERSION);
}

static void listen_somewhere(struct fake_smarthost *fake)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;

    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fake->listener >= 0);
    MUST(bind(fake->listener, (struct sockaddr *)&address, sizeof address) == 0);
    MUST(listen(fake->listener, 16) == 0);
    MUST(getsockname(fake->listener, (struct sockaddr *)&address, &len) == 0);
    fake->port = ntohs(address.sin_port);
}

struct fake_smarthost *fake_smarthost_start(const struct fake_options *options)
{
    struct fake_smarthost *fake = NEW(struct fake_smarthost);

    (void)signal(SIGPIPE, SIG_IGN); /* SSL_write knows no MSG_NOSIGNAL */
    fake->options = *options;
    strbuf_init(&fake->input);
    strbuf_init(&fake->heard);
    strbuf_init(&fake->heard_in_clear);
    strbuf_init(&fake->message);
    if (options->certificate != NULL)
        load_certificate(fake);
    listen_somewhere(fake);
    if (options->is_port_closed) {
        (void)close(fake->listener);
        fake->listener = -1;
    }
    fake->stop_fd = eventfd(0, EFD_CLOEXEC);
    fake->progress_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    MUST(fake->stop_fd >= 0 && fake->progress_fd >= 0);
    MUST(pthread_create(&fake->thread, NULL, run, fake) == 0);
    fake->is_running = true;
    return fake;
}

unsigned fake_smarthost_port(const struct fake_smarthost *fake)
{
    return fake->port;
}

void fake_smarthost_wait(struct fake_smarthost *fake, unsigned rows)
{
    eventfd_t one = 0;

    for (unsigned i = 0; i < rows; i++)
        MUST(eventfd_read(fake->progress_fd, &one) == 0);
}

void fake_smarthost_stop(struct fake_smarthost *fake)
{
    if (!fake->is_running)
        return;
    MUST(eventfd_write(fake->stop_fd, 1) == 0);
    MUST(pthread_join(fake->thread, NULL) == 0);
    fake->is_running = false;
}

void fake_smarthost_free(struct fake_smarthost *fake)
{
    if (fake == NULL)
        return;
    fake_smarthost_stop(fake);
    if (fake->listener >= 0)
        (void)close(fake->listener);
    (void)close(fake->stop_fd);
    (void)close(fake->progress_fd);
    SSL_CTX_free(fake->ctx);
    strbuf_done(&fake->input);
    strbuf_done(&fake->heard);
    strbuf_done(&fake->heard_in_clear);
    strbuf_done(&fake->message);
    free(fake->problem);
    free(fake);
}

const char *fake_smarthost_problem(const struct fake_smarthost *fake)
{
    return fake->problem;
}

const char *fake_smarthost_heard(const struct fake_smarthost *fake)
{
    return fake->heard.data;
}

const char *fake_smarthost_heard_in_clear(const struct fake_smarthost *fake)
{
    return fake->heard_in_clear.data;
}

const char *fake_smarthost_server_name(const struct fake_smarthost *fake)
{
    return fake->server_name;
}

const char *fake_smarthost_message(const struct fake_smarthost *fake, size_t *ret_len)
{
    *ret_len = fake->message.len;
    return fake->message.data;
}

unsigned fake_smarthost_messages(const struct fake_smarthost *fake)
{
    return fake->messages;
}

unsigned fake_smarthost_connections(const struct fake_smarthost *fake)
{
    return fake->connections;
}

size_t fake_smarthost_bytes_sent(const struct fake_smarthost *fake)
{
    return fake->bytes_sent;
}
