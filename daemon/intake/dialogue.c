/* The dialogue: bytes become lines or message data, states change by the table, replies are collected per batch.

     GREETING --name known--> HELO --EHLO--> READY --MAIL--> MAIL --RCPT--> RCPT --DATA--> DATA --dot--> COMMIT
                                              ^ ^             |              |              | refused       |
                                              | '----RSET-----+--------------'              |               |
                                              '---------------------------------------------'---answer------'  */
#include "dialogue.h"

#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "invariant.h"
#include "strbuf.h"
#include "units.h"
#include "xalloc.h"

#include "clock.h"
#include "config.h"
#include "log.h"

#include "access.h"
#include "commands.h"
#include "refusal.h"
#include "shared.h"
#include "submission.h"

enum dialogue_input { INPUT_HELD, INPUT_LINES, INPUT_DATA };

#define TO(state) (1U << DIALOGUE_##state)

static const struct state_row {
    const char *name;
    enum dialogue_input input;
    bool may_idle_out;
    unsigned successors; /* CLOSING is one of each */
} states[DIALOGUE_STATE_COUNT] = {
    [DIALOGUE_GREETING] = {"greeting", INPUT_HELD,  true,  TO(HELO)                       },
    [DIALOGUE_HELO] = { "helo",    INPUT_LINES, true,  TO(READY)                      },
    [DIALOGUE_READY] = { "ready",   INPUT_LINES, true,  TO(READY) | TO(MAIL)           },
    [DIALOGUE_MAIL] = { "mail",    INPUT_LINES, true,  TO(RCPT) | TO(READY)           },
    [DIALOGUE_RCPT] = { "rcpt",    INPUT_LINES, true,  TO(RCPT) | TO(DATA) | TO(READY)},
    [DIALOGUE_DATA] = { "data",    INPUT_DATA,  true,  TO(COMMIT) | TO(READY)         },
    [DIALOGUE_COMMIT] = { "commit",  INPUT_HELD,  false, TO(READY)                      },
    [DIALOGUE_CLOSING] = { "closing", INPUT_HELD,  true,  0                              },
};

void dialogue_move(struct dialogue *dialogue, enum dialogue_state state)
{
    MUST(state == DIALOGUE_CLOSING || (states[dialogue->state].successors & (1U << state)) != 0);
    dialogue->state = state;
}

/* --- Replies --- */

void dialogue_reply(struct dialogue *dialogue, unsigned code, const char *enhanced,
                    const char *text, ...)
{
    struct strbuf *output = &dialogue->connection.output;
    char digits[UNITS_TEXT_SIZE];
    va_list args;

    strbuf_append_texts(output, units_format_count(digits, code), " ", NULL);
    if (enhanced != NULL)
        strbuf_append_texts(output, enhanced, " ", NULL);
    va_start(args, text);
    for (; text != NULL; text = va_arg(args, const char *))
        strbuf_append_text(output, text);
    va_end(args);
    strbuf_append(output, "\r\n", 2);
}

void dialogue_reply_refusal(struct dialogue *dialogue, const struct refusal *refusal)
{
    dialogue_reply(dialogue, refusal->code, refusal->enhanced, refusal->text, NULL);
}

void dialogue_end(struct dialogue *dialogue)
{
    if (dialogue->state == DIALOGUE_GREETING)
        user_cancel(dialogue->user, &dialogue->waiter);
    dialogue_move(dialogue, DIALOGUE_CLOSING);
    connection_end(&dialogue->connection);
}

void dialogue_reply_error(struct dialogue *dialogue, unsigned code, const char *enhanced,
                          const char *text)
{
    dialogue_reply(dialogue, code, enhanced, text, NULL);
    if (++dialogue->errors < DIALOGUE_ERRORS_MAX)
        return;
    dialogue_reply(dialogue, 421, "4.7.0", "too many errors", NULL);
    dialogue_end(dialogue);
}

void dialogue_refuse(struct dialogue *dialogue, const char *what, const struct refusal *refusal)
{
    char code[32];

    (void)snprintf(code, sizeof code, "%u %s", refusal->code, refusal->enhanced);
    dialogue->shared->counts.refused++;
    log_event(LOG_LEVEL_INFO, NULL, "refused", "step", what, "code", code, "reason", refusal->text,
              "user", dialogue->user->answer->name, NULL);
}

/* --- Transactions --- */

void dialogue_reset_transaction(struct dialogue *dialogue)
{
    envelope_done(&dialogue->envelope);
    dialogue_move(dialogue, DIALOGUE_READY);
}

/* LMTP owes a reply to each recipient that was accepted (RFC 2033 4.2); all of them share one fate. */
static void reply_to_dot(struct dialogue *dialogue, unsigned accepted_count, const char *id,
                         const struct refusal *refusal)
{
    unsigned count = dialogue->protocol == PROTOCOL_LMTP ? accepted_count : 1;

    for (unsigned i = 0; i < count; i++) {
        if (refusal != NULL)
            dialogue_reply_refusal(dialogue, refusal);
        else
            dialogue_reply(dialogue, 250, "2.0.0", "queued as ", id, NULL);
    }
}

