/* A session: its table of steps, the timer, and every way in which it can end.
   What the steps say stands in greeting.c and transaction.c, how bytes come and go in session_io.c. */
#include "session_private.h"

#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "invariant.h"
#include "units.h"
#include "xalloc.h"

#include "clock.h"
#include "config.h"
#include "log.h"

enum {
    DEADLINE_S = 1800,  /* of an order without its body */
    BYTES_PER_S = 8192, /* the slowest line that a body is sent over */
};

static void enter_ready(struct session *session);
static void enter_quit(struct session *session);
static void on_quit_reply(struct session *session, const struct smtp_reply *reply);
static void enter_closed(struct session *session);

/*  RESOLVE ─▶ CONNECT ──┬──────────────▶ GREETING ─▶ EHLO ─┬────────▶ AUTH ──▶ READY
                         └▶ HANDSHAKE ────▲                 ├▶ STARTTLS ─▶ HANDSHAKE ─▶ EHLO
                            (implicit TLS)                  └▶ HELO ──▶ READY

    READY ─▶ MAIL ─▶ RCPT ⟲ ─▶ DATA ─▶ BODY ─▶ DOT ─▶ READY
              │        │         │              │
              └────────┴─────────┴──── RSET ◀───┘   (a transaction that failed) ─▶ READY

    QUIT and CLOSED may follow everything. Replies are matched in this order also when commands were pipelined: the
    step is the command whose reply is due. */
#define TO(step) (UINT32_C(1) << STEP_##step)

const struct step_row session_steps[STEP_COUNT] = {
    [STEP_RESOLVE] = { "resolve", "looking up the host", 60, STAGE_CONNECT, 0,
                       session_enter_resolve, NULL, TO(CONNECT) },
    /* For each address. */
    [STEP_CONNECT] = { "connect", "connecting", 30, STAGE_CONNECT, 0, NULL, NULL,
                       TO(HANDSHAKE) | TO(GREETING) },
    [STEP_HANDSHAKE] = { "handshake", "making the TLS handshake", 120, STAGE_STARTTLS, 0, NULL,
                         NULL, TO(GREETING) | TO(EHLO) },
    [STEP_GREETING] = { "greeting", "waiting for the greeting", 300, STAGE_CONNECT, '2', NULL,
                        session_on_greeting, TO(EHLO) },
    [STEP_EHLO] = { "ehlo", "waiting for the reply to EHLO", 300, STAGE_EHLO, '2',
                    session_enter_ehlo, session_on_ehlo_reply,
                    TO(HELO) | TO(STARTTLS) | TO(AUTH) | TO(READY) },
    [STEP_HELO] = { "helo", "waiting for the reply to HELO", 300, STAGE_EHLO, '2',
                    session_enter_helo, session_on_helo_reply, TO(READY) },
    [STEP_STARTTLS] = { "starttls", "waiting for the reply to STARTTLS", 120, STAGE_STARTTLS, '2',
                        session_enter_starttls, session_on_starttls_reply, TO(HANDSHAKE) },
    [STEP_AUTH] = { "auth", "logging in", 120, STAGE_AUTH, '2', session_enter_auth,
                    session_on_auth_reply, TO(AUTH) | TO(READY) },
    [STEP_READY] = { "ready", "being idle", 30, STAGE_ANY, 0, enter_ready, NULL, TO(MAIL) },
    [STEP_MAIL] = { "mail", "waiting for the reply to MAIL FROM", 300, STAGE_MAIL, '2',
                    session_enter_mail, session_on_mail_reply, TO(RCPT) | TO(RSET) | TO(READY) },
    [STEP_RCPT] = { "rcpt", "waiting for the reply to RCPT TO", 300, STAGE_RCPT, '2',
                    session_enter_rcpt, session_on_rcpt_reply, TO(RCPT) | TO(DATA) | TO(RSET) },
    [STEP_DATA] = { "data", "waiting for the reply to DATA", 120, STAGE_DATA, '3',
                    session_enter_data, session_on_data_reply, TO(BODY) | TO(DOT) | TO(RSET) },
    /* For each block that the smarthost takes. */
    [STEP_BODY] = { "body", "sending the body", 180, STAGE_END_OF_DATA, '2', session_enter_body,
                    session_on_body_reply, TO(DOT) },
    [STEP_DOT] = { "dot", "waiting for the reply to the final dot", 600, STAGE_END_OF_DATA, '2',
                   NULL, session_on_dot_reply, TO(RSET) | TO(READY) },
    [STEP_RSET] = { "rset", "waiting for the reply to RSET", 20, STAGE_ANY, '2', session_enter_rset,
                    session_on_rset_reply, TO(READY) },
    [STEP_QUIT] = { "quit", "waiting for the reply to QUIT", 10, STAGE_ANY, '2', enter_quit,
                    on_quit_reply, 0 },
    [STEP_CLOSED] = { "closed", "being closed", 0, STAGE_ANY, 0, enter_closed, NULL, 0 },
};

