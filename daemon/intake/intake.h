/* Intake: SMTP and LMTP for the programs of this machine on submit.sock (DESIGN 2.3). Runs on the main thread.
   Checks everything, makes the header pass, streams bodies into the spool, and answers 250 only on the spool's answer.
   Who the caller is comes from the kernel (SO_PEERCRED). Knows nothing of delivery: what was accepted is told to a
   callback.

   RFC 5321, 2033 (LMTP), 1870, 2034, 2920, 6152, 6531, 9422. Line ends are strict: a bare CR or LF refuses the message.
   Addresses in UTF-8 are taken without SMTPUTF8 too, since programs of the same machine often don't ask; 8-bit header
   fields without it count as an 8-bit body. DSN and other parameters of later versions are refused with 555.
   Limits: command line 4096 bytes, header 256 KiB, line 998 bytes (header and body), recipients-max, 5 minutes of
   silence, sessions per user and in all (the last places are for newcomers and root); bytes between intake and spool
   64 MiB in all, 8 MiB per user (beyond, sockets are not read). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct error;
struct event_base;
struct intake;
struct mailbox;
struct resolver;
struct spool;
struct spool_submit;

/* A message has been committed, and its client knows. submit is lent for the call; its blobs may be referenced. */
typedef void intake_accepted_fn(const struct spool_submit *submit, void *ctx);

struct intake_options {
    struct event_base *base; /* main's */
    struct mailbox *mailbox; /* main's */
    struct spool *spool;
    struct resolver *resolver;   /* for user names */
    const struct config *config; /* intake keeps a reference */
    intake_accepted_fn *accepted;
    void *ctx;
    int64_t idle_ms; /* silence after which a session ends; 0: 5 minutes */
};

/* Listens on runtime-directory/submit.sock. */
struct intake *intake_start(const struct intake_options *options, struct error *err);
/* New sessions follow the new configuration, running ones keep theirs; the socket stays where it is. */
void intake_reload(struct intake *intake, const struct config *config);
/* Stops listening; idle sessions hear 421 and end, a session that waits for the spool gets its answer first. */
void intake_stop(struct intake *intake);
/* No session is left: intake_free may follow. */
bool intake_is_idle(const struct intake *intake);
void intake_free(struct intake *intake);

/* How many sessions a process with so many descriptors has: some are left for deliveries. */
unsigned intake_sessions_max(uint64_t descriptors);

struct intake_counts {
    unsigned sessions;
    unsigned long long accepted;
    unsigned long long refused;
};
struct intake_counts intake_counts(const struct intake *intake);
