/* The dialogue: bytes become lines or message data, states change by the table, replies are collected per batch.

     GREETING --name known--> HELO --EHLO--> READY --MAIL--> MAIL --RCPT--> RCPT --DATA--> DATA --dot--> COMMIT
                                              ^ ^             |              |              | refused       |
                                              | '----RSET-----+--------------'              |               |
                                              '---------------------------------------------'---answer------'  */
#include "session.h"

#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "invariant.h"
#include "strbuf.h"
#include "xalloc.h"

#include "clock.h"
#include "config.h"
#include "log.h"

#include "access.h"
#include "commands.h"
#include "refusal.h"
#include "shared.h"
#include "submission.h"

enum session_input { INPUT_HELD, INPUT_LINES, INPUT_DATA };

#define TO(state) (1U << SESSION_##state)

static const struct state_row {
    const char *name;
    enum session_input input;
    bool may_idle_out;
    unsigned successors; /* CLOSING is one of each */
} states[SESSION_STATE_COUNT] = {
    [SESSION_GREETING] = {"greeting", INPUT_HELD,  true,  TO(HELO)                       },
    [SESSION_HELO] = { "helo",    INPUT_LINES, true,  TO(READY)                      },
    [SESSION_READY] = { "ready",   INPUT_LINES, true,  TO(READY) | TO(MAIL)           },
    [SESSION_MAIL] = { "mail",    INPUT_LINES, true,  TO(RCPT) | TO(READY)           },
    [SESSION_RCPT] = { "rcpt",    INPUT_LINES, true,  TO(RCPT) | TO(DATA) | TO(READY)},
    [SESSION_DATA] = { "data",    INPUT_DATA,  true,  TO(COMMIT) | TO(READY)         },
    [SESSION_COMMIT] = { "commit",  INPUT_HELD,  false, TO(READY)                      },
    [SESSION_CLOSING] = { "closing", INPUT_HELD,  true,  0                              },
};

void session_move(struct session *session, enum session_state state)
{
    MUST(state == SESSION_CLOSING || (states[session->state].successors & (1U << state)) != 0);
    session->state = state;
}

/* --- Replies --- */

void session_reply(struct session *session, unsigned code, const char *enhanced, const char *fmt,
                   ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    strbuf_append_format(&session->connection.output, "%u %s%s%s\r\n", code,
                         enhanced == NULL ? "" : enhanced, enhanced == NULL ? "" : " ", text);
}

void session_reply_refusal(struct session *session, const struct refusal *refusal)
{
    session_reply(session, refusal->code, refusal->enhanced, "%s", refusal->text);
}

void session_end(struct session *session)
{
    if (session->state == SESSION_GREETING)
        user_cancel(session->user, &session->waiter);
    session_move(session, SESSION_CLOSING);
    connection_end(&session->connection);
}

void session_reply_error(struct session *session, unsigned code, const char *enhanced,
                         const char *text)
{
    session_reply(session, code, enhanced, "%s", text);
    if (++session->errors < SESSION_ERRORS_MAX)
        return;
    session_reply(session, 421, "4.7.0", "too many errors");
    session_end(session);
}

void session_refuse(struct session *session, const char *what, const struct refusal *refusal)
{
    char code[32];

    (void)snprintf(code, sizeof code, "%u %s", refusal->code, refusal->enhanced);
    session->shared->counts.refused++;
    log_event(LOG_LEVEL_INFO, NULL, "refused", "step", what, "code", code, "reason", refusal->text,
              "user", session->user->answer->name, NULL);
}

/* --- Transactions --- */

void session_reset_transaction(struct session *session)
{
    envelope_done(&session->envelope);
    session_move(session, SESSION_READY);
}

/* LMTP owes a reply to each recipient that was accepted (RFC 2033 4.2); all of them share one fate. */
static void reply_to_dot(struct session *session, unsigned accepted_count, const char *id,
                         const struct refusal *refusal)
{
    unsigned count = session->protocol == PROTOCOL_LMTP ? accepted_count : 1;

    for (unsigned i = 0; i < count; i++) {
        if (refusal != NULL)
            session_reply_refusal(session, refusal);
        else
            session_reply(session, 250, "2.0.0", "queued as %s", id);
    }
}

