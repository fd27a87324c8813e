/* Connections of the control socket. While a request runs nothing is read, so that input is bounded by one line;
   the next page of an answer waits until the previous one has been read, so that output is bounded by one page. */
#include "connection.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "escape.h"
#include "filter.h"
#include "invariant.h"
#include "spool.h"
#include "xalloc.h"

#include "request.h"

enum {
    LINE_BYTES_MAX = 64 * 1024,
    OUTPUT_BYTES_MANY = 64 * 1024, /* beyond, no next page is asked for */
    FILTER_TERMS_MAX = 64,
};

/* A prompt may stand for long; a client that does not read is a hung one. */
static const struct timeval idle_timeout = { .tv_sec = 600 };
static const struct timeval write_timeout = { .tv_sec = 60 };

struct connection {
    LIST_ENTRY(connection) link;
    const struct connection_host *host;
    struct bufferevent *stream; /* NULL: the client has gone */
    uid_t uid;
    bool is_admin;
    bool is_user_known;
    bool is_waiting; /* the spool has a question of ours */
    bool is_ended;   /* the client will send nothing more */
    bool must_end;   /* once everything is written */
    bool is_pumping;
    struct control_request *request; /* the one that runs */
    json_t *arguments;
    control_step_fn *on_answered;
    control_step_fn *on_drained;
};

static void pump(struct connection *connection);

/* --- The end --- */

static void request_free(struct connection *connection)
{
    struct control_request *request = TAKE(connection->request);

    if (request == NULL)
        return;
    if (request->free_state != NULL)
        request->free_state(request->state);
    filter_free(request->filter);
    free(request);
    json_decref(connection->arguments);
    connection->arguments = NULL;
    connection->on_drained = NULL;
}

bool connection_is_finished(const struct connection *connection)
{
    return connection->stream == NULL && !connection->is_waiting && connection->is_user_known;
}

static void report_finished(struct connection *connection)
{
    if (connection_is_finished(connection))
        connection->host->finished(connection->host->ctx);
}

static void hang_up(struct connection *connection)
{
    if (connection->stream != NULL) {
        bufferevent_setcb(connection->stream, NULL, NULL, NULL, NULL);
        bufferevent_free(TAKE(connection->stream));
    }
    if (!connection->is_waiting)
        request_free(connection);
    report_finished(connection);
}

static size_t output_len(const struct connection *connection)
{
    return evbuffer_get_length(bufferevent_get_output(connection->stream));
}

static void hang_up_when_written(struct connection *connection)
{
    connection->must_end = true;
    if (output_len(connection) == 0)
        hang_up(connection);
}

void connection_stop(struct connection *connection)
{
    if (connection->stream == NULL)
        return;
    if (connection->request == NULL)
        hang_up_when_written(connection);
    else if (!connection->is_waiting)
        control_refuse(connection->request, EX_TEMPFAIL, "outboxd is stopping");
}

void connection_hang_up(struct connection *connection)
{
    hang_up(connection);
}

void connection_free(struct connection *connection)
{
    if (connection == NULL)
        return;
    MUST(connection_is_finished(connection));
    LIST_REMOVE(connection, link);
    free(connection);
}

/* --- Answers --- */

void control_answer(struct control_request *request, json_t *answer)
{
    struct connection *connection = request->connection;
    AUTO_FREE char *text = json_dumps(answer, JSON_COMPACT);

    MUST(text != NULL); /* every text was made valid UTF-8 before it came into an object */
    json_decref(answer);
    if (connection->stream == NULL)
        return;
    (void)bufferevent_write(connection->stream, text, strlen(text));
    (void)bufferevent_write(connection->stream, "\n", 1);
}

void control_answer_raw(struct control_request *request, int64_t total)
{
    control_answer(request, json_pack("{s:I}", "raw_bytes", (json_int_t)total));
}

void control_answer_bytes(struct control_request *request, const void *bytes, size_t len)
{
    if (request->connection->stream != NULL)
        (void)bufferevent_write(request->connection->stream, bytes, len);
}

void control_end(struct control_request *request, int status, json_t *extra)
{
    struct connection *connection = request->connection;
    json_t *last = json_pack("{s:i}", "status", status);

    if (extra != NULL)
        (void)json_object_update(last, extra);
    json_decref(extra);
    control_answer(request, last);
    request_free(connection);
    pump(connection);
}

