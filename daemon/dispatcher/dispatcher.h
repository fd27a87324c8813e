/* The dispatcher: which message goes to which smarthost, when, over which slot; and what an outcome means for the
   queue. Runs on the main thread and joins spool and delivery, which do not know each other.

   A lane per smarthost: a circuit (queue/circuit.h), a bounded set of messages that are due (the rest stays in the
   spool and is read back when there is room), slots for connections-max sessions, a token bucket. A slot is free for
   the next message as soon as the transaction is over; its inflight mark is only once the outcome is on disk. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "circuit.h"
#include "recipient_state.h"

struct config;
struct delivery;
struct dispatcher;
struct error;
struct event_base;
struct mailbox;
struct spool;
struct spool_submit;

struct dispatcher_options {
    struct event_base *base;
    struct mailbox *mailbox;
    struct spool *spool;
    const struct config *config;
    struct delivery *delivery;
    unsigned slots_max; /* of the delivery module */
    unsigned marks_max; /* the same; bounds the orders whose outcome is not committed yet */
};

/* Reads parked smarthosts from the spool, then the backlog of each lane. */
struct dispatcher *dispatcher_start(const struct dispatcher_options *options);
void dispatcher_reload(struct dispatcher *dispatcher, const struct config *config);
/* No new orders; what the spool could not store is tried once more, at each call. */
void dispatcher_stop(struct dispatcher *dispatcher);
/* No order and no unanswered outcome is left. What cannot be stored does not count: it shows by its inflight mark at
   the next start. */
bool dispatcher_is_idle(const struct dispatcher *dispatcher);
void dispatcher_free(struct dispatcher *dispatcher);

/* A message was accepted: take it up at once if there is room. Signature of intake_accepted_fn. */
void dispatcher_message_accepted(const struct spool_submit *submit, void *dispatcher);
/* Rows of these messages were changed by hand: forget what memory says and look again. */
void dispatcher_messages_changed(struct dispatcher *dispatcher, const int64_t *keys, size_t count);

/* What a lane is doing, for status, list and why. */
struct lane_view {
    const char *smarthost;
    struct circuit circuit;
    const char *reason_text; /* escaped reply or words; NULL */
    int reason_code;
    const char *reason_enhanced;
    const char *reason_stage;
    unsigned connections; /* busy */
    unsigned connections_idle;
    unsigned connections_max;
    size_t active;                                  /* messages in memory */
    bool is_rate_limited;                           /* waits for its own token bucket now */
    unsigned long long delivered, deferred, failed; /* recipients since start */
};
size_t dispatcher_lane_count(const struct dispatcher *dispatcher);
struct lane_view dispatcher_lane(const struct dispatcher *dispatcher, size_t index);
/* The lane of that name; false when the configuration has none. */
bool dispatcher_lane_find(const struct dispatcher *dispatcher, const char *smarthost,
                          struct lane_view *ret_view);
/* By hand. false: no such smarthost. */
bool dispatcher_park(struct dispatcher *dispatcher, const char *smarthost, int64_t uid);
bool dispatcher_unpark(struct dispatcher *dispatcher, const char *smarthost, int64_t uid);
