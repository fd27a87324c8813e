/* One transaction: MAIL, RCPT, DATA, the body, the dot, and what each answer means for each recipient. */
#include "session_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "cleanup.h"
#include "invariant.h"
#include "strbuf.h"
#include "xalloc.h"

#include "config.h"
#include "inflight.h"

/* --- Marks --- */

/* Of the recipients that this is the fate of so far. */
static void mark(struct session *session, enum inflight_phase phase, enum fate fate)
{
    const struct delivery_order *order = session->order;
    struct inflight_mark mark = { .phase = phase, .key = order->key };
    size_t count = 0;

    for (size_t i = 0; i < order->recipient_count; i++) {
        if (session->transaction.fates[i] != fate)
            continue;
        if (count < INFLIGHT_NUMBERS_MAX)
            mark.numbers[count] = order->recipients[i].number;
        count++;
    }
    mark.number_count = count <= INFLIGHT_NUMBERS_MAX ? (uint16_t)count : 0;
    (void)memccpy(mark.smarthost, order->smarthost->name, '\0', sizeof mark.smarthost - 1);
    inflight_set(session->host->inflight, order->mark, &mark);
}

/* --- Outcomes --- */

static void settle(struct session *session, size_t i, const struct outcome *outcome)
{
    session->transaction.fates[i] = FATE_DECIDED;
    if (outcome_is_of_mail(outcome))
        order_recipient_decide(&session->order->recipients[i], DELIVERY_REFUSED, outcome);
    else
        order_trouble_note(session->order, outcome);
}

void transaction_settle(struct session *session, const struct outcome *outcome)
{
    for (size_t i = 0; i < session->order->recipient_count; i++)
        if (session->transaction.fates[i] != FATE_DECIDED)
            settle(session, i, outcome);
}

bool transaction_is_in_doubt(const struct session *session)
{
    return session->step == STEP_DOT && session->transaction.accepted > 0 &&
           session_is_all_sent(session);
}

void transaction_settle_in_doubt(struct session *session, const char *words)
{
    struct delivery_order *order = session->order;
    struct outcome outcome = outcome_of_trouble(STAGE_END_OF_DATA, TROUBLE_LOST_AFTER_DOT, words);

    for (size_t i = 0; i < order->recipient_count; i++) {
        if (session->transaction.fates[i] == FATE_DECIDED)
            continue;
        session->transaction.fates[i] = FATE_DECIDED;
        order_recipient_decide(&order->recipients[i], DELIVERY_IN_DOUBT, &outcome);
    }
    order_trouble_note(order, &outcome);
}

static void settle_accepted(struct session *session, const struct smtp_reply *reply)
{
    struct delivery_order *order = session->order;
    struct outcome outcome = outcome_of_reply(order, STAGE_END_OF_DATA, reply);

    for (size_t i = 0; i < order->recipient_count; i++) {
        if (session->transaction.fates[i] != FATE_ACCEPTED)
            continue;
        session->transaction.fates[i] = FATE_DECIDED;
        order_recipient_decide(&order->recipients[i], DELIVERY_DONE, &outcome);
    }
}

/* --- Begin and end --- */

void transaction_begin(struct session *session)
{
    struct transaction *transaction = &session->transaction;

    *transaction = (struct transaction){ .fates = xcalloc(session->order->recipient_count,
                                                          sizeof *transaction->fates) };
    mark(session, INFLIGHT_TAKEN, FATE_OPEN);
}

void transaction_free(struct session *session)
{
    body_end(&session->transaction.body);
    free(TAKE(session->transaction.fates));
}

static bool is_used_up(const struct session *session)
{
    unsigned ours = session->smarthost->messages_per_connection;
    unsigned theirs = session->offered.mail_max;

    return (ours > 0 && session->transactions >= ours) ||
           (theirs > 0 && session->transactions >= theirs);
}

/* then: STEP_READY or STEP_RSET. */
static void end(struct session *session, enum step then)
{
    session->transactions++;
    bool must_quit = is_used_up(session) || session->host->is_stopping;
    session_order_end(session, !must_quit && session_unread(session) == 0);
    session_move(session, must_quit ? STEP_QUIT : then);
}

/* --- MAIL --- */

static bool is_pipelined(const struct session *session)
{
    return session->offered.has_pipelining;
}

/* Intake has seen to this; but a line break here would be a command of somebody else's. */
static bool is_sendable(const char *address)
{
    for (const char *p = address; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7F)
            return false;
    return true;
}

static bool are_sendable(const struct delivery_order *order)
{
    for (size_t i = 0; i < order->recipient_count; i++)
        if (!is_sendable(order->recipients[i].address))
            return false;
    return is_sendable(order->sender);
}

/* Reasons not even to begin; words are set unless TROUBLE_COUNT is returned. */
static enum trouble objection(const struct session *session, const char **ret_words)
{
    const struct delivery_order *order = session->order;
    const struct capabilities *offered = &session->offered;