void control_refuse(struct control_request *request, int status, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    AUTO_FREE char *shown = escape_text(text);
    control_end(request, status, json_pack("{s:s}", "error", shown));
}

void control_refuse_spool(struct control_request *request, const struct spool_request *question)
{
    int status = EX_UNAVAILABLE;

    if (question->error.code == ERROR_MISSING)
        status = EX_NOINPUT;
    else if (question->error.code == ERROR_FULL || question->error.code == ERROR_BUSY)
        status = EX_TEMPFAIL;
    control_refuse(request, status, "%s", question->error.text);
}

void control_cut(struct control_request *request)
{
    hang_up(request->connection);
}

/* --- Waiting --- */

static void on_spool_answer(struct spool_request *question)
{
    struct connection *connection = question->ctx;

    connection->is_waiting = false;
    if (connection->stream == NULL)
        hang_up(connection);
    else if (connection->host->is_stopping)
        connection_stop(connection);
    else
        connection->on_answered(connection->request);
}

void control_expect(struct control_request *request, struct spool_request *question,
                    control_step_fn *answered)
{
    struct connection *connection = request->connection;

    MUST(!connection->is_waiting);
    connection->is_waiting = true;
    connection->on_answered = answered;
    question->reply_to = connection->host->mailbox;
    question->done = on_spool_answer;
    question->ctx = connection;
}

void control_when_drained(struct control_request *request, control_step_fn *step)
{
    struct connection *connection = request->connection;

    if (output_len(connection) < OUTPUT_BYTES_MANY)
        step(request);
    else
        connection->on_drained = step;
}

/* --- Requests --- */

int64_t control_scope(const struct control_request *request)
{
    return request->is_admin ? SPOOL_ANYBODY : (int64_t)request->uid;
}

const char *control_argument(const struct control_request *request, const char *key)
{
    return json_string_value(json_object_get(request->arguments, key));
}

int64_t control_number(const struct control_request *request, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(request->arguments, key);

    return json_is_integer(value) && json_integer_value(value) >= 0 ? json_integer_value(value)
                                                                    : fallback;
}

void control_state_set(struct control_request *request, void *state, void (*free_state)(void *))
{
    if (request->free_state != NULL)
        request->free_state(request->state);
    request->state = state;
    request->free_state = free_state;
}

static bool read_filter(struct control_request *request, struct error *err)
{
    const json_t *terms = json_object_get(request->arguments, "filter");
    const char *texts[FILTER_TERMS_MAX];
    size_t count = json_array_size(terms);

    if (terms != NULL && !json_is_array(terms))
        return fail(err, ERROR_USAGE, "filter is a list of texts");
    if (count > FILTER_TERMS_MAX)
        return fail(err, ERROR_USAGE, "a filter has at most %d terms", (int)FILTER_TERMS_MAX);
    if (count == 0 && request->command->filter == FILTER_REQUIRED)
        return fail(err, ERROR_USAGE, "which messages? Give a filter; all is everything");
    for (size_t i = 0; i < count; i++) {
        texts[i] = json_string_value(json_array_get(terms, i));
        if (texts[i] == NULL)
            return fail(err, ERROR_USAGE, "filter is a list of texts");
    }
    request->filter_terms = count;
    request->filter = filter_new(texts, count, err);
    return request->filter != NULL;
}

static const struct control_command *find_command(const char *name)
{
    for (const struct control_command *command = control_commands; command->name != NULL; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

static void start_request(struct connection *connection, const struct control_command *command)
{
    struct control_request *request = NEW(struct control_request);
    struct error err;

    connection->request = request;
    request->connection = connection;
    request->host = connection->host;
    request->command = command;
    request->arguments = connection->arguments;
    request->uid = connection->uid;
    request->is_admin = connection->is_admin;
    request->now_ms = clock_wall_ms();
    if (command->right == RIGHT_ADMIN && !request->is_admin)
        control_refuse(request, EX_NOPERM,
                       "only root, outboxd's own user and the group outbox-admin may %s",
                       command->name);
    else if (command->filter != FILTER_NONE && !read_filter(request, &err))
        control_refuse(request, EX_USAGE, "%s", err.text);
    else
        command->start(request);
}

/* What is not a request was written by something that does not speak this protocol: it is not listened to further. */
static void refuse_line(struct connection *connection, const char *why)
{
    char line[128];

    (void)snprintf(line, sizeof line, "{\"status\":%d,\"error\":\"%s\"}\n", EX_USAGE, why);
    (void)bufferevent_write(connection->stream, line, strlen(line));
    hang_up_when_written(connection);
}

static void on_line(struct connection *connection, const char *line, size_t len)
{
    json_t *arguments = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(arguments, "command"));
    const struct control_command *command = name != NULL ? find_command(name) : NULL;

    if (command == NULL) {
        json_decref(arguments);
        refuse_line(connection, name == NULL ? "not a request" : "no such command");
        return;
    }
    connection->arguments = arguments;
    start_request(connection, command);
}

/* One line of input, if there is a whole one. */
static bool read_request(struct connection *connection)
{
    struct evbuffer *input = bufferevent_get_input(connection->stream);
    size_t len = 0;
    AUTO_FREE char *line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF);

    if (line != NULL) {
        on_line(connection, line, len);
        return true;
    }
    if (evbuffer_get_length(input) >= LINE_BYTES_MAX)
        refuse_line(connection, "the request is too long");
    else if (connection->is_ended)
        hang_up_when_written(connection);
    return false;
}

