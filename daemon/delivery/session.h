/* One SMTP session to a smarthost: connects, logs in, serves orders one after the other. Everything on the delivery
   thread that owns its base. session.c has the states and the table of steps. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "delivery.h"
#include "verdict.h"

struct event_base;
struct inflight;
struct mailbox;
struct resolver;
struct session;
struct tls_store;

enum step {
    STEP_RESOLVE,
    STEP_CONNECT,
    STEP_HANDSHAKE,
    STEP_GREETING,
    STEP_EHLO,
    STEP_HELO,
    STEP_STARTTLS,
    STEP_AUTH,
    STEP_READY,
    STEP_MAIL,
    STEP_RCPT,
    STEP_DATA,
    STEP_BODY,
    STEP_DOT,
    STEP_RSET,
    STEP_QUIT,
    STEP_CLOSED,
    STEP_COUNT
};

/* How long things may take. Tests shorten it. */
struct session_timing {
    unsigned step_ms[STEP_COUNT]; /* 0: no limit of its own */
    unsigned deadline_ms;         /* from the start of an order to its final dot, */
    unsigned bytes_per_s;         /* and longer by the time that this slowest bearable rate takes */
};
/* RFC 5321 4.5.3.2, from the table of steps. */
void session_timing_default(struct session_timing *ret_timing);

/* What sessions of a thread share, and whom they tell. The callbacks must not free the session. */
struct session_host {
    struct event_base *base;
    struct mailbox *mailbox;
    struct resolver *resolver;
    struct tls_store *tls;
    struct inflight *inflight;
    const struct session_timing *timing;
    delivery_chunk_wanted_fn *chunk_wanted;
    void *chunk_ctx;
    bool is_stopping; /* no new work: sessions quit when their order is done */
    /* The session is over (once), or got an answer after that: time to look whether it can be freed. */
    void (*closed)(struct session *session, void *ctx);
    /* An idle session turned out to be dead; the order, untouched, needs a new one. Comes before closed. */
    void (*unserved)(struct session *session, struct delivery_order *order, void *ctx);
    void *ctx;
};

/* Begins to connect, for this order (taken). It goes back when it is done, see order_give_back(). */
struct session *session_new(struct session_host *host, struct delivery_order *order);
/* Closed. */
bool session_is_over(const struct session *session);
/* Over, and nobody owes it an answer. */
bool session_may_free(const struct session *session);
/* Gives up all that belongs to the event base, once it is over: from the loop, outside of the session's callbacks. */
void session_release(struct session *session);
/* When session_may_free(), or it is released and no answer can come any more. */
void session_free(struct session *session);

/* Takes another order: the session has none, is not quitting, and goes where the order wants to. */
bool session_can_serve(const struct session *session, const struct delivery_order *order);
void session_serve(struct session *session, struct delivery_order *order);
unsigned session_slot(const struct session *session);
bool session_has_order(const struct session *session);
/* Says QUIT if it is idle; a session with an order goes on. */
void session_quit(struct session *session);
/* The daemon is stopping: a transaction under way goes on, everything else ends. */
void session_wind_down(struct session *session);
/* Ends it now: its order comes back (TROUBLE_STOPPED, or in doubt). */
void session_stop(struct session *session);

TAILQ_HEAD(session_list, session);
struct session *session_next(const struct session *session);
void session_list_add(struct session_list *list, struct session *session);
void session_list_remove(struct session_list *list, struct session *session);
