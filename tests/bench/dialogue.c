/* SMTP clients on one epoll loop. A client goes down the table of steps; a reply either leads to the next step or
   ends the session, which is then dialled anew after a pause. */
#include "dialogue.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "strbuf.h"
#include "stream.h"
#include "xalloc.h"

enum {
    INPUT_SIZE = 8192,
    COMMAND_SIZE = 1024,
    EVENTS_PER_TURN = 128,
    IDLE_TURN_MS = 200,
    SESSIONS_FAILED_MAX = 20000,
};

/* How long a session rests before it is dialled again. */
static const uint64_t pause_full_backlog_ns = 1000000;
static const uint64_t pause_failed_ns = 20000000;

enum step {
    STEP_RESTING, /* no connection */
    STEP_PAUSING, /* between two messages of a session */
    STEP_BANNER,
    STEP_HELLO,
    STEP_MAIL,
    STEP_RCPT,
    STEP_DATA,
    STEP_BODY,
    STEP_COUNT,
};

struct client {
    struct stream stream; /* fd -1: no connection */
    enum step step;
    bool is_writing; /* registered for EPOLLOUT */
    long sent;       /* messages begun in this session */
    long sequence;
    uint64_t begin_ns;
    uint64_t wake_ns;
    size_t input_len;
    struct iovec output[2]; /* what is still to be written */
    TAILQ_ENTRY(client) entry;
    char input[INPUT_SIZE];
    char command[COMMAND_SIZE];
};

static struct {
    const struct load_plan *plan;
    struct load_result *result;
    struct strbuf body;
    struct ssl_ctx_st *tls; /* NULL: in clear */
    int epoll_fd;
    TAILQ_HEAD(, client) resting; /* and pausing */
} load;

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void note_problem(const char *text)
{
    if (load.result->first_problem[0] == '\0')
        (void)snprintf(load.result->first_problem, sizeof load.result->first_problem, "%s", text);
}

static void client_sleep(struct client *client, enum step step, uint64_t pause_ns)
{
    client->step = step;
    client->wake_ns = now_ns() + pause_ns;
    TAILQ_INSERT_TAIL(&load.resting, client, entry);
}

static void client_rest(struct client *client, uint64_t pause_ns)
{
    stream_done(&client->stream);
    if (client->step == STEP_PAUSING)
        TAILQ_REMOVE(&load.resting, client, entry);
    client_sleep(client, STEP_RESTING, pause_ns);
}

/* What was under way did not succeed. */
static void client_fail(struct client *client, const char *why)
{
    note_problem(why);
    if (client->step >= STEP_MAIL)
        load.result->failed++;
    else
        load.result->sessions_failed++;
    client_rest(client, pause_failed_ns);
}

static void watch_writing(struct client *client, bool is_writing)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

    if (client->is_writing == is_writing)
        return;
    if (is_writing)
        event.events = EPOLLIN | EPOLLOUT;
    client->is_writing = is_writing;
    (void)epoll_ctl(load.epoll_fd, EPOLL_CTL_MOD, client->stream.fd, &event);
}

static void output_advance(struct iovec output[2], size_t written)
{
    for (int i = 0; i < 2; i++) {
        size_t part = written < output[i].iov_len ? written : output[i].iov_len;
        output[i].iov_base = (char *)output[i].iov_base + part;
        output[i].iov_len -= part;
        written -= part;
    }
}

/* A write that fails is found out by the next read. */
static void client_flush(struct client *client)
{
    stream_shake_hands(&client->stream);
    while (client->output[0].iov_len + client->output[1].iov_len > 0) {
        ssize_t n = stream_write(&client->stream, client->output);
        if (n < 0) {
            watch_writing(client, errno == EAGAIN);
            return;
        }
        output_advance(client->output, (size_t)n);
    }
    watch_writing(client, false);
}

static void client_write(struct client *client, size_t command_len, bool has_body)
{
    client->output[0] = (struct iovec){ client->command, command_len };
    client->output[1] = (struct iovec){ load.body.data, has_body ? load.body.len : 0 };
    client_flush(client);
}

__attribute__((format(printf, 3, 4))) static void client_say(struct client *client, enum step next,
                                                             const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int len = vsnprintf(client->command, sizeof client->command, fmt, args);
    va_end(args);
    client->step = next;
    client_write(client, (size_t)len, false);
}