void session_timing_default(struct session_timing *ret_timing)
{
    for (size_t i = 0; i < STEP_COUNT; i++)
        ret_timing->step_ms[i] = session_steps[i].timeout_s * 1000;
    ret_timing->deadline_ms = DEADLINE_S * 1000;
    ret_timing->bytes_per_s = BYTES_PER_S;
}

/* --- Steps and the timer --- */

/* The wait for the verdict on a message that was sent is bounded by its step alone: cutting it makes duplicates. */
static bool is_under_deadline(const struct session *session)
{
    return session->order != NULL && session->step != STEP_DOT;
}

static void arm_timer(struct session *session, int64_t now_ms)
{
    int64_t wait_ms = session->due_ms - now_ms;
    struct timeval wait = { .tv_sec = wait_ms / 1000,
                            .tv_usec = (suseconds_t)(wait_ms % 1000) * 1000 };

    session->armed_ms = session->due_ms;
    MUST(event_add(session->timer, &wait) == 0);
}

/* Each reply moves the time on, but the timer only when it would look too late. */
void session_timer_restart(struct session *session)
{
    int64_t wait_ms = session->host->timing->step_ms[session->step];
    int64_t now_ms = clock_monotonic_ms();

    if (session->step == STEP_CONNECT)
        wait_ms = 0; /* the connector has its own clock */
    if (is_under_deadline(session)) {
        int64_t left_ms = session->deadline_ms - now_ms;
        if (wait_ms == 0 || left_ms < wait_ms)
            wait_ms = left_ms > 0 ? left_ms : 1;
    }
    session->due_ms = wait_ms > 0 ? now_ms + wait_ms : 0;
    if (session->due_ms != 0 && (session->armed_ms == 0 || session->due_ms < session->armed_ms))
        arm_timer(session, now_ms);
}

void session_move(struct session *session, enum step step)
{
    uint32_t permitted = session_steps[session->step].next | TO(QUIT) | TO(CLOSED);

    MUST((permitted & UINT32_C(1) << step) != 0);
    MUST(session->step != STEP_CLOSED);
    session->step = step;
    log_event(LOG_LEVEL_DEBUG, session->order != NULL ? session->order->id : NULL, "step",
              "smarthost", session->smarthost->name, "step", session_steps[step].name, NULL);
    session_timer_restart(session);
    if (session_steps[step].enter != NULL)
        session_steps[step].enter(session);
}

/* A smarthost may offer too much of something that it lacks: this is what people get wrong. */
const char *session_hint(const struct session *session)
{
    if (session->step == STEP_GREETING && session->smarthost->tls != TLS_IMPLICIT &&
        session->smarthost->port == 465)
        return " (port 465 speaks TLS from the start: set tls = implicit)";
    return "";
}

static void on_too_late(struct session *session)
{
    const char *doing = session_steps[session->step].doing;
    char limit[UNITS_TEXT_SIZE];

    if (session->order == NULL) {
        session_move(session, session->step == STEP_READY ? STEP_QUIT : STEP_CLOSED);
        return;
    }
    if (session->step == STEP_BODY && session_body_is_hungry(session)) {
        session_fail(session, TROUBLE_BODY, "the spool did not give the message in time");
        return;
    }
    if (is_under_deadline(session) && clock_monotonic_ms() >= session->deadline_ms) {
        units_format_duration(limit,
                              (session->deadline_ms - session->order_started_ms + 999) / 1000);
        session_fail(session, TROUBLE_TIMEOUT, "gave up after %s, %s", limit, doing);
        return;
    }
    units_format_duration(limit, session->host->timing->step_ms[session->step] / 1000);
    session_fail(session, TROUBLE_TIMEOUT, "no answer within %s %s%s", limit, doing,
                 session_hint(session));
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct session *session = arg;
    int64_t now_ms = clock_monotonic_ms();

    (void)fd;
    (void)what;
    session->armed_ms = 0;
    if (session->due_ms == 0)
        return;
    if (now_ms < session->due_ms)
        arm_timer(session, now_ms);
    else
        on_too_late(session);
}