static void end_for_stop(struct dialogue *dialogue)
{
    dialogue_reply(dialogue, 421, "4.3.2", dialogue->config->hostname, " is shutting down", NULL);
    dialogue_end(dialogue);
}

/* The daemon does not wait for clients that do not read what it has told them. */
static void cut(struct dialogue *dialogue)
{
    connection_flush(&dialogue->connection);
    connection_break(&dialogue->connection);
}

static void conclude(struct dialogue *dialogue, const char *id, const struct refusal *refusal)
{
    dialogue->submission = NULL;
    if (refusal != NULL)
        dialogue_refuse(dialogue, "data", refusal);
    else
        dialogue->errors = 0;
    reply_to_dot(dialogue, dialogue->data_reply_count, id, refusal);
    dialogue_move(dialogue, DIALOGUE_READY);
    if (dialogue->is_stopping)
        end_for_stop(dialogue);
}

static void on_submission_done(const char *id, const struct refusal *refusal, void *ctx)
{
    struct dialogue *dialogue = ctx;

    dialogue->active_at_ms = clock_monotonic_ms();
    conclude(dialogue, id, refusal);
    if (dialogue->is_stopping)
        cut(dialogue);
    else
        connection_resume(&dialogue->connection);
}

static void on_submission_resumed(void *ctx)
{
    struct dialogue *dialogue = ctx;

    dialogue->active_at_ms = clock_monotonic_ms();
    connection_resume(&dialogue->connection);
}

/* RFC 3848, and RFC 6531 4.3 for messages with SMTPUTF8. */
static const char *protocol_name(const struct dialogue *dialogue)
{
    static const char *const names[PROTOCOL_COUNT][2] = {
        [PROTOCOL_SMTP] = {"SMTP",   "UTF8SMTP"},
        [PROTOCOL_ESMTP] = { "ESMTP", "UTF8SMTP"},
        [PROTOCOL_LMTP] = { "LMTP",  "UTF8LMTP"},
    };

    return names[dialogue->protocol][dialogue->envelope.is_smtputf8 ? 1 : 0];
}

void dialogue_begin_data(struct dialogue *dialogue)
{
    const struct submission_options options = {
        .shared = dialogue->shared,
        .config = dialogue->config,
        .access = dialogue->access,
        .user = dialogue->user,
        .envelope = &dialogue->envelope,
        .protocol = protocol_name(dialogue),
        .done = on_submission_done,
        .resumed = on_submission_resumed,
        .ctx = dialogue,
    };

    dialogue->data_reply_count = (unsigned)dialogue->envelope.accepted_count;
    dialogue->submission = submission_new(&options);
    dialogue_move(dialogue, DIALOGUE_DATA);
}

/* --- Input --- */

static size_t take_data(struct dialogue *dialogue, const char *bytes, size_t len)
{
    size_t used = submission_feed(dialogue->submission, bytes, len);
    struct refusal refusal = { 0 };

    if (used > 0)
        dialogue->active_at_ms = clock_monotonic_ms();
    if (!submission_is_complete(dialogue->submission))
        return used;
    dialogue_move(dialogue, DIALOGUE_COMMIT);
    if (!submission_commit(dialogue->submission, &refusal))
        conclude(dialogue, NULL, &refusal);
    return used;
}

/* A line that does not end is answered once and thrown away up to its end. */
static size_t skip_long_line(struct dialogue *dialogue, const char *newline, const char *bytes,
                             size_t len)
{
    if (!dialogue->is_line_skipped)
        dialogue_reply_error(dialogue, 500, "5.5.2", "line too long");
    dialogue->is_line_skipped = newline == NULL;
    return newline == NULL ? len : (size_t)(newline - bytes) + 1;
}

static size_t take_line(struct dialogue *dialogue, const char *bytes, size_t len)
{
    const char *newline = memchr(bytes, '\n', len);
    size_t line_len = newline == NULL ? len : (size_t)(newline - bytes) + 1;
    char line[DIALOGUE_LINE_MAX + 1];

    if (dialogue->is_line_skipped || line_len > DIALOGUE_LINE_MAX)
        return skip_long_line(dialogue, newline, bytes, len);
    if (newline == NULL)
        return 0;
    dialogue->active_at_ms = clock_monotonic_ms();
    (void)memcpy(line, bytes, line_len);
    line[line_len] = '\0';
    command_run(dialogue, line, line_len);
    return line_len;
}

/* Nothing more is taken while the client does not read its replies. */
static bool may_take_input(const struct dialogue *dialogue)
{
    return states[dialogue->state].input != INPUT_HELD &&
           dialogue->connection.output.len < CONNECTION_KEPT_MAX;
}

static size_t on_input(const char *bytes, size_t len, void *ctx)
{
    struct dialogue *dialogue = ctx;
    size_t used = 0;

    while (used < len && may_take_input(dialogue)) {
        bool is_data = states[dialogue->state].input == INPUT_DATA;
        size_t n = is_data ? take_data(dialogue, bytes + used, len - used)
                           : take_line(dialogue, bytes + used, len - used);
        if (n == 0)
            break;
        used += n;
    }
    return used;
}