static void client_dial(struct client *client)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };
    int fd = endpoint_connect(&load.plan->endpoint);

    client->sent = 0;
    client->input_len = 0;
    client->output[0].iov_len = client->output[1].iov_len = 0;
    client->is_writing =
        load.plan->is_tls; /* once connected: the handshake begins with the client */
    stream_init(&client->stream, fd, fd >= 0 ? load.tls : NULL);
    if (fd < 0 && errno == EAGAIN) {
        client_rest(client, pause_full_backlog_ns);
        return;
    }
    if (client->is_writing)
        event.events |= EPOLLOUT;
    client->step = STEP_BANNER;
    if (fd < 0 || epoll_ctl(load.epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        client_fail(client, strerror(errno));
        return;
    }
    load.result->sessions++;
}

static bool is_all_begun(void)
{
    return load.result->started >= load.plan->message_count;
}

/* The 221 is not waited for, as real clients don't; Exim, for one, holds it back for 200 ms. */
static void client_quit(struct client *client)
{
    client_say(client, STEP_RESTING, "QUIT\r\n");
    stream_done(&client->stream);
    if (!is_all_begun())
        client_dial(client);
}

static void client_begin(struct client *client)
{
    const struct load_plan *plan = load.plan;
    bool is_full = plan->messages_per_session > 0 && client->sent >= plan->messages_per_session;

    if (is_all_begun() || is_full) {
        client_quit(client);
        return;
    }
    client->sequence = plan->first_sequence + load.result->started;
    load.result->started++;
    client->sent++;
    client->begin_ns = now_ns();
    if (plan->is_pipelining)
        client_say(client, STEP_MAIL, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", plan->sender,
                   plan->recipient);
    else
        client_say(client, STEP_MAIL, "MAIL FROM:<%s>\r\n", plan->sender);
}

static void on_banner(struct client *client)
{
    client_say(client, STEP_HELLO, "%s client.example\r\n", load.plan->is_lmtp ? "LHLO" : "EHLO");
}

static void on_mail_reply(struct client *client)
{
    if (load.plan->is_pipelining)
        client->step = STEP_RCPT;
    else
        client_say(client, STEP_RCPT, "RCPT TO:<%s>\r\n", load.plan->recipient);
}

static void on_rcpt_reply(struct client *client)
{
    if (load.plan->is_pipelining)
        client->step = STEP_DATA;
    else
        client_say(client, STEP_DATA, "DATA\r\n");
}

static struct load_times *times_of(const struct client *client)
{
    return &load.result->times[client->sequence - load.plan->first_sequence];
}

static void on_data_reply(struct client *client)
{
    int len =
        snprintf(client->command, sizeof client->command, "X-Bench-Seq: %ld\r\n", client->sequence);

    client->step = STEP_BODY;
    if (load.result->times != NULL)
        times_of(client)->dot_ns = now_ns();
    client_write(client, (size_t)len, true);
}

static void on_final_reply(struct client *client)
{
    uint64_t now = now_ns();

    load.result->end_ns = now;
    load.result->latency_ns[load.result->acknowledged++] = now - client->begin_ns;
    if (load.result->times != NULL)
        times_of(client)->reply_ns = now;
    if (load.plan->pause_ms > 0)
        client_sleep(client, STEP_PAUSING, (uint64_t)load.plan->pause_ms * 1000000u);
    else
        client_begin(client);
}

static const struct {
    int expected; /* the reply that leads on */
    void (*on_reply)(struct client *client);
} steps[STEP_COUNT] = {
    [STEP_BANNER] = { 220, on_banner },   [STEP_HELLO] = { 250, client_begin },
    [STEP_MAIL] = { 250, on_mail_reply }, [STEP_RCPT] = { 250, on_rcpt_reply },
    [STEP_DATA] = { 354, on_data_reply }, [STEP_BODY] = { 250, on_final_reply },
};

static void on_line(struct client *client, const char *line)
{
    bool is_last = strlen(line) < 4 || line[3] != '-';

    if (!is_last)
        return;
    if (strtol(line, NULL, 10) == steps[client->step].expected)
        steps[client->step].on_reply(client);
    else
        client_fail(client, line);
}

