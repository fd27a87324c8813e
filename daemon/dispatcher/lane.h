/* A lane: everything about one smarthost on the main thread. Its work is a bounded window on the spool's backlog.
   Private to the dispatcher; lanes do not talk to spool or delivery themselves. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bucket.h"
#include "circuit.h"
#include "hash.h"
#include "spool.h"

struct blob;
struct config;
struct lane;
struct smarthost_config;
struct verdict;

enum {
    LANE_ACTIVE_MAX = 2000, /* messages of one lane in memory */
    LANE_READ_LIMIT = 500,  /* recipients asked of the spool at a time */
    LANE_UNTRIED_MAX =
        3, /* transactions a message may see break before that counts as its own attempt */
};

enum work_state { WORK_READY, WORK_IN_FLIGHT, WORK_SETTLING };

/* A message of which recipients are due at this lane. */
struct work {
    TAILQ_ENTRY(work) link; /* while ready */
    UT_hash_handle hh;      /* lane->works by key */
    enum work_state state;
    struct spool_due_message message; /* ours; its recipients are those still to do */
    struct blob *body;                /* NULL: in the spool only */
    size_t slice_max; /* recipients of one transaction; 0: the smarthost's recipients-max */
    unsigned untried; /* transactions that broke for reasons of the smarthost after MAIL */
    bool is_stale;    /* changed by hand meanwhile: drop it after this transaction */
};

struct lane_slot {
    unsigned number; /* of the delivery module; never changes */
    bool is_busy;
    bool has_session;
};

struct parked_sender {
    UT_hash_handle hh;
    int64_t until_s;
    char sender[]; /* the key */
};

struct lane {
    char *name;
    const struct smarthost_config *smarthost; /* NULL: not in the configuration (any more) */
    struct circuit circuit;
    unsigned probes_started;
    char *reason_rule; /* from before the start: circuit.reason.rule points to it; NULL */
    char *reason_text; /* escaped; NULL */
    char reason_enhanced[12];
    int reason_code;
    enum verdict_stage reason_stage;

    TAILQ_HEAD(, work) ready;
    struct work *works; /* hash of all, by message key */
    size_t work_count;

    struct lane_slot *slots; /* grows to connections-max, never shrinks */
    size_t slot_count;
    size_t busy_count;
    struct bucket rate;
    struct bucket daily;
    bool is_rate_limited;

    bool
        has_backlog; /* the spool may hold more that is due; without it the cursor is at the start */
    bool is_reading;
    bool is_read_stale; /* the cursor was set back while the read is under way */
    int64_t cursor_due_s;
    int64_t cursor_recipient;
    int64_t again_from_s; /* behind the cursor something came up: go back there at the end; 0: no */
    int64_t next_due_at_s; /* earliest known later due time; 0: none */
    int64_t expiry_checked_at_s;

    struct parked_sender *parked_senders;
    struct spool_parked_span *spans; /* times in which messages did not age */
    size_t span_count;

    unsigned long long delivered, deferred, failed;
};

struct lane *lane_new(const char *name, int64_t now_ms);
void lane_free(struct lane *lane);
/* Follows a new configuration: limits change, what is under way goes on. */
void lane_configure(struct lane *lane, const struct smarthost_config *smarthost, int64_t now_ms);

/* Takes the content of message (leaves it empty) and references body. NULL when the lane has this message already: it
   takes the recipients that it did not have, behind those it has. */
struct work *lane_work_add(struct lane *lane, struct spool_due_message *message, struct blob *body);
/* Frees what a message of the backlog holds, not the struct. */
void lane_due_message_clear(struct spool_due_message *message);
struct work *lane_work_find(struct lane *lane, int64_t key);
/* Back to the end of the ready list. */
void lane_work_requeue(struct lane *lane, struct work *work);
/* Out of the ready list, for a transaction. */
void lane_work_take(struct lane *lane, struct work *work);
void lane_work_drop(struct lane *lane, struct work *work);

/* The first `count` recipients of a transaction are over: those with is_kept stay, the others are forgotten. */
void lane_work_settle(struct work *work, size_t count, const bool *is_kept);

void lane_slot_add(struct lane *lane, unsigned number);
/* A free slot of those the configuration allows, one with an open session first; SIZE_MAX when all are busy. */
size_t lane_slot_free(const struct lane *lane);

/* Keeps the reason that status and why show. */
void lane_reason_set(struct lane *lane, enum verdict_stage stage, int code, const char *enhanced,
                     const char *escaped_text);
void lane_later_due(struct lane *lane, int64_t due_at_s);

/* Reading the backlog goes forward in order of (due_at, recipient), a piece at a time, while mail comes and goes. */
/* Something is in the spool, not in memory, and due since due_at_s: it will be read. */
void lane_backlog_note(struct lane *lane, int64_t due_at_s);
/* Rows have been changed anywhere: from the start. */
void lane_backlog_restart(struct lane *lane);
/* A read was answered: where the next one goes on, if there must be one. */
void lane_backlog_advance(struct lane *lane, const struct spool_due *due);
/* It could not be answered: again at retry_at_s, from the start. */
void lane_backlog_fail(struct lane *lane, int64_t retry_at_s);

void lane_parked(struct lane *lane, int64_t now_s);
void lane_unparked(struct lane *lane, int64_t now_s);
/* Seconds since accepted_at_s that count: without those in which the lane was parked. */
int64_t lane_age_s(const struct lane *lane, int64_t accepted_at_s, int64_t now_s);

void lane_sender_park(struct lane *lane, const char *sender, int64_t until_s);
void lane_sender_unpark(struct lane *lane, const char *sender);
void lane_senders_unpark(struct lane *lane);
/* 0: not parked; else until when. Forgets what is over. */
int64_t lane_sender_parked_until(struct lane *lane, const char *sender, int64_t now_s);