/* The client will send no more, but it may still listen: what is being committed is answered first. */
static void on_read_ended(void *ctx)
{
    struct dialogue *dialogue = ctx;
    bool is_waiting = dialogue->state == DIALOGUE_COMMIT || dialogue->state == DIALOGUE_GREETING ||
                      dialogue->connection.output.len > 0 ||
                      (dialogue->submission != NULL && submission_is_held(dialogue->submission));

    if (!is_waiting)
        connection_break(&dialogue->connection);
}

/* --- Life --- */

static void on_over(void *ctx)
{
    struct dialogue *dialogue = ctx;
    struct intake_shared *shared = dialogue->shared;

    if (dialogue->state == DIALOGUE_GREETING)
        user_cancel(dialogue->user, &dialogue->waiter);
    dialogue->state = DIALOGUE_CLOSING;
    submission_detach(TAKE(dialogue->submission));
    TAILQ_REMOVE(&shared->sessions, dialogue, link);
    TAILQ_INSERT_TAIL(&shared->finished, dialogue, link);
    dialogue->user->sessions--;
    shared->counts.sessions--;
    event_active(shared->reaper, 0, 0);
}

static void greet(struct dialogue *dialogue)
{
    dialogue_move(dialogue, DIALOGUE_HELO);
    dialogue->access =
        config_access(dialogue->config, dialogue->user->answer->name, dialogue->user->groups);
    if (dialogue->user->sessions > access_sessions_max(dialogue->access)) {
        dialogue_reply(dialogue, 421, "4.7.0", "too many sessions of user ",
                       dialogue->user->answer->name, NULL);
        dialogue_end(dialogue);
        return;
    }
    dialogue_reply(dialogue, 220, NULL, dialogue->config->hostname, " ESMTP outbox", NULL);
}

static void on_user_known(void *ctx)
{
    struct dialogue *dialogue = ctx;

    greet(dialogue);
    if (dialogue->state == DIALOGUE_CLOSING)
        connection_flush(&dialogue->connection);
    else
        connection_resume(&dialogue->connection);
}

void dialogue_free(struct dialogue *dialogue)
{
    connection_close(&dialogue->connection);
    envelope_done(&dialogue->envelope);
    config_unref(dialogue->config);
    user_unref(dialogue->user);
    free(dialogue);
}

void dialogue_start(struct intake_shared *shared, const struct config *config, struct user *user,
                    int fd)
{
    struct dialogue *dialogue = NEW(struct dialogue);

    dialogue->shared = shared;
    dialogue->config = config_ref(config);
    dialogue->user = user_ref(user);
    dialogue->active_at_ms = clock_monotonic_ms();
    dialogue->waiter = (struct user_waiter){ .known = on_user_known, .ctx = dialogue };
    envelope_init(&dialogue->envelope);
    dialogue->connection = (struct connection){
        .read_buffer = shared->read_buffer,
        .read_buffer_size = sizeof shared->read_buffer,
        .input_arrived = on_input,
        .read_ended = on_read_ended,
        .over = on_over,
        .ctx = dialogue,
    };
    if (!connection_open(&dialogue->connection, shared->options.base, fd)) {
        dialogue_free(dialogue);
        return;
    }
    user->sessions++;
    shared->counts.sessions++;
    TAILQ_INSERT_TAIL(&shared->sessions, dialogue, link);
    if (!user_is_known(user, dialogue->active_at_ms)) {
        users_ask(shared->users, user, &dialogue->waiter);
        return;
    }
    greet(dialogue);
    connection_flush(&dialogue->connection);
}

void dialogue_stop(struct dialogue *dialogue)
{
    dialogue->is_stopping = true;
    if (dialogue->state == DIALOGUE_COMMIT)
        return;
    if (dialogue->state != DIALOGUE_CLOSING)
        end_for_stop(dialogue);
    cut(dialogue);
}

void dialogue_check_idle(struct dialogue *dialogue, int64_t now_ms, int64_t limit_ms)
{
    bool is_held = dialogue->submission != NULL && submission_is_held(dialogue->submission);

    if (!states[dialogue->state].may_idle_out || is_held ||
        now_ms - dialogue->active_at_ms < limit_ms)
        return;
    if (dialogue->state == DIALOGUE_CLOSING) { /* it does not even read the last reply */
        connection_break(&dialogue->connection);
        return;
    }
    log_event(LOG_LEVEL_INFO, NULL, "idle", "step", states[dialogue->state].name, "user",
              dialogue->user->answer == NULL ? NULL : dialogue->user->answer->name, NULL);
    dialogue->active_at_ms = now_ms;
    char seconds[UNITS_TEXT_SIZE];
    dialogue_reply(dialogue, 421, "4.4.2", "nothing heard for ",
                   units_format_count(seconds, (uint64_t)((limit_ms + 999) / 1000)), " s", NULL);
    dialogue_end(dialogue);
    connection_flush(&dialogue->connection);
}