/* false when a reply ended the session: the client may already have a new one. */
static bool client_take_lines(struct client *client)
{
    int fd = client->stream.fd;
    long session = load.result->sessions;
    size_t pos = 0;

    for (;;) {
        char *line = client->input + pos;
        char *end = memchr(line, '\n', client->input_len - pos);
        if (end == NULL)
            break;
        *end = '\0';
        pos += (size_t)(end - line) + 1;
        on_line(client, line);
        if (client->stream.fd != fd || load.result->sessions != session)
            return false;
    }
    client->input_len -= pos;
    (void)memmove(client->input, client->input + pos, client->input_len);
    return true;
}

/* false: the session is gone, or there is nothing more to read. */
static bool client_take(struct client *client)
{
    ssize_t n = stream_read(&client->stream, client->input + client->input_len,
                            sizeof client->input - client->input_len);

    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        client_fail(client, n < 0 ? strerror(errno) : "the peer closed the connection");
        return false;
    }
    client->input_len += (size_t)n;
    return client_take_lines(client);
}

static void client_read(struct client *client)
{
    bool is_more = true;

    while (is_more)
        is_more = client_take(client) && stream_has_more(&client->stream);
}

static void wake_resting(void)
{
    uint64_t now = now_ns();
    struct client *client = TAILQ_FIRST(&load.resting);

    while (client != NULL && !is_all_begun()) {
        struct client *next = TAILQ_NEXT(client, entry);
        if (client->wake_ns <= now) {
            TAILQ_REMOVE(&load.resting, client, entry);
            if (client->step == STEP_PAUSING)
                client_begin(client);
            else
                client_dial(client);
        }
        client = next;
    }
}

static bool is_over(uint64_t deadline_ns)
{
    const struct load_result *result = load.result;

    return result->acknowledged + result->failed >= load.plan->message_count ||
           result->failed > load.plan->message_count / 2 + 100 ||
           result->sessions_failed > SESSIONS_FAILED_MAX || now_ns() >= deadline_ns;
}

static void turn(void)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int timeout_ms = TAILQ_EMPTY(&load.resting) ? IDLE_TURN_MS : 1;
    int count = epoll_wait(load.epoll_fd, events, EVENTS_PER_TURN, timeout_ms);

    for (int i = 0; i < count; i++) {
        struct client *client = events[i].data.ptr;
        if ((events[i].events & EPOLLOUT) != 0)
            client_flush(client);
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            client_read(client);
    }
    wake_resting();
}

/* Prepared once: the header that X-Bench-Seq goes before, lines of 78 bytes up to the wanted size, the dot. */
static void make_body(const struct load_plan *plan)
{
    struct strbuf *body = &load.body;

    strbuf_init(body);
    strbuf_append_format(body,
                         "From: <%s>\r\nTo: <%s>\r\nSubject: bench\r\n"
                         "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
                         "Message-ID: <bench@client.example>\r\n\r\n",
                         plan->sender, plan->recipient);
    for (unsigned line = 0; body->len + 82 < (size_t)plan->size_bytes; line++) {
        for (unsigned column = 0; column < 76; column++)
            strbuf_append_char(body, (char)('a' + (line * 7 + column) % 26));
        strbuf_append_text(body, "\r\n");
    }
    strbuf_append_text(body, ".\r\n");
}

void load_run(const struct load_plan *plan, struct load_result *ret_result)
{
    AUTO_FREE struct client *clients = xcalloc((size_t)plan->client_count, sizeof *clients);

    (void)memset(ret_result, 0, sizeof *ret_result);
    ret_result->latency_ns = xcalloc((size_t)plan->message_count, sizeof *ret_result->latency_ns);
    if (plan->keeps_times)
        ret_result->times = xcalloc((size_t)plan->message_count, sizeof *ret_result->times);
    load.plan = plan;
    load.result = ret_result;
    load.tls = plan->is_tls ? stream_client_context_new() : NULL;
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    TAILQ_INIT(&load.resting);
    make_body(plan);
    ret_result->begin_ns = now_ns();
    ret_result->end_ns = ret_result->begin_ns;
    uint64_t deadline_ns = ret_result->begin_ns + (uint64_t)plan->time_limit_ms * 1000000u;
    for (long i = 0; i < plan->client_count; i++) {
        client_dial(&clients[i]);
    }
    while (!is_over(deadline_ns))
        turn();
    for (long i = 0; i < plan->client_count; i++)
        stream_done(&clients[i].stream);
    (void)close(load.epoll_fd);
    stream_context_free(load.tls);
    strbuf_done(&load.body);
}
