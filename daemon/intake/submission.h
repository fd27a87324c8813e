/* One message on its way from a session into the spool: reads DATA, makes the header pass, hands over full chunks while
   the client still sends, and completes the message. Main thread.

   It does not need its session: when the client goes away, a message that was not complete is forgotten, and one that
   is being committed stays, and is accepted or not as the spool says. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct config;
struct access_rule;
struct envelope;
struct intake_shared;
struct refusal;
struct submission;
struct user;

/* The spool has answered: refusal is NULL when the message is accepted under this id. The submission is freed when the
   callback returns. */
typedef void submission_done_fn(const char *id, const struct refusal *refusal, void *ctx);
/* Bytes are wanted again after submission_feed() took none. */
typedef void submission_resumed_fn(void *ctx);

struct submission_options {
    struct intake_shared *shared;
    const struct config *config;
    const struct access_rule *access; /* of config; NULL: no row fits */
    struct user *user;                /* whose name is known */
    struct envelope *envelope;        /* its contents are taken; left empty */
    const char *protocol;             /* static: "ESMTP" ... */
    submission_done_fn *done;
    submission_resumed_fn *resumed;
    void *ctx; /* of both */
};

struct submission *submission_new(const struct submission_options *options);

/* Takes bytes as they come from the client and returns how many were used. Not all: the end was reached, or nothing
   may be read for now and resumed() will run. */
size_t submission_feed(struct submission *submission, const char *bytes, size_t len);
/* Nothing may be read for now. */
bool submission_is_held(const struct submission *submission);
/* The dot has been read: submission_commit() is next. */
bool submission_is_complete(const struct submission *submission);

/* False: refused, with the reason in ret_refusal; the submission is gone and done() does not run. */
bool submission_commit(struct submission *submission, struct refusal *ret_refusal);

/* The session is going away: no callback runs any more. Frees itself, at once or after the spool has answered. */
void submission_detach(struct submission *submission);
