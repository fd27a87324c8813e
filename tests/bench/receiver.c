/* One epoll loop that receives mail. A session is a buffer that is cut into lines, or scanned for the final dot.
   Replies of one turn leave in one write; a peer that does not read them is dropped. */
#include "receiver.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cleanup.h"
#include "endpoint.h"
#include "error.h"
#include "strbuf.h"
#include "stream.h"
#include "xalloc.h"

enum { INPUT_SIZE = 65536, EVENTS_PER_TURN = 256 };

static const char end_of_data[] = "\r\n.\r\n";
enum { END_LEN = sizeof end_of_data - 1, AT_LINE_START = 2 };

struct receiver_session {
    struct stream stream;
    bool is_in_data;
    bool is_waiting;  /* for receiver_answer() */
    bool is_stepping; /* inside step(): an answer must not recurse */
    bool is_over;     /* QUIT was seen */
    int rcpt_count;
    int matched; /* bytes of end_of_data that just went by */
    size_t input_len;
    struct strbuf output;
    void *data;
    char input[INPUT_SIZE];
};

static struct {
    struct receiver_options options;
    const struct receiver_handler *handler;
    struct ssl_ctx_st *tls; /* NULL: in clear */
    struct receiver_counts counts;
    int epoll_fd;
    int listen_fd;
    int signal_fd;
} receiver;

struct verb {
    const char *name;
    void (*act)(struct receiver_session *session);
};

static void say(struct receiver_session *session, const char *reply)
{
    strbuf_append_text(&session->output, reply);
}

static void on_hello(struct receiver_session *session)
{
    say(session, "250-bench.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
                 "250-SIZE 200000000\r\n250 ENHANCEDSTATUSCODES\r\n");
}

static void on_mail(struct receiver_session *session)
{
    session->rcpt_count = 0;
    say(session, receiver.options.is_refusing ? "451 4.3.0 later\r\n" : "250 2.1.0 ok\r\n");
}

static void on_rcpt(struct receiver_session *session)
{
    if (receiver.options.is_refusing) {
        say(session, "451 4.3.0 later\r\n");
        return;
    }
    session->rcpt_count++;
    say(session, "250 2.1.5 ok\r\n");
}

static void on_data(struct receiver_session *session)
{
    if (session->rcpt_count == 0) {
        say(session, "503 5.5.1 no recipient\r\n");
        return;
    }
    session->is_in_data = true;
    session->matched = AT_LINE_START;
    say(session, "354 go\r\n");
}

static void on_quit(struct receiver_session *session)
{
    session->is_over = true;
    say(session, "221 2.0.0 bye\r\n");
}

static const struct verb verbs[] = {
    { "EHLO", on_hello }, { "LHLO", on_hello }, { "MAIL", on_mail },
    { "RCPT", on_rcpt },  { "DATA", on_data },  { "QUIT", on_quit },
};

static void on_line(struct receiver_session *session, const char *line)
{
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (strncasecmp(line, verbs[i].name, 4) == 0) {
            verbs[i].act(session);
            return;
        }
    }
    say(session, "250 2.0.0 ok\r\n"); /* HELO, RSET, NOOP */
}

/* How many bytes belong to the message; session->matched is END_LEN when that was all of it. */
static size_t scan_data(struct receiver_session *session, const char *bytes, size_t len)
{
    size_t pos = 0;

    while (pos < len && session->matched < END_LEN) {
        if (session->matched == 0) {
            const char *cr = memchr(bytes + pos, '\r', len - pos);
            if (cr == NULL)
                return len;
            pos = (size_t)(cr - bytes);
        }
        char c = bytes[pos++];
        if (c == end_of_data[session->matched])
            session->matched++;
        else
            session->matched = c == '\r' ? 1 : 0;
    }
    return pos;
}

static size_t take_data(struct receiver_session *session, const char *bytes, size_t len)
{
    size_t taken = scan_data(session, bytes, len);

    receiver.handler->on_body(session, bytes, taken);
    if (session->matched == END_LEN) {
        session->is_in_data = false;
        session->is_waiting = true;
        receiver.handler->on_end(session);
    }
    return taken;
}

/* 0 when no whole line is there yet. */
static size_t take_line(struct receiver_session *session, char *bytes, size_t len)
{
    char *end = memchr(bytes, '\n', len);

    if (end == NULL)
        return 0;
    *end = '\0';
    on_line(session, bytes);
    return (size_t)(end - bytes) + 1;
}

/* Works through the input as far as it goes. */
static void step(struct receiver_session *session)
{
    size_t pos = 0;

    session->is_stepping = true;
    while (pos < session->input_len && !session->is_waiting && !session->is_over) {
        char *bytes = session->input + pos;
        size_t len = session->input_len - pos;
        size_t taken =
            session->is_in_data ? take_data(session, bytes, len) : take_line(session, bytes, len);
        if (taken == 0)
            break;
        pos += taken;
    }
    session->is_stepping = false;
    session->input_len -= pos;
    (void)memmove(session->input, session->input + pos, session->input_len);
}