    if (!are_sendable(order)) {
        *ret_words = "a stored address contains control characters";
        return TROUBLE_BODY;
    }
    if (offered->size_max > 0 && order->size_bytes > offered->size_max) {
        *ret_words = "the message is larger than the smarthost takes (SIZE)";
        return TROUBLE_TOO_LARGE;
    }
    if (order->needs_smtputf8 && !offered->has_smtputf8) {
        *ret_words = "the smarthost does not offer SMTPUTF8, which the addresses need";
        return TROUBLE_SMTPUTF8;
    }
    if (order->is_8bit && !offered->has_8bitmime) {
        *ret_words = "the smarthost does not offer 8BITMIME, which the message needs";
        return TROUBLE_8BIT;
    }
    return TROUBLE_COUNT;
}

/* Recipients beyond what the smarthost takes at once (LIMITS RCPTMAX) are told what it would tell them. */
static void limit_recipients(struct session *session)
{
    static const struct smtp_reply too_many = { .code = 452,
                                                .enhanced = "4.5.3",
                                                .text = "Too many recipients" };
    struct delivery_order *order = session->order;
    struct transaction *transaction = &session->transaction;
    size_t limit = session->offered.rcpt_max;

    transaction->rcpt_count = order->recipient_count;
    if (limit == 0 || limit >= order->recipient_count)
        return;
    transaction->rcpt_count = limit;
    struct outcome outcome = outcome_of_reply(order, STAGE_RCPT, &too_many);
    outcome.reply = NULL;
    outcome.words = "more recipients than the smarthost takes at once (LIMITS RCPTMAX)";
    for (size_t i = limit; i < order->recipient_count; i++)
        settle(session, i, &outcome);
}

static void add_mail(const struct session *session, struct strbuf *commands)
{
    const struct delivery_order *order = session->order;

    strbuf_append_text(commands, "MAIL FROM:<");
    strbuf_append_text(commands, order->sender);
    strbuf_append_char(commands, '>');
    if (session->offered.has_size)
        strbuf_append_format(commands, " SIZE=%" PRId64, order->size_bytes);
    if (order->is_8bit)
        strbuf_append_text(commands, " BODY=8BITMIME");
    if (order->needs_smtputf8)
        strbuf_append_text(commands, " SMTPUTF8");
    strbuf_append_text(commands, "\r\n");
}

static void add_rcpt(const struct session *session, size_t i, struct strbuf *commands)
{
    strbuf_append_text(commands, "RCPT TO:<");
    strbuf_append_text(commands, session->order->recipients[i].address);
    strbuf_append_text(commands, ">\r\n");
}

static const char data_command[] = "DATA\r\n";

static void send_mail(struct session *session)
{
    struct strbuf *commands = &session->output;
    size_t replies = 1;

    add_mail(session, commands);
    if (is_pipelined(session)) {
        for (size_t i = 0; i < session->transaction.rcpt_count; i++)
            add_rcpt(session, i, commands);
        strbuf_append_text(commands, data_command);
        replies += session->transaction.rcpt_count + 1;
    }
    (void)session_send(session, replies);
}

void session_enter_mail(struct session *session)
{
    const char *words = NULL;
    enum trouble trouble = objection(session, &words);

    if (trouble != TROUBLE_COUNT) {
        struct outcome outcome = outcome_of_trouble(STAGE_MAIL, trouble, words);
        transaction_settle(session, &outcome);
        session_order_end(session, !session->host->is_stopping);
        session_move(session, STEP_READY);
        return;
    }
    limit_recipients(session);
    send_mail(session);
}

void session_on_mail_reply(struct session *session, const struct smtp_reply *reply)
{
    bool is_good = session_is_good(session, reply);

    if (!is_good && !session_is_refusal(reply)) {
        session_nonsense(session, reply);
        return;
    }
    session->order->was_connected = true;
    if (!is_good) {
        struct outcome outcome = outcome_of_reply(session->order, STAGE_MAIL, reply);
        transaction_settle(session, &outcome);
    }
    /* What was pipelined is answered all the same. */
    if (is_good || is_pipelined(session))
        session_move(session, STEP_RCPT);
    else
        end(session, STEP_RSET);
}

/* --- RCPT --- */

void session_enter_rcpt(struct session *session)
{
    if (is_pipelined(session))
        return;
    add_rcpt(session, session->transaction.next_rcpt, &session->output);
    (void)session_send(session, 1);
}

static void judge_rcpt(struct session *session, size_t i, const struct smtp_reply *reply)
{
    struct transaction *transaction = &session->transaction;

    if (transaction->fates[i] == FATE_DECIDED)
        return; /* MAIL was refused */
    if (session_is_good(session, reply)) {
        transaction->fates[i] = FATE_ACCEPTED;
        transaction->accepted++;
        return;
    }
    struct outcome outcome = outcome_of_reply(session->order, STAGE_RCPT, reply);
    settle(session, i, &outcome);
}

void session_on_rcpt_reply(struct session *session, const struct smtp_reply *reply)
{
    struct transaction *transaction = &session->transaction;

    if (!session_is_good(session, reply) && !session_is_refusal(reply)) {
        session_nonsense(session, reply);
        return;
    }
    judge_rcpt(session, transaction->next_rcpt++, reply);
    if (transaction->next_rcpt < transaction->rcpt_count)
        session_move(session, STEP_RCPT);
    else if (is_pipelined(session) || transaction->accepted > 0)
        session_move(session, STEP_DATA);
    else
        end(session, STEP_RSET);
}

