/* Bytes of a session: replies in, commands out, and TLS around them.
   What is to be sent is collected in session->output and written when the callbacks of this turn of the loop are done,
   all at once; the socket is only watched for room when it had too little. */
#include "session_private.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "error.h"
#include "invariant.h"

#include "config.h"
#include "tls.h"

enum {
    INPUT_MAX = 4096,    /* read at a time; nothing is kept of it */
    OUTPUT_KEPT = 16384, /* memory for what is to be sent that stays with the session */
};

/* --- Transfers --- */

static enum transfer outcome_of(struct session *session, ssize_t result, size_t *ret_len)
{
    if (result > 0) {
        *ret_len = (size_t)result;
        return TRANSFER_DONE;
    }
    if (result < 0 && (errno == EAGAIN || errno == EINTR))
        return TRANSFER_WAITS_FOR_READ;
    if (result < 0 && session->lost_errno == 0)
        session->lost_errno = errno;
    return TRANSFER_OVER;
}

static enum transfer receive(struct session *session, char ret_bytes[INPUT_MAX], size_t *ret_len)
{
    if (session->tls != NULL)
        return tls_read(session->tls, ret_bytes, INPUT_MAX, ret_len);
    enum transfer transfer =
        outcome_of(session, recv(session->fd, ret_bytes, INPUT_MAX, 0), ret_len);
    /* After a failed write what had arrived before counts, and then comes no more. */
    return transfer != TRANSFER_DONE && session->lost_errno != 0 ? TRANSFER_OVER : transfer;
}

static enum transfer transmit(struct session *session, const char *bytes, size_t len,
                              size_t *ret_len)
{
    if (session->tls != NULL)
        return tls_write(session->tls, bytes, len, ret_len);
    enum transfer transfer =
        outcome_of(session, send(session->fd, bytes, len, MSG_NOSIGNAL), ret_len);
    return transfer == TRANSFER_WAITS_FOR_READ ? TRANSFER_WAITS_FOR_WRITE : transfer;
}

/* Of reading and of handshakes, for the socket is always watched for something to read. */
static void wait_if_needed(struct session *session, enum transfer transfer)
{
    if (transfer == TRANSFER_WAITS_FOR_WRITE)
        MUST(event_add(session->writable, NULL) == 0);
}

/* --- Reading --- */

size_t session_unread(const struct session *session)
{
    return session->unread;
}

static void on_reply(struct session *session, const struct smtp_reply *reply)
{
    if (session->replies_due > 0)
        session->replies_due--;
    if (reply->code == 421 && session->step != STEP_QUIT)
        session_refused(session, reply, false);
    else
        session_steps[session->step].on_reply(session, reply);
}

/* A record of TLS (handshake or alert), where a greeting was to come. */
static bool is_tls_record(const char *bytes, size_t len)
{
    return len >= 2 && (bytes[0] == 0x15 || bytes[0] == 0x16) && bytes[1] == 0x03;
}

static void on_bad_reply(struct session *session, bool is_tls)
{
    if (session->step == STEP_GREETING && is_tls)
        session_fail(session, TROUBLE_BAD_REPLY,
                     "port %u speaks TLS from the start: set tls = implicit",
                     session->smarthost->port);
    else
        session_fail(session, TROUBLE_BAD_REPLY, "%s %s", session->reader.problem,
                     session_steps[session->step].doing);
}

/* One reply, or what there is of it. */
static void take_reply(struct session *session, const char *bytes, size_t len)
{
    bool is_at_start = !reply_reader_is_within(&session->reader);
    size_t used = 0;

    if (session_steps[session->step].on_reply == NULL) {
        session_fail(session, TROUBLE_BAD_REPLY, "the smarthost spoke unasked while %s",
                     session_steps[session->step].doing);
        return;
    }
    enum reply_status status = reply_reader_feed(&session->reader, bytes, len, &used);
    session->unread = len - used;
    if (status == REPLY_BAD) {
        on_bad_reply(session, is_at_start && is_tls_record(bytes, len));
    } else if (status == REPLY_COMPLETE) {
        struct smtp_reply reply = reply_reader_reply(&session->reader);
        on_reply(session, &reply);
        reply_reader_reset(&session->reader);
    }
}

static void on_lost(struct session *session)
{
    char text[TLS_TEXT_SIZE] = "";

    if (session->tls != NULL)
        (void)tls_explain(session->tls, session->smarthost->host, text);
    else if (session->lost_errno != 0)
        (void)snprintf(text, sizeof text, "%s", strerror(session->lost_errno));
    session_fail(session, TROUBLE_LOST, "lost connection while %s%s%s%s",
                 session_steps[session->step].doing, text[0] != '\0' ? ": " : "", text,
                 session_hint(session));
}

/* A TLS handshake reads for itself. */
static bool may_read(const struct session *session)
{
    return session->step != STEP_CLOSED && session->step != STEP_HANDSHAKE;
}

static bool may_have_more(const struct session *session, size_t len)
{
    return session->tls != NULL ? tls_may_have_more(session->tls) : len == INPUT_MAX;
}

static void read_all(struct session *session)
{
    char bytes[INPUT_MAX];
    size_t len = 0;

    do {
        enum transfer transfer = receive(session, bytes, &len);
        session->must_write_to_read = transfer == TRANSFER_WAITS_FOR_WRITE;
        wait_if_needed(session, transfer);
        if (transfer == TRANSFER_OVER)
            on_lost(session);
        if (transfer != TRANSFER_DONE)
            return;
        session->unread = len;
        while (session->unread > 0 && may_read(session))
            take_reply(session, bytes + len - session->unread, session->unread);
    } while (may_read(session) && may_have_more(session, len));
}