/* --- Replies --- */

bool session_is_good(const struct session *session, const struct smtp_reply *reply)
{
    return reply->code / 100 == session_steps[session->step].success - '0';
}

bool session_is_refusal(const struct smtp_reply *reply)
{
    return reply->code >= 400;
}

/* --- The end --- */

static void enter_ready(struct session *session)
{
    if (session->order != NULL)
        session_move(session, STEP_MAIL);
    else if (session->host->is_stopping)
        session_move(session, STEP_QUIT);
}

static void enter_quit(struct session *session)
{
    (void)session_say(session, "QUIT\r\n");
}

/* Whatever it says, and whatever became of earlier replies: QUIT changes no outcome. */
static void on_quit_reply(struct session *session, const struct smtp_reply *reply)
{
    (void)reply;
    if (session->replies_due == 0)
        session_move(session, STEP_CLOSED);
}

static void enter_closed(struct session *session)
{
    MUST(session->order == NULL);
    session_silence(session);
    session->host->closed(session, session->host->ctx);
}

void session_order_end(struct session *session, bool is_session_open)
{
    struct delivery_order *order = TAKE(session->order);

    transaction_free(session);
    order->is_session_open = is_session_open;
    order->duration_ms = clock_monotonic_ms() - session->order_started_ms;
    order_give_back(order);
}

/* Nothing of this order has been answered on a connection that had served others: it was stale. */
static bool is_stale(const struct session *session)
{
    return session->transactions > 0 && !session->order->was_connected &&
           (session->step == STEP_RSET || session->step == STEP_READY ||
            session->step == STEP_MAIL);
}

static void hand_on(struct session *session)
{
    struct delivery_order *order = TAKE(session->order);

    transaction_free(session);
    free(TAKE(order->host));
    session->host->unserved(session, order, session->host->ctx);
}

/* What is our own decision between two commands ends with good manners. */
static bool is_own_decision(enum trouble trouble)
{
    return trouble == TROUBLE_TLS_MISSING || trouble == TROUBLE_AUTH_MISSING ||
           trouble == TROUBLE_SECRET;
}

void session_fail(struct session *session, enum trouble trouble, const char *fmt, ...)
{
    char words[1024];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(words, sizeof words, fmt, args);
    va_end(args);
    bool may_say_quit = is_own_decision(trouble) && session->fd >= 0 && session->replies_due == 0;
    if (session->order != NULL && trouble != TROUBLE_STOPPED &&
        (trouble != TROUBLE_TIMEOUT || session->step == STEP_RSET) && is_stale(session)) {
        hand_on(session);
    } else if (session->order != NULL) {
        struct outcome outcome =
            outcome_of_trouble(session_steps[session->step].stage, trouble, words);
        if (transaction_is_in_doubt(session))
            transaction_settle_in_doubt(session, words);
        else
            transaction_settle(session, &outcome);
        session_order_end(session, false);
    }
    session_move(session, may_say_quit ? STEP_QUIT : STEP_CLOSED);
}

void session_refused(struct session *session, const struct smtp_reply *reply, bool is_polite)
{
    if (session->order != NULL && is_stale(session)) {
        hand_on(session);
    } else if (session->order != NULL) {
        struct outcome outcome =
            outcome_of_reply(session->order, session_steps[session->step].stage, reply);
        transaction_settle(session, &outcome);
        session_order_end(session, false);
    }
    session_move(session, is_polite ? STEP_QUIT : STEP_CLOSED);
}

void session_nonsense(struct session *session, const struct smtp_reply *reply)
{
    session_fail(session, TROUBLE_BAD_REPLY, "unexpected reply %d while %s", reply->code,
                 session_steps[session->step].doing);
}

