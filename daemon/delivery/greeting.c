/* From the name of the smarthost to a session that is logged in. */
#include "session_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "strbuf.h"
#include "xalloc.h"

#include "config.h"
#include "log.h"
#include "resolver.h"
#include "tls.h"

static void on_resolved(struct resolver_hosts *answer);

void session_enter_resolve(struct session *session)
{
    session->answers_due++;
    resolver_host(session->host->resolver, session->smarthost->host, session->smarthost->port,
                  session->host->mailbox, on_resolved, session);
}

/* tls = "none" is for this machine alone, unless the administrator says otherwise. */
static void keep_permitted(const struct session *session, struct resolver_hosts *answer)
{
    size_t kept = 0;

    if (session->smarthost->tls != TLS_NONE || session->smarthost->may_send_plaintext)
        return;
    for (size_t i = 0; i < answer->count; i++)
        if (connect_is_loopback(&answer->addresses[i]))
            answer->addresses[kept++] = answer->addresses[i];
    answer->count = kept;
}

static void on_connected(const struct connect_result *result, void *ctx);

static void try_addresses(struct session *session, struct resolver_hosts *answer)
{
    keep_permitted(session, answer);
    if (answer->count == 0) {
        session_fail(session, TROUBLE_TLS_MISSING,
                     "%s is not on this machine: tls = none would send everything in clear",
                     session->smarthost->host);
        return;
    }
    session->connector =
        connector_start(session->host->base, answer->addresses, answer->count,
                        session->host->timing->step_ms[STEP_CONNECT], on_connected, session);
    session_move(session, STEP_CONNECT);
}

static void on_resolved(struct resolver_hosts *answer)
{
    struct session *session = answer->ctx;

    session->answers_due--;
    if (session->step == STEP_CLOSED)
        session->host->closed(session, session->host->ctx);
    else if (answer->gai_error != 0 || answer->count == 0)
        session_fail(session, TROUBLE_RESOLVE, "%s: %s", session->smarthost->host,
                     answer->gai_error != 0 ? gai_strerror(answer->gai_error) : "no address");
    else
        try_addresses(session, answer);
    free(answer);
}

static void on_connected(const struct connect_result *result, void *ctx)
{
    struct session *session = ctx;
    const struct smarthost_config *smarthost = session->smarthost;

    if (session->step == STEP_CLOSED) { /* stopped meanwhile */
        if (result->fd >= 0)
            (void)close(result->fd);
        return;
    }
    if (result->fd < 0) {
        session_fail(session, result->trouble, "%s", result->text);
        return;
    }
    session->is_loopback = result->is_loopback;
    session->peer = xasprintf("%s [%s]:%u", smarthost->host, result->address, smarthost->port);
    session->order->host = xstrdup(session->peer);
    session_open(session, result->fd);
    if (smarthost->tls == TLS_IMPLICIT) {
        if (session_begin_tls(session))
            session_move(session, STEP_HANDSHAKE);
        return;
    }
    session->replies_due = 1;
    session_move(session, STEP_GREETING);
}

void session_on_handshake_done(struct session *session)
{
    char text[TLS_TEXT_SIZE];

    tls_describe(session->tls, text);
    log_event(LOG_LEVEL_DEBUG, NULL, "tls", "host", session->peer, "cipher", text, NULL);
    if (session->smarthost->tls == TLS_IMPLICIT) {
        session->replies_due = 1;
        session_move(session, STEP_GREETING);
    } else {
        session_move(session, STEP_EHLO);
    }
}

void session_on_greeting(struct session *session, const struct smtp_reply *reply)
{
    if (session_is_good(session, reply))
        session_move(session, STEP_EHLO);
    else if (session_is_refusal(reply))
        session_refused(session, reply, true);
    else
        session_nonsense(session, reply);
}

static void send_hello(struct session *session, const char *verb)
{
    strbuf_append_format(&session->output, "%s %s\r\n", verb, session->config->hostname);
    (void)session_send(session, 1);
}

/* What was offered before TLS counts for nothing. */
void session_enter_ehlo(struct session *session)
{
    session->offered = (struct capabilities){ 0 };
    send_hello(session, "EHLO");
}