/* false: the session is over, or its peer does not read. What is said during a handshake waits for its end. */
static bool flush(struct receiver_session *session)
{
    while (session->output.len > 0) {
        const struct iovec output[2] = { { session->output.data, session->output.len } };
        ssize_t n = stream_write(&session->stream, output);
        if (n <= 0)
            break;
        strbuf_consume(&session->output, (size_t)n);
    }
    return !session->is_over && (session->output.len == 0 || !stream_is_ready(&session->stream));
}

static void session_free(struct receiver_session *session)
{
    receiver.handler->on_close(session);
    receiver.counts.live--;
    stream_done(&session->stream);
    strbuf_done(&session->output);
    free(session);
}

static void session_accept(int fd)
{
    struct receiver_session *session = xrealloc(NULL, 1, sizeof *session);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = session };

    /* Not zeroed as a whole: 64 KiB of input per connection would be most of the work. */
    (void)memset(session, 0, offsetof(struct receiver_session, input));
    stream_init(&session->stream, fd, receiver.tls);
    strbuf_init(&session->output);
    receiver.counts.sessions++;
    receiver.counts.live++;
    endpoint_send_at_once(fd);
    say(session, "220 bench.example ESMTP\r\n");
    if (epoll_ctl(receiver.epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0 || !flush(session))
        session_free(session);
}

static void accept_all(void)
{
    for (;;) {
        int fd = accept4(receiver.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        session_accept(fd);
    }
}

/* false: the session is gone, or there is nothing more to read. */
static bool session_take(struct receiver_session *session)
{
    const int on = 1;
    ssize_t n = stream_read(&session->stream, session->input + session->input_len,
                            sizeof session->input - session->input_len);
    bool is_empty = n < 0 && (errno == EAGAIN || errno == EINTR);

    if (n > 0) {
        if (receiver.options.is_quick_ack)
            (void)setsockopt(session->stream.fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        session->input_len += (size_t)n;
        step(session);
    }
    if ((n <= 0 && !is_empty) || !flush(session)) { /* 0 is also a full buffer without a line end */
        session_free(session);
        return false;
    }
    return !is_empty;
}

static void session_read(struct receiver_session *session)
{
    bool is_more = true;

    while (is_more)
        is_more = session_take(session) && stream_has_more(&session->stream);
}

void receiver_answer(struct receiver_session *session, const char *reply)
{
    int count = receiver.options.is_lmtp ? session->rcpt_count : 1;

    for (int i = 0; i < count; i++)
        say(session, reply);
    session->rcpt_count = 0;
    session->is_waiting = false;
    if (session->is_stepping)
        return;
    step(session);
    if (!flush(session))
        session_free(session);
}

static bool watch(int fd, void *what, struct error *err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

    if (epoll_ctl(receiver.epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return fail(err, ERROR_IO, "epoll: %s", strerror(errno));
    return true;
}

static bool start(const struct endpoint *endpoint, struct error *err)
{
    const char *identity = receiver.options.tls_identity;
    sigset_t ending;

    if (identity != NULL) {
        receiver.tls = stream_server_context_new(identity, err);
        if (receiver.tls == NULL)
            return false;
    }
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ending, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    receiver.signal_fd = signalfd(-1, &ending, SFD_CLOEXEC);
    receiver.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (receiver.signal_fd < 0 || receiver.epoll_fd < 0)
        return fail(err, ERROR_IO, "epoll: %s", strerror(errno));
    return endpoint_listen(endpoint, &receiver.listen_fd, err) &&
           watch(receiver.listen_fd, &receiver.listen_fd, err) &&
           watch(receiver.signal_fd, &receiver.signal_fd, err);
}

/* false: a signal said that it is over. */
static bool turn(int timeout_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(receiver.epoll_fd, events, EVENTS_PER_TURN, timeout_ms);

    for (int i = 0; i < count; i++) {
        void *what = events[i].data.ptr;
        if (what == &receiver.signal_fd)
            return false;
        if (what == &receiver.listen_fd)
            accept_all();
        else
            session_read(what);
    }
    return true;
}

bool receiver_run(const struct endpoint *endpoint, const struct receiver_options *options,
                  const struct receiver_handler *handler, struct error *err)
{
    int timeout_ms = -1;

    receiver.options = *options;
    receiver.handler = handler;
    if (!start(endpoint, err))
        return false;
    while (turn(timeout_ms))
        timeout_ms = handler->on_turn();
    (void)close(receiver.listen_fd);
    (void)close(receiver.signal_fd);
    (void)close(receiver.epoll_fd);
    stream_context_free(receiver.tls);
    return true;
}

const struct receiver_counts *receiver_counts(void)
{
    return &receiver.counts;
}

void *receiver_session_data(const struct receiver_session *session)
{
    return session->data;
}

void receiver_session_set_data(struct receiver_session *session, void *data)
{
    session->data = data;
}
