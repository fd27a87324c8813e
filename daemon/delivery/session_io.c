/* Bytes of a session: replies in, commands out, and TLS around them. */
#include "session_private.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "invariant.h"
#include "strbuf.h"

#include "config.h"
#include "tls.h"

enum {
    INPUT_MAX = 65536,  /* read ahead of what is parsed */
    OUTPUT_LOW = 65536, /* refilled from here on, see BODY_QUEUED_MAX */
};

/* --- Reading --- */

size_t session_unread(const struct session *session)
{
    return session->bev != NULL ? evbuffer_get_length(bufferevent_get_input(session->bev)) : 0;
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

/* False: no more can be read now. */
static bool read_some(struct session *session)
{
    char bytes[4096];
    struct evbuffer *input = bufferevent_get_input(session->bev);
    bool is_at_start = !reply_reader_is_within(&session->reader);
    ev_ssize_t len = evbuffer_copyout(input, bytes, sizeof bytes);
    size_t used = 0;

    if (len <= 0)
        return false;
    if (session_steps[session->step].on_reply == NULL) {
        session_fail(session, TROUBLE_BAD_REPLY, "the smarthost spoke unasked while %s",
                     session_steps[session->step].doing);
        return false;
    }
    enum reply_status status = reply_reader_feed(&session->reader, bytes, (size_t)len, &used);
    (void)evbuffer_drain(input, used);
    if (status == REPLY_BAD) {
        on_bad_reply(session, is_at_start && is_tls_record(bytes, (size_t)len));
        return false;
    }
    if (status == REPLY_COMPLETE) {
        struct smtp_reply reply = reply_reader_reply(&session->reader);
        on_reply(session, &reply);
        reply_reader_reset(&session->reader);
    }
    return true;
}

/* A TLS handshake reads for itself. */
static void read_all(struct session *session)
{
    while (session->step != STEP_CLOSED && session->step != STEP_HANDSHAKE && read_some(session))
        ;
}

static void on_readable(struct bufferevent *bev, void *arg)
{
    struct session *session = arg;

    if (bev == session->bev)
        read_all(session);
}

static void on_writable(struct bufferevent *bev, void *arg)
{
    struct session *session = arg;

    if (bev != session->bev)
        return;
    if (session->step == STEP_BODY)
        session_on_body_writable(session);
    else if (session->step == STEP_DOT)
        session_timer_restart(session); /* the rest of the body is on its way */
}

static void on_handshake_failed(struct session *session)
{
    char text[TLS_TEXT_SIZE];
    enum trouble trouble = tls_explain(session->bev, session->smarthost->host, text);
    bool is_implicit = session->smarthost->tls == TLS_IMPLICIT;

    if (trouble == TROUBLE_LOST)
        session_fail(session, TROUBLE_TLS_HANDSHAKE,
                     "the smarthost closed the connection during the TLS handshake");
    else if (trouble == TROUBLE_TLS_HANDSHAKE && is_implicit && tls_is_plain_peer(text))
        session_fail(session, trouble,
                     "%s: port %u does not begin with TLS: set tls = starttls (or another port)",
                     text, session->smarthost->port);
    else
        session_fail(session, trouble, "%s", text);
}

static void on_lost(struct session *session, int reason)
{
    char text[TLS_TEXT_SIZE] = "";

    if (session->is_encrypted)
        (void)tls_explain(session->bev, session->smarthost->host, text);
    else if (reason != 0)
        (void)snprintf(text, sizeof text, "%s", strerror(reason));
    session_fail(session, TROUBLE_LOST, "lost connection while %s%s%s%s",
                 session_steps[session->step].doing, text[0] != '\0' ? ": " : "", text,
                 session_hint(session));
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct session *session = arg;
    int reason = (what & BEV_EVENT_ERROR) != 0 ? errno : 0;

    if (bev != session->bev || session->step == STEP_CLOSED)
        return;
    if ((what & BEV_EVENT_CONNECTED) != 0) {
        session->is_encrypted = true;
        session_on_handshake_done(session);
        return;
    }
    if (session->step == STEP_HANDSHAKE) {
        on_handshake_failed(session);
        return;
    }
    read_all(session); /* libevent 2.1 reports the end even when data came before it */
    if (session->step != STEP_CLOSED)
        on_lost(session, reason);
}

/* --- Writing --- */

static bool may_send(struct session *session)
{
    if (session->replies_due > 0 || session_unread(session) == 0 || session->step == STEP_QUIT)
        return true;
    session_fail(session, TROUBLE_BAD_REPLY,
                 "the smarthost sent more replies than commands while %s",
                 session_steps[session->step].doing);
    return false;
}

bool session_send(struct session *session, const char *bytes, size_t len, size_t replies)
{
    if (!may_send(session))
        return false;
    session->replies_due += replies;
    MUST(bufferevent_write(session->bev, bytes, len) == 0);
    return true;
}

static void wipe_and_free(const void *bytes, size_t len, void *memory)
{
    (void)bytes;
    explicit_bzero(memory, len);
    free(memory);
}

bool session_send_secret(struct session *session, struct strbuf *line)
{
    size_t len = 0;

    if (!may_send(session)) {
        explicit_bzero(line->data, line->len);
        return false;
    }
    session->replies_due++;
    char *bytes = strbuf_take(line, &len);
    MUST(evbuffer_add_reference(bufferevent_get_output(session->bev), bytes, len, wipe_and_free,
                                bytes) == 0);
    return true;
}

/* --- The connection --- */

static void use_bufferevent(struct session *session, struct bufferevent *bev)
{
    session->bev = bev;
    bufferevent_setcb(bev, on_readable, on_writable, on_event, session);
    bufferevent_setwatermark(bev, EV_READ, 0, INPUT_MAX);
    bufferevent_setwatermark(bev, EV_WRITE, OUTPUT_LOW, 0);
    MUST(bufferevent_enable(bev, EV_READ | EV_WRITE) == 0);
}

void session_begin_plain(struct session *session, int fd)
{
    struct bufferevent *bev = bufferevent_socket_new(
        session->host->base, fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);

    MUST(bev != NULL);
    use_bufferevent(session, bev);
}

/* The plain bufferevent is only put aside, for this may be its callback. */
static int take_socket(struct session *session)
{
    int fd = bufferevent_getfd(session->bev);

    MUST(session->retired == NULL);
    bufferevent_setcb(session->bev, NULL, NULL, NULL, NULL);
    (void)bufferevent_disable(session->bev, EV_READ | EV_WRITE);
    MUST(bufferevent_setfd(session->bev, -1) == 0);
    session->retired = TAKE(session->bev);
    return fd;
}

bool session_begin_tls(struct session *session, int fd)
{
    struct error err;

    if (fd < 0)
        fd = take_socket(session);
    struct bufferevent *bev = tls_wrap(session->host->tls, session->host->base, fd,
                                       session->smarthost->host, session->smarthost->ca_file, &err);
    if (bev == NULL) {
        (void)close(fd);
        session_fail(session, TROUBLE_TLS_CERTIFICATE, "%s", err.text);
        return false;
    }
    use_bufferevent(session, bev);
    return true;
}