/* --- DATA --- */

void session_enter_data(struct session *session)
{
    if (!is_pipelined(session))
        (void)session_say(session, data_command);
}

/* RFC 2920, 3.1: a smarthost that wants a message for nobody gets an empty one. */
static void send_lone_dot(struct session *session)
{
    if (session_say(session, ".\r\n"))
        session_move(session, STEP_DOT);
}

void session_on_data_reply(struct session *session, const struct smtp_reply *reply)
{
    if (session_is_refusal(reply)) {
        struct outcome outcome = outcome_of_reply(session->order, STAGE_DATA, reply);
        transaction_settle(session, &outcome);
        end(session, STEP_RSET);
    } else if (!session_is_good(session, reply)) {
        session_nonsense(session, reply);
    } else if (session->transaction.accepted == 0) {
        send_lone_dot(session);
    } else {
        session_move(session, STEP_BODY);
    }
}

/* --- The body --- */

/* The answer may find another order, or none: then the body it was for has failed, and the session is closed. */
static void on_chunk(struct mail *mail)
{
    struct delivery_chunk *chunk = (struct delivery_chunk *)mail;
    struct session *session = chunk->session;

    session->answers_due--;
    if (session->step != STEP_BODY) {
        blob_unref(chunk->data);
        if (session->step == STEP_CLOSED)
            session->host->closed(session, session->host->ctx);
    } else if (chunk->data == NULL) {
        session_fail(session, TROUBLE_BODY, "the spool could not give the message");
    } else {
        body_chunk(&session->transaction.body, TAKE(chunk->data));
        session_timer_restart(session);
        session_on_body_writable(session);
    }
    free(chunk);
}

void delivery_chunk_answer(struct delivery_chunk *chunk, struct blob *data)
{
    chunk->data = data;
    chunk->mail.on_arrival = on_chunk;
    mailbox_post(chunk->reply_to, &chunk->mail);
}

static void ask_for_chunk(struct session *session)
{
    uint32_t index = 0;

    if (!body_wants(&session->transaction.body, &index))
        return;
    struct delivery_chunk *chunk = NEW(struct delivery_chunk);
    chunk->reply_to = session->host->mailbox;
    chunk->key = session->order->key;
    chunk->index = index;
    chunk->session = session;
    session->answers_due++;
    session->host->chunk_wanted(chunk, session->host->chunk_ctx);
}

void session_enter_body(struct session *session)
{
    body_begin(&session->transaction.body, session->order->chunk_count, session->order->body);
    session_on_body_writable(session);
}

bool session_body_is_hungry(const struct session *session)
{
    return session->transaction.body.current == NULL && session->transaction.body.is_asked;
}

static void on_body_end(void *ctx)
{
    struct session *session = ctx;

    mark(session, INFLIGHT_AT_DOT, FATE_ACCEPTED);
}

void session_on_body_writable(struct session *session)
{
    ask_for_chunk(session);
    switch (body_fill(&session->transaction.body, &session->output, on_body_end, session)) {
    case BODY_DONE:
        session->replies_due++;
        session_send_body(session);
        session_move(session, STEP_DOT);
        break;
    case BODY_FULL:
        session_send_body(session);
        session_timer_restart(session);
        ask_for_chunk(session);
        break;
    case BODY_HUNGRY:
        session_send_body(session);
        ask_for_chunk(session);
        break;
    case BODY_DAMAGED:
        session_fail(session, TROUBLE_BODY, "the stored message contains a bare CR or LF");
        break;
    }
}

/* Before we are done nothing can have been accepted, so a refusal means what it says; anything else is nonsense. The
   connection ends with it: the rest of the message must not be sent to somebody who waits for commands. */
void session_on_body_reply(struct session *session, const struct smtp_reply *reply)
{
    if (session_is_refusal(reply))
        session_refused(session, reply, false);
    else
        session_nonsense(session, reply);
}

/* --- The dot --- */

void session_on_dot_reply(struct session *session, const struct smtp_reply *reply)
{
    if (!session_is_all_sent(session)) {
        session_on_body_reply(session, reply);
    } else if (session_is_refusal(reply)) {
        struct outcome outcome = outcome_of_reply(session->order, STAGE_END_OF_DATA, reply);
        transaction_settle(session, &outcome);
        end(session, STEP_RSET);
    } else if (!session_is_good(session, reply)) {
        session_nonsense(session, reply);
    } else {
        settle_accepted(session, reply);
        end(session, STEP_READY);
    }
}

/* --- RSET, after a transaction that failed --- */

void session_enter_rset(struct session *session)
{
    (void)session_say(session, "RSET\r\n");
}

void session_on_rset_reply(struct session *session, const struct smtp_reply *reply)
{
    if (session_is_good(session, reply))
        session_move(session, STEP_READY);
    else
        session_nonsense(session, reply);
}