static void begin_login(struct session *session)
{
    session_move(session, session->smarthost->username != NULL ? STEP_AUTH : STEP_READY);
}

/* Who refuses EHLO has neither TLS nor AUTH. */
static bool may_say_helo(const struct session *session, const struct smtp_reply *reply)
{
    return reply->code >= 500 && session->smarthost->tls == TLS_NONE &&
           session->smarthost->username == NULL;
}

void session_on_ehlo_reply(struct session *session, const struct smtp_reply *reply)
{
    if (!session_is_good(session, reply)) {
        if (may_say_helo(session, reply))
            session_move(session, STEP_HELO);
        else if (session_is_refusal(reply))
            session_refused(session, reply, true);
        else
            session_nonsense(session, reply);
        return;
    }
    capabilities_parse(reply->text, &session->offered);
    if (session->smarthost->tls != TLS_STARTTLS || session->is_encrypted)
        begin_login(session);
    else if (session->offered.has_starttls)
        session_move(session, STEP_STARTTLS);
    else
        session_fail(session, TROUBLE_TLS_MISSING, "the smarthost does not offer STARTTLS");
}

void session_enter_helo(struct session *session)
{
    send_hello(session, "HELO");
}

void session_on_helo_reply(struct session *session, const struct smtp_reply *reply)
{
    if (session_is_good(session, reply))
        session_move(session, STEP_READY);
    else if (session_is_refusal(reply))
        session_refused(session, reply, true);
    else
        session_nonsense(session, reply);
}

void session_enter_starttls(struct session *session)
{
    (void)session_say(session, "STARTTLS\r\n");
}

void session_on_starttls_reply(struct session *session, const struct smtp_reply *reply)
{
    if (session_is_refusal(reply))
        session_refused(session, reply, true);
    else if (!session_is_good(session, reply))
        session_nonsense(session, reply);
    else if (!session_is_all_sent(session))
        session_fail(session, TROUBLE_TLS_INJECTION,
                     "the smarthost replied to STARTTLS before it was asked");
    else if (session_unread(session) > 0)
        /* Whoever is in between could have put it there to be taken for replies under TLS (CVE-2011-0411). */
        session_fail(session, TROUBLE_TLS_INJECTION,
                     "the smarthost said more after its reply to STARTTLS, before TLS began");
    else if (session_begin_tls(session))
        session_move(session, STEP_HANDSHAKE);
}

static bool may_log_in(const struct session *session)
{
    return session->is_encrypted || session->is_loopback || session->smarthost->may_send_plaintext;
}

/* Entered again for each challenge. */
void session_enter_auth(struct session *session)
{
    const struct smarthost_config *smarthost = session->smarthost;

    if (session->auth.mechanism != NULL) {
        if (auth_respond(&session->auth, &session->output))
            (void)session_send_secret(session);
        else
            session_fail(session, TROUBLE_BAD_REPLY, "more challenges than %s has",
                         auth_mechanism_name(&session->auth));
    } else if (!may_log_in(session)) {
        session_fail(session, TROUBLE_TLS_MISSING, "no login without TLS");
    } else if (smarthost->password == NULL) {
        session_fail(session, TROUBLE_SECRET, "there is no password for %s", smarthost->name);
    } else if (!auth_begin(session->offered.auth_mechanisms, smarthost->username,
                           smarthost->password, &session->auth)) {
        session_fail(session, TROUBLE_AUTH_MISSING,
                     session->offered.has_auth
                         ? "the smarthost offers no AUTH mechanism that outbox knows"
                         : "the smarthost does not offer AUTH");
    } else {
        auth_command(&session->auth, &session->output);
        (void)session_send_secret(session);
    }
}

void session_on_auth_reply(struct session *session, const struct smtp_reply *reply)
{
    if (session_is_good(session, reply))
        session_move(session, STEP_READY);
    else if (reply->code == 334)
        session_move(session, STEP_AUTH);
    else if (session_is_refusal(reply))
        session_refused(session, reply, true);
    else
        session_nonsense(session, reply);
}