static bool may_read(const struct connection *connection)
{
    return connection->stream != NULL && !connection->must_end && connection->is_user_known &&
           connection->request == NULL && output_len(connection) < OUTPUT_BYTES_MANY;
}

/* Starts requests as long as they end at once. A request that ends inside this loop does not recurse into it. */
static void pump(struct connection *connection)
{
    if (connection->is_pumping)
        return;
    connection->is_pumping = true;
    if (connection->host->is_stopping)
        connection_stop(connection);
    while (may_read(connection) && read_request(connection))
        ;
    connection->is_pumping = false;
    if (connection->stream == NULL)
        return;
    if (may_read(connection) && !connection->is_ended)
        (void)bufferevent_enable(connection->stream, EV_READ);
    else
        (void)bufferevent_disable(connection->stream, EV_READ);
}

/* --- Events --- */

static void on_readable(struct bufferevent *stream, void *ctx)
{
    (void)stream;
    pump(ctx);
}

static void on_written(struct bufferevent *stream, void *ctx)
{
    struct connection *connection = ctx;
    control_step_fn *step = TAKE(connection->on_drained);

    (void)stream;
    if (connection->must_end)
        hang_up(connection);
    else if (step != NULL)
        step(connection->request);
    else
        pump(connection);
}

static void on_event(struct bufferevent *stream, short what, void *ctx)
{
    struct connection *connection = ctx;
    /* Events that come together are reported together: whoever is gone has ended its side, too. */
    bool is_gone = (what & (BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0;

    (void)stream;
    if (!is_gone && (what & BEV_EVENT_EOF) != 0 && (what & BEV_EVENT_READING) != 0) {
        connection->is_ended = true; /* but it may still listen to the answers */
        pump(connection);
        return;
    }
    hang_up(connection);
}

static void on_user(struct resolver_user *user)
{
    struct connection *connection = user->ctx;

    /* Who runs the daemon owns its spool anyway: a private one has no other administrator. */
    connection->is_admin = connection->uid == 0 || connection->uid == geteuid() || user->is_admin;
    connection->is_user_known = true;
    free(user);
    if (connection->stream == NULL)
        report_finished(connection);
    else
        pump(connection);
}

struct connection *connection_new(const struct connection_host *host, int fd, uid_t uid)
{
    struct bufferevent *stream =
        bufferevent_socket_new(host->base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);

    if (stream == NULL) {
        (void)close(fd);
        return NULL;
    }
    struct connection *connection = NEW(struct connection);
    connection->host = host;
    connection->stream = stream;
    connection->uid = uid;
    bufferevent_setcb(stream, on_readable, on_written, on_event, connection);
    bufferevent_setwatermark(stream, EV_READ, 0, LINE_BYTES_MAX);
    bufferevent_set_timeouts(stream, &idle_timeout, &write_timeout);
    (void)bufferevent_enable(stream, EV_WRITE);
    resolver_user(host->resolver, uid, host->mailbox, on_user, connection);
    return connection;
}

uid_t connection_uid(const struct connection *connection)
{
    return connection->uid;
}

void connection_list_insert(struct connection_list *list, struct connection *connection)
{
    LIST_INSERT_HEAD(list, connection, link);
}

struct connection *connection_list_next(const struct connection *connection)
{
    return LIST_NEXT(connection, link);
}
