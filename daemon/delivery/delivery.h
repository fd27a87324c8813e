/* Delivery: threads that speak SMTP to smarthosts, each with an event base and many sessions of its own.
   It gets orders (one message, one smarthost, one or more recipients) and gives them back with an outcome for each
   recipient. It decides nothing about when, and knows no spool: bodies come through a callback.

   Sessions: an order names a slot. A slot is a place for one session to its smarthost; the session stays open after
   an order (idle) and serves the next order of that slot. A slot always belongs to the same thread. An idle session
   that turns out to be dead costs no attempt: the order is tried once more on a new connection.

   RFC 5321 (client side), 1870, 2034, 2920, 3207, 4954, 6152, 6531, 8314. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mailbox.h"
#include "queue_id.h"
#include "verdict.h"

struct blob;
struct config;
struct delivery;
struct error;
struct inflight_mark;
struct resolver;
struct smarthost_config;

enum delivery_result {
    DELIVERY_DONE,     /* the smarthost took responsibility for this recipient */
    DELIVERY_REFUSED,  /* by a reply or for a reason of the message: verdict says what it means */
    DELIVERY_IN_DOUBT, /* lost between the final dot and its reply */
    DELIVERY_UNTRIED, /* something else ended the order first (order->trouble): no attempt of this recipient */
};

struct delivery_recipient {
    uint16_t number; /* the caller's, untouched */
    char *address;
    unsigned attempts; /* the caller's, untouched */
    /* The outcome: */
    enum delivery_result result;
    struct verdict verdict;
    enum verdict_stage stage;
    int code; /* 0: no reply */
    char enhanced[12];
    char *reply; /* its text without the codes, NOT yet escaped; at most 2,000 bytes; NULL: none */
};

struct delivery_order;
typedef void delivery_done_fn(struct delivery_order *order);

/* One transaction to be. Given away with delivery_order_start, comes back through done on the thread of reply_to. */
struct delivery_order {
    struct mail mail;
    struct mailbox *reply_to;
    delivery_done_fn *done;
    void *ctx;
    void *worker; /* private */

    const struct config *config;              /* a reference of the order's own */
    const struct smarthost_config *smarthost; /* within config */
    unsigned slot;
    unsigned mark; /* its number; free again with delivery_mark_committed */

    int64_t key; /* of the message; for the body callback and the inflight marks */
    char id[QUEUE_ID_SIZE];
    char *sender;
    int64_t size_bytes;
    bool is_8bit;
    bool needs_smtputf8;
    uint32_t chunk_count;
    struct blob
        *body; /* the whole body when it is one chunk and at hand (a reference); else NULL: ask */
    size_t recipient_count;
    struct delivery_recipient *recipients;

    /* The outcome: */
    bool has_trouble; /* of the connection, the account or the smarthost */
    struct verdict trouble;
    enum verdict_stage trouble_stage;
    int trouble_code;
    char trouble_enhanced[12];
    char *trouble_text;   /* reply (NOT escaped), or our own words ("connection refused") */
    bool was_connected;   /* got as far as a reply to MAIL */
    bool is_session_open; /* the slot has an idle session now */
    char *host;           /* "name [address]:port" of the connection; NULL */
    int64_t started_ms;   /* wall clock */
    int64_t duration_ms;
};

struct delivery_order *delivery_order_new(const struct config *config,
                                          const struct smarthost_config *smarthost,
                                          size_t recipient_count);
void delivery_order_free(struct delivery_order *order);

/* A piece of a body that a session needs. Answer it with delivery_chunk_answer from any thread, exactly once. */
struct delivery_chunk {
    struct mail mail;
    struct mailbox *reply_to; /* of the thread that asked */
    int64_t key;
    uint32_t index;
    struct blob *data; /* the answer, a reference; NULL: it could not be had */
    void *session;     /* private */
};
typedef void delivery_chunk_wanted_fn(struct delivery_chunk *chunk, void *ctx);
void delivery_chunk_answer(struct delivery_chunk *chunk, struct blob *data);

struct delivery_options {
    unsigned threads;
    unsigned slots_max;          /* slots are 0..slots_max-1; slot s lives on thread s % threads */
    unsigned marks_max;          /* inflight marks are 0..marks_max-1 */
    const char *state_directory; /* for the file of inflight marks */
    struct resolver *resolver;
    delivery_chunk_wanted_fn *chunk_wanted; /* called on delivery threads */
    void *chunk_ctx;
};

struct delivery *delivery_start(const struct delivery_options *options, struct error *err);
/* Orders not yet started come back untried (TROUBLE_STOPPED); transactions may go on for grace_ms, then they are cut;
   one that waits for the reply to its dot becomes in doubt. All orders have been posted back, and the threads have
   ended, when this returns. Answers (names, chunks) may still come in; they are waste. */
void delivery_stop(struct delivery *delivery, unsigned grace_ms);
/* After delivery_stop, once nobody can answer any more: the resolver is stopped, every chunk is answered or never
   will be. NULL is fine. */
void delivery_free(struct delivery *delivery);

/* From the main thread; takes the order. One order per slot at a time: the next one not before the last came back. */
void delivery_order_start(struct delivery *delivery, struct delivery_order *order);
/* Ends the idle session of a slot, if there is one (QUIT). */
void delivery_slot_close(struct delivery *delivery, unsigned slot);

/* The inflight marks (inflight.h). An order that starts is marked as taken; when its final dot goes out, the mark
   names the recipients that the smarthost has accepted by then. Coming back clears nothing: */
/* Clears a mark: once the outcome of its order is committed, before the next order with that mark. From any thread. */
void delivery_mark_committed(struct delivery *delivery, unsigned mark);
/* What an earlier process left behind, before the first order; as inflight_next(): *mark starts at 0, false at the
   end. A mark found here stays until delivery_mark_committed(delivery, *mark - 1) or the next order with it. */
bool delivery_inflight_next(struct delivery *delivery, unsigned *mark,
                            struct inflight_mark *ret_mark);
