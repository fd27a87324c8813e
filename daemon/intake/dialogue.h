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

enum { DIALOGUE_LINE_MAX = 4096, DIALOGUE_ERRORS_MAX = 20 };

enum dialogue_state {
    DIALOGUE_GREETING, /* the user's name is being looked up */
    DIALOGUE_HELO,     /* greeted; HELO, EHLO or LHLO is awaited */
    DIALOGUE_READY,    /* no transaction */
    DIALOGUE_MAIL,     /* a sender, no recipient yet */
    DIALOGUE_RCPT,     /* at least one recipient */
    DIALOGUE_DATA,     /* message bytes */
    DIALOGUE_COMMIT,   /* the spool is asked */
    DIALOGUE_CLOSING,  /* the last reply is being written */
    DIALOGUE_STATE_COUNT
};

enum dialogue_protocol { PROTOCOL_SMTP, PROTOCOL_ESMTP, PROTOCOL_LMTP, PROTOCOL_COUNT };

struct dialogue {
    TAILQ_ENTRY(dialogue) link;
    struct intake_shared *shared;
    const struct config *config;      /* of the time when the session began */
    const struct access_rule *access; /* of config; NULL: no row fits */
    struct user *user;
    struct user_waiter waiter;
    struct connection connection;
    enum dialogue_state state;
    enum dialogue_protocol protocol;
    bool is_stopping;     /* the daemon ends: 421 after the message that is being committed */
    bool is_line_skipped; /* up to its end, because it is too long */
    unsigned errors;      /* since the last message */
    int64_t active_at_ms; /* monotonic: the last progress of the client */
    struct envelope envelope;
    struct submission *submission; /* in DIALOGUE_DATA and DIALOGUE_COMMIT */
    unsigned data_reply_count;     /* that LMTP owes for it */
};

/* Takes fd. The session frees itself into shared->finished. */
void dialogue_start(struct intake_shared *shared, const struct config *config, struct user *user,
                    int fd);
/* Idle sessions hear 421 and end; one that waits for the spool gets its answer first. */
void dialogue_stop(struct dialogue *dialogue);
/* Ends it when the client has done nothing for limit_ms. */
void dialogue_check_idle(struct dialogue *dialogue, int64_t now_ms, int64_t limit_ms);
/* By the reaper, for sessions in shared->finished. */
void dialogue_free(struct dialogue *dialogue);

/* --- for commands.c --- */

/* "CODE ENHANCED text", the text in pieces, ended by NULL; enhanced NULL: none (RFC 2034: greeting, HELO and 354). */
__attribute__((sentinel)) void dialogue_reply(struct dialogue *dialogue, unsigned code,
                                              const char *enhanced, const char *text, ...);
void dialogue_reply_refusal(struct dialogue *dialogue, const struct refusal *refusal);
/* A command that makes no sense. Too many of them end the session. */
void dialogue_reply_error(struct dialogue *dialogue, unsigned code, const char *enhanced,
                          const char *text);
/* A sender, recipient or message is refused: counted and logged. what names the step. */
void dialogue_refuse(struct dialogue *dialogue, const char *what, const struct refusal *refusal);
void dialogue_move(struct dialogue *dialogue, enum dialogue_state state);
void dialogue_reset_transaction(struct dialogue *dialogue);
/* 354 is the next thing the client hears. */
void dialogue_begin_data(struct dialogue *dialogue);
/* No further command is read. */
void dialogue_end(struct dialogue *dialogue);
