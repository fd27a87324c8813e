/* One SMTP or LMTP dialogue with a program of this machine. Main thread. The verbs are in commands.c. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "connection.h"
#include "envelope.h"
#include "users.h"

struct access_rule;
struct config;
struct intake_shared;
struct refusal;
struct submission;

enum { SESSION_LINE_MAX = 4096, SESSION_ERRORS_MAX = 20 };

enum session_state {
    SESSION_GREETING, /* the user's name is being looked up */
    SESSION_HELO,     /* greeted; HELO, EHLO or LHLO is awaited */
    SESSION_READY,    /* no transaction */
    SESSION_MAIL,     /* a sender, no recipient yet */
    SESSION_RCPT,     /* at least one recipient */
    SESSION_DATA,     /* message bytes */
    SESSION_COMMIT,   /* the spool is asked */
    SESSION_CLOSING,  /* the last reply is being written */
    SESSION_STATE_COUNT
};

enum session_protocol { PROTOCOL_SMTP, PROTOCOL_ESMTP, PROTOCOL_LMTP, PROTOCOL_COUNT };

struct session {
    TAILQ_ENTRY(session) link;
    struct intake_shared *shared;
    const struct config *config;      /* of the time when the session began */
    const struct access_rule *access; /* of config; NULL: no row fits */
    struct user *user;
    struct user_waiter waiter;
    struct connection connection;
    enum session_state state;
    enum session_protocol protocol;
    bool is_stopping;     /* the daemon ends: 421 after the message that is being committed */
    bool is_line_skipped; /* up to its end, because it is too long */
    unsigned errors;      /* since the last message */
    int64_t active_at_ms; /* monotonic: the last progress of the client */
    struct envelope envelope;
    struct submission *submission; /* in SESSION_DATA and SESSION_COMMIT */
    unsigned data_reply_count;     /* that LMTP owes for it */
};

/* Takes fd. The session frees itself into shared->finished. */
void session_start(struct intake_shared *shared, const struct config *config, struct user *user,
                   int fd);
/* Idle sessions hear 421 and end; one that waits for the spool gets its answer first. */
void session_stop(struct session *session);
/* Ends it when the client has done nothing for limit_ms. */
void session_check_idle(struct session *session, int64_t now_ms, int64_t limit_ms);
/* By the reaper, for sessions in shared->finished. */
void session_free(struct session *session);

/* --- for commands.c --- */

/* "CODE ENHANCED text"; enhanced NULL: none (RFC 2034: greeting, HELO and 354). */
__attribute__((format(printf, 4, 5))) void
session_reply(struct session *session, unsigned code, const char *enhanced, const char *fmt, ...);
void session_reply_refusal(struct session *session, const struct refusal *refusal);
/* A command that makes no sense. Too many of them end the session. */
void session_reply_error(struct session *session, unsigned code, const char *enhanced,
                         const char *text);
/* A sender, recipient or message is refused: counted and logged. what names the step. */
void session_refuse(struct session *session, const char *what, const struct refusal *refusal);
void session_move(struct session *session, enum session_state state);
void session_reset_transaction(struct session *session);
/* 354 is the next thing the client hears. */
void session_begin_data(struct session *session);
/* No further command is read. */
void session_end(struct session *session);
