/* Shared by session.c (steps and ends), session_io.c (bytes), greeting.c (up to the login) and transaction.c (MAIL to the dot); for nobody
   else. */
#pragma once
#include "session.h"

#include "auth.h"
#include "body.h"
#include "capabilities.h"
#include "connect.h"
#include "order.h"
#include "reply_reader.h"
#include "strbuf.h"

struct event;
struct smarthost_config;
struct tls;

/* One row per step. */
struct step_row {
    const char *name;         /* for the log */
    const char *doing;        /* completes "lost connection while ..." */
    unsigned timeout_s;       /* RFC 5321 4.5.3.2; 0: none */
    enum verdict_stage stage; /* whom to blame */
    char success;             /* first digit of the reply hoped for; 0: no reply is due */
    void (*enter)(struct session *session);
    void (*on_reply)(struct session *session, const struct smtp_reply *reply);
    uint32_t next; /* set of steps that may follow */
};
extern const struct step_row session_steps[STEP_COUNT];

/* What has become of a recipient within a transaction. */
enum fate {
    FATE_OPEN,     /* RCPT is not answered yet */
    FATE_ACCEPTED, /* RCPT was answered well */
    FATE_DECIDED,  /* the outcome stands in the order */
};

struct transaction {
    enum fate *fates; /* of the order's recipients */
    size_t rcpt_count;
    size_t next_rcpt; /* whose reply is due */
    size_t accepted;
    struct body body;
};

struct session {
    TAILQ_ENTRY(session) link;
    struct session_host *host;
    unsigned slot;
    enum step step;
    const struct config *config; /* a reference; of the order that opened the session */
    const struct smarthost_config *smarthost;
    char *peer; /* "name [address]:port" */

    struct connector *connector;
    int fd; /* -1: not connected */
    struct event *readable;
    struct event *writable;  /* watched only while the socket has no room */
    struct tls *tls;         /* from its handshake on */
    bool must_write_to_read; /* TLS waits for room before it can go on reading */
    int lost_errno;          /* of a plain socket; 0: none */
    struct strbuf output;    /* commands and body, emptied when all of it has been sent */
    size_t sent;             /* of it */
    bool is_output_secret;
    size_t unread; /* bytes that came behind the reply being worked on */
    bool is_loopback;
    bool is_encrypted;
    struct event *timer;
    int64_t due_ms;       /* when the step or the order runs out of time, monotonic; 0: never */
    int64_t armed_ms;     /* when the timer looks; never later than due_ms; 0: not at all */
    unsigned answers_due; /* of the resolver and the spool, which hold a pointer to this */

    struct reply_reader reader;
    size_t replies_due; /* commands sent and not answered */
    struct capabilities offered;
    struct auth_exchange auth;
    unsigned transactions; /* so far */

    struct delivery_order *order; /* NULL: none */
    int64_t order_started_ms;     /* monotonic */
    int64_t deadline_ms;
    struct transaction transaction;
};

/* session.c: steps and ends */

/* The only way from step to step: checks the row, sets the timer, logs, enters. The last thing a function does. */
void session_move(struct session *session, enum step step);
/* Restarts the timer of the step. */
void session_timer_restart(struct session *session);
/* What people commonly get wrong when this step fails; "". */
const char *session_hint(const struct session *session);

/* Ends session and order. */
__attribute__((format(printf, 3, 4))) void session_fail(struct session *session,
                                                        enum trouble trouble, const char *fmt, ...);
/* A reply before MAIL, or 421 at any time, that ends both; QUIT is said if is_polite. */
void session_refused(struct session *session, const struct smtp_reply *reply, bool is_polite);
/* A reply of the wrong kind (354 to RCPT, 250 to DATA). */
void session_nonsense(struct session *session, const struct smtp_reply *reply);
/* Gives the order back. */
void session_order_end(struct session *session, bool is_session_open);
bool session_is_good(const struct session *session, const struct smtp_reply *reply);
bool session_is_refusal(const struct smtp_reply *reply);

/* session_io.c: bytes */

/* Takes the connected socket. */
void session_open(struct session *session, int fd);
/* Begins the handshake. False: the session is over. */
bool session_begin_tls(struct session *session);
/* Nothing more is read or written. */
void session_silence(struct session *session);
void session_close(struct session *session);
/* Sends the command, or several at once, that was added to session->output, with so many replies to come. False: the
   smarthost had said more than it was asked, and the session is over. */
bool session_send(struct session *session, size_t replies);
/* The same for one command. */
bool session_say(struct session *session, const char *command);
/* The same for session->output with a secret in it: it is wiped. */
bool session_send_secret(struct session *session);
/* Sends what was added of the body; session_on_body_writable() is called when it has left. */
void session_send_body(struct session *session);
bool session_is_all_sent(const struct session *session);
size_t session_unread(const struct session *session);

/* greeting.c: up to the login, in the order of the protocol */

void session_enter_resolve(struct session *session);
void session_on_greeting(struct session *session, const struct smtp_reply *reply);
void session_enter_ehlo(struct session *session);
void session_on_ehlo_reply(struct session *session, const struct smtp_reply *reply);
void session_enter_helo(struct session *session);
void session_on_helo_reply(struct session *session, const struct smtp_reply *reply);
void session_enter_starttls(struct session *session);
void session_on_starttls_reply(struct session *session, const struct smtp_reply *reply);
void session_on_handshake_done(struct session *session);
void session_enter_auth(struct session *session);
void session_on_auth_reply(struct session *session, const struct smtp_reply *reply);

/* transaction.c: from MAIL to the final dot, in the order of the protocol */

void transaction_begin(struct session *session);
void transaction_free(struct session *session);
void session_enter_mail(struct session *session);
void session_on_mail_reply(struct session *session, const struct smtp_reply *reply);
void session_enter_rcpt(struct session *session);
void session_on_rcpt_reply(struct session *session, const struct smtp_reply *reply);
void session_enter_data(struct session *session);
void session_on_data_reply(struct session *session, const struct smtp_reply *reply);
void session_enter_body(struct session *session);
bool session_body_is_hungry(const struct session *session); /* waits for the spool */
void session_on_body_writable(struct session *session);
void session_on_body_reply(struct session *session, const struct smtp_reply *reply);
void session_on_dot_reply(struct session *session, const struct smtp_reply *reply);
void session_enter_rset(struct session *session);
void session_on_rset_reply(struct session *session, const struct smtp_reply *reply);
/* Every recipient that has no outcome yet gets this one, or the order has this trouble. */
void transaction_settle(struct session *session, const struct outcome *outcome);
/* The smarthost may or may not have taken the message. */
void transaction_settle_in_doubt(struct session *session, const char *words);
/* Whether the final dot may have reached the smarthost, and its answer matters. */
bool transaction_is_in_doubt(const struct session *session);