static void end_for_stop(struct session *session)
{
    session_reply(session, 421, "4.3.2", "%s is shutting down", session->config->hostname);
    session_end(session);
}

/* The daemon does not wait for clients that do not read what it has told them. */
static void cut(struct session *session)
{
    connection_flush(&session->connection);
    connection_break(&session->connection);
}

static void conclude(struct session *session, const char *id, const struct refusal *refusal)
{
    session->submission = NULL;
    if (refusal != NULL)
        session_refuse(session, "data", refusal);
    else
        session->errors = 0;
    reply_to_dot(session, session->data_reply_count, id, refusal);
    session_move(session, SESSION_READY);
    if (session->is_stopping)
        end_for_stop(session);
}

static void on_submission_done(const char *id, const struct refusal *refusal, void *ctx)
{
    struct session *session = ctx;

    session->active_at_ms = clock_monotonic_ms();
    conclude(session, id, refusal);
    if (session->is_stopping)
        cut(session);
    else
        connection_resume(&session->connection);
}

static void on_submission_resumed(void *ctx)
{
    struct session *session = ctx;

    session->active_at_ms = clock_monotonic_ms();
    connection_resume(&session->connection);
}

/* RFC 3848, and RFC 6531 4.3 for messages with SMTPUTF8. */
static const char *protocol_name(const struct session *session)
{
    static const char *const names[PROTOCOL_COUNT][2] = {
        [PROTOCOL_SMTP] = {"SMTP",   "UTF8SMTP"},
        [PROTOCOL_ESMTP] = { "ESMTP", "UTF8SMTP"},
        [PROTOCOL_LMTP] = { "LMTP",  "UTF8LMTP"},
    };

    return names[session->protocol][session->envelope.is_smtputf8 ? 1 : 0];
}

void session_begin_data(struct session *session)
{
    const struct submission_options options = {
        .shared = session->shared,
        .config = session->config,
        .access = session->access,
        .user = session->user,
        .envelope = &session->envelope,
        .protocol = protocol_name(session),
        .done = on_submission_done,
        .resumed = on_submission_resumed,
        .ctx = session,
    };

    session->data_reply_count = (unsigned)session->envelope.accepted_count;
    session->submission = submission_new(&options);
    session_move(session, SESSION_DATA);
}

/* --- Input --- */

static size_t take_data(struct session *session, const char *bytes, size_t len)
{
    size_t used = submission_feed(session->submission, bytes, len);
    struct refusal refusal = { 0 };

    if (used > 0)
        session->active_at_ms = clock_monotonic_ms();
    if (!submission_is_complete(session->submission))
        return used;
    session_move(session, SESSION_COMMIT);
    if (!submission_commit(session->submission, &refusal))
        conclude(session, NULL, &refusal);
    return used;
}

/* A line that does not end is answered once and thrown away up to its end. */
static size_t skip_long_line(struct session *session, const char *newline, const char *bytes,
                             size_t len)
{
    if (!session->is_line_skipped)
        session_reply_error(session, 500, "5.5.2", "line too long");
    session->is_line_skipped = newline == NULL;
    return newline == NULL ? len : (size_t)(newline - bytes) + 1;
}

static size_t take_line(struct session *session, const char *bytes, size_t len)
{
    const char *newline = memchr(bytes, '\n', len);
    size_t line_len = newline == NULL ? len : (size_t)(newline - bytes) + 1;
    char line[SESSION_LINE_MAX + 1];

    if (session->is_line_skipped || line_len > SESSION_LINE_MAX)
        return skip_long_line(session, newline, bytes, len);
    if (newline == NULL)
        return 0;
    session->active_at_ms = clock_monotonic_ms();
    (void)memcpy(line, bytes, line_len);
    line[line_len] = '\0';
    command_run(session, line, line_len);
    return line_len;
}

/* Nothing more is taken while the client does not read its replies. */
static bool may_take_input(const struct session *session)
{
    return states[session->state].input != INPUT_HELD &&
           session->connection.output.len < CONNECTION_KEPT_MAX;
}