/* --- Writing --- */

static bool is_watched_for_room(const struct session *session)
{
    return event_pending(session->writable, EV_WRITE, NULL) != 0;
}

/* From the loop, when the callbacks of this turn are done. */
static void write_soon(struct session *session)
{
    if (!is_watched_for_room(session))
        event_active(session->writable, EV_WRITE, 0);
}

bool session_is_all_sent(const struct session *session)
{
    return session->sent == session->output.len;
}

static void forget_output(struct session *session)
{
    if (session->is_output_secret)
        explicit_bzero(session->output.data, session->output.len);
    session->is_output_secret = false;
    session->sent = 0;
    if (session->output.capacity <= OUTPUT_KEPT || session->step == STEP_BODY) {
        strbuf_clear(&session->output);
        return;
    }
    strbuf_done(&session->output);
    strbuf_init(&session->output);
}

static void write_all(struct session *session)
{
    while (!session_is_all_sent(session)) {
        size_t len = 0;
        enum transfer transfer = transmit(session, session->output.data + session->sent,
                                          session->output.len - session->sent, &len);
        wait_if_needed(session, transfer);
        if (transfer == TRANSFER_OVER)
            event_active(session->readable, EV_READ, 0); /* it may have said why */
        if (transfer != TRANSFER_DONE)
            return;
        session->sent += len;
    }
    forget_output(session);
    if (session->step == STEP_BODY)
        session_on_body_writable(session);
    else if (session->step == STEP_DOT)
        session_timer_restart(session); /* the rest of the body is on its way */
}

static bool may_send(struct session *session)
{
    if (session->replies_due > 0 || session_unread(session) == 0 || session->step == STEP_QUIT)
        return true;
    session_fail(session, TROUBLE_BAD_REPLY,
                 "the smarthost sent more replies than commands while %s",
                 session_steps[session->step].doing);
    return false;
}

bool session_send(struct session *session, size_t replies)
{
    if (!may_send(session))
        return false;
    session->replies_due += replies;
    write_soon(session);
    return true;
}

bool session_say(struct session *session, const char *command)
{
    strbuf_append_text(&session->output, command);
    return session_send(session, 1);
}

bool session_send_secret(struct session *session)
{
    session->is_output_secret = true;
    return session_send(session, 1);
}

void session_send_body(struct session *session)
{
    if (!session_is_all_sent(session))
        write_soon(session);
}

/* --- The handshake --- */

static void on_handshake_failed(struct session *session)
{
    char text[TLS_TEXT_SIZE];
    enum trouble trouble = tls_explain(session->tls, session->smarthost->host, text);
    bool is_implicit = session->smarthost->tls == TLS_IMPLICIT;

    if (trouble == TROUBLE_LOST)
        session_fail(session, TROUBLE_TLS_HANDSHAKE,
                     "the smarthost closed the connection during the TLS handshake%s%s",
                     text[0] != '\0' ? ": " : "", text);
    else if (trouble == TROUBLE_TLS_HANDSHAKE && is_implicit && tls_is_plain_peer(text))
        session_fail(session, trouble,
                     "%s: port %u does not begin with TLS: set tls = starttls (or another port)",
                     text, session->smarthost->port);
    else
        session_fail(session, trouble, "%s", text);
}

static void shake_hands(struct session *session)
{
    enum transfer transfer = tls_handshake(session->tls);

    wait_if_needed(session, transfer);
    if (transfer == TRANSFER_OVER)
        on_handshake_failed(session);
    if (transfer != TRANSFER_DONE)
        return;
    session->is_encrypted = true;
    session_on_handshake_done(session);
    if (may_read(session) && tls_may_have_more(session->tls))
        read_all(session); /* what came in the same segment as the end of the handshake */
}

/* --- Events --- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct session *session = arg;

    (void)fd;
    (void)what;
    if (session->step == STEP_HANDSHAKE)
        shake_hands(session);
    else
        read_all(session);
    /* TLS may have had to read before it could go on writing. */
    if (may_read(session) && !session_is_all_sent(session))
        write_soon(session);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct session *session = arg;

    (void)fd;
    (void)what;
    if (session->step == STEP_HANDSHAKE) {
        shake_hands(session);
        return;
    }
    if (session->must_write_to_read)
        read_all(session);
    if (may_read(session))
        write_all(session);
}

/* --- The connection --- */

void session_open(struct session *session, int fd)
{
    struct event_base *base = session->host->base;

    session->fd = fd;
    session->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, session);
    session->writable = event_new(base, fd, EV_WRITE, on_writable, session);
    MUST(session->readable != NULL && session->writable != NULL);
    MUST(event_add(session->readable, NULL) == 0);
}

bool session_begin_tls(struct session *session)
{
    struct error err;

    session->tls = tls_new(session->host->tls, session->fd, session->smarthost->host,
                           session->smarthost->ca_file, &err);
    if (session->tls == NULL) {
        session_fail(session, TROUBLE_TLS_CERTIFICATE, "%s", err.text);
        return false;
    }
    write_soon(session); /* ours is the first word */
    return true;
}

void session_silence(struct session *session)
{
    if (session->fd < 0)
        return;
    (void)event_del(session->readable);
    (void)event_del(session->writable);
}

void session_close(struct session *session)
{
    if (session->fd < 0)
        return;
    forget_output(session);
    event_free(TAKE(session->readable));
    event_free(TAKE(session->writable));
    tls_free(TAKE(session->tls));
    (void)close(session->fd);
    session->fd = -1;
}