void session_quit(struct session *session)
{
    if (session->order == NULL && (session->step == STEP_READY || session->step == STEP_RSET))
        session_move(session, STEP_QUIT);
}

void session_stop(struct session *session)
{
    if (session->step != STEP_CLOSED)
        session_fail(session, TROUBLE_STOPPED, "outboxd is stopping");
}

void session_wind_down(struct session *session)
{
    if (session->order == NULL)
        session_quit(session);
    else if (session->step < STEP_MAIL || session->step == STEP_RSET)
        session_stop(session);
}

/* --- From outside --- */

static void begin_order(struct session *session, struct delivery_order *order)
{
    const struct session_timing *timing = session->host->timing;
    int64_t now_ms = clock_monotonic_ms();

    session->order = order;
    session->order_started_ms = now_ms;
    session->deadline_ms =
        now_ms + timing->deadline_ms + order->size_bytes * 1000 / timing->bytes_per_s;
    order->started_ms = clock_wall_ms();
    transaction_begin(session);
}

struct session *session_new(struct session_host *host, struct delivery_order *order)
{
    struct session *session = NEW(struct session);

    session->host = host;
    session->slot = order->slot;
    session->config = config_ref(order->config);
    session->smarthost = order->smarthost;
    session->fd = -1;
    strbuf_init(&session->output);
    session->timer = event_new(host->base, -1, 0, on_timer, session);
    MUST(session->timer != NULL);
    reply_reader_init(&session->reader);
    begin_order(session, order);
    session->step = STEP_RESOLVE;
    session_timer_restart(session);
    session_steps[STEP_RESOLVE].enter(session);
    return session;
}

bool session_is_over(const struct session *session)
{
    return session->step == STEP_CLOSED;
}

bool session_may_free(const struct session *session)
{
    return session_is_over(session) && session->answers_due == 0;
}

void session_release(struct session *session)
{
    MUST(session_is_over(session));
    connector_free(TAKE(session->connector));
    session_close(session);
    if (session->timer != NULL)
        event_free(TAKE(session->timer));
}

void session_free(struct session *session)
{
    if (session == NULL)
        return;
    MUST(session->order == NULL);
    session_release(session);
    strbuf_done(&session->output);
    reply_reader_done(&session->reader);
    config_unref(session->config);
    free(session->peer);
    free(session);
}

static bool is_same_text(const char *a, const char *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a, b) == 0;
}

/* After a reload the same smarthost is another object; sessions outlive that if nothing that matters has changed. */
static bool is_same_target(const struct session *session, const struct delivery_order *order)
{
    const struct smarthost_config *a = session->smarthost;
    const struct smarthost_config *b = order->smarthost;

    return a == b ||
           (is_same_text(a->name, b->name) && is_same_text(a->host, b->host) &&
            a->port == b->port && a->tls == b->tls &&
            a->may_send_plaintext == b->may_send_plaintext &&
            is_same_text(a->username, b->username) && is_same_text(a->password, b->password) &&
            is_same_text(a->ca_file, b->ca_file) &&
            is_same_text(session->config->hostname, order->config->hostname));
}

bool session_can_serve(const struct session *session, const struct delivery_order *order)
{
    return session->order == NULL && (session->step == STEP_READY || session->step == STEP_RSET) &&
           is_same_target(session, order);
}

void session_serve(struct session *session, struct delivery_order *order)
{
    MUST(session_can_serve(session, order));
    begin_order(session, order);
    order->host = xstrdup_or_null(session->peer);
    if (session->step == STEP_READY)
        session_move(session, STEP_MAIL);
    else
        session_timer_restart(session);
}

unsigned session_slot(const struct session *session)
{
    return session->slot;
}

bool session_has_order(const struct session *session)
{
    return session->order != NULL;
}

struct session *session_next(const struct session *session)
{
    return TAILQ_NEXT(session, link);
}

void session_list_add(struct session_list *list, struct session *session)
{
    TAILQ_INSERT_TAIL(list, session, link);
}

void session_list_remove(struct session_list *list, struct session *session)
{
    TAILQ_REMOVE(list, session, link);
}