static size_t on_input(const char *bytes, size_t len, void *ctx)
{
    struct session *session = ctx;
    size_t used = 0;

    while (used < len && may_take_input(session)) {
        bool is_data = states[session->state].input == INPUT_DATA;
        size_t n = is_data ? take_data(session, bytes + used, len - used)
                           : take_line(session, bytes + used, len - used);
        if (n == 0)
            break;
        used += n;
    }
    return used;
}

/* The client will send no more, but it may still listen: what is being committed is answered first. */
static void on_read_ended(void *ctx)
{
    struct session *session = ctx;
    bool is_waiting = session->state == SESSION_COMMIT || session->state == SESSION_GREETING ||
                      session->connection.output.len > 0 ||
                      (session->submission != NULL && submission_is_held(session->submission));

    if (!is_waiting)
        connection_break(&session->connection);
}

/* --- Life --- */

static void on_over(void *ctx)
{
    struct session *session = ctx;
    struct intake_shared *shared = session->shared;

    if (session->state == SESSION_GREETING)
        user_cancel(session->user, &session->waiter);
    session->state = SESSION_CLOSING;
    submission_detach(TAKE(session->submission));
    TAILQ_REMOVE(&shared->sessions, session, link);
    TAILQ_INSERT_TAIL(&shared->finished, session, link);
    session->user->sessions--;
    shared->counts.sessions--;
    event_active(shared->reaper, 0, 0);
}

static void greet(struct session *session)
{
    session_move(session, SESSION_HELO);
    session->access =
        config_access(session->config, session->user->answer->name, session->user->groups);
    if (session->user->sessions > access_sessions_max(session->access)) {
        session_reply(session, 421, "4.7.0", "too many sessions of user %s",
                      session->user->answer->name);
        session_end(session);
        return;
    }
    session_reply(session, 220, NULL, "%s ESMTP outbox", session->config->hostname);
}

static void on_user_known(void *ctx)
{
    struct session *session = ctx;

    greet(session);
    if (session->state == SESSION_CLOSING)
        connection_flush(&session->connection);
    else
        connection_resume(&session->connection);
}

void session_free(struct session *session)
{
    connection_close(&session->connection);
    envelope_done(&session->envelope);
    config_unref(session->config);
    user_unref(session->user);
    free(session);
}

void session_start(struct intake_shared *shared, const struct config *config, struct user *user,
                   int fd)
{
    struct session *session = NEW(struct session);

    session->shared = shared;
    session->config = config_ref(config);
    session->user = user_ref(user);
    session->active_at_ms = clock_monotonic_ms();
    session->waiter = (struct user_waiter){ .known = on_user_known, .ctx = session };
    envelope_init(&session->envelope);
    session->connection = (struct connection){
        .read_buffer = shared->read_buffer,
        .read_buffer_size = sizeof shared->read_buffer,
        .input_arrived = on_input,
        .read_ended = on_read_ended,
        .over = on_over,
        .ctx = session,
    };
    if (!connection_open(&session->connection, shared->options.base, fd)) {
        session_free(session);
        return;
    }
    user->sessions++;
    shared->counts.sessions++;
    TAILQ_INSERT_TAIL(&shared->sessions, session, link);
    if (!user_is_known(user, session->active_at_ms)) {
        users_ask(shared->users, user, &session->waiter);
        return;
    }
    greet(session);
    connection_flush(&session->connection);
}

void session_stop(struct session *session)
{
    session->is_stopping = true;
    if (session->state == SESSION_COMMIT)
        return;
    if (session->state != SESSION_CLOSING)
        end_for_stop(session);
    cut(session);
}

void session_check_idle(struct session *session, int64_t now_ms, int64_t limit_ms)
{
    bool is_held = session->submission != NULL && submission_is_held(session->submission);

    if (!states[session->state].may_idle_out || is_held ||
        now_ms - session->active_at_ms < limit_ms)
        return;
    if (session->state == SESSION_CLOSING) { /* it does not even read the last reply */
        connection_break(&session->connection);
        return;
    }
    log_event(LOG_LEVEL_INFO, NULL, "idle", "step", states[session->state].name, "user",
              session->user->answer == NULL ? NULL : session->user->answer->name, NULL);
    session->active_at_ms = now_ms;
    session_reply(session, 421, "4.4.2", "nothing heard for %lld s",
                  (long long)((limit_ms + 999) / 1000));
    session_end(session);
    connection_flush(&session->connection);
}
