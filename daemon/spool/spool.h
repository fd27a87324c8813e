/* The spool: accepted messages, durable. These are the questions one can ask; that the engine is SQLite is known
   below this header only. One thread owns the database. It drains its mailbox, runs all requests found there in one
   transaction, commits with one sync, and then answers: the group commit. An answer that is ok is on stable storage.

   A request is one allocation of the caller's: fill it, hand it to its function (which takes it), and get it back as
   the argument of done, on the thread of reply_to, whatever happened. The callee of done frees it with its _free.
   Requests of one sender are done in the order they were posted.

   Failures: ERROR_FULL no space (the group was rolled back, each member hears it); ERROR_MISSING no such message;
   ERROR_DAMAGED, ERROR_IO. A COMMIT with unknown outcome answers nobody: the process ends with status 75 and recovers. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "mailbox.h"
#include "queue_id.h"
#include "recipient_state.h"

struct blob;
struct filter;
struct spool;
struct spool_operation;
struct spool_request;

enum {
    SPOOL_CHUNK_BYTES =
        256 * 1024, /* a body is chunks of exactly this size, the last may be shorter */
    SPOOL_RECIPIENTS_MAX = 65535, /* of one message */
};

typedef void spool_done_fn(struct spool_request *request);

/* First member of every request. reply_to, done and ctx are the caller's to fill, is_ok and error are the answer, the
   rest is the spool's. */
struct spool_request {
    struct mail mail;
    struct mailbox *reply_to;
    spool_done_fn *done;
    void *ctx;
    bool is_ok;
    struct error error;

    struct spool *spool;
    const struct spool_operation *operation;
    bool is_settled;    /* is_ok and error are final */
    bool is_unfinished; /* a long read goes on in the next group */
};

/* Opens (or creates) state_directory/spool.db under an exclusive lock, checks and migrates it, and starts the
   thread. What was streamed in and never completed is removed. Damaged or newer files are refused untouched.
   is_read_back: the pragmas were read back and hold, else this fails. */
struct spool *spool_start(const char *state_directory, struct error *err);
/* After all other threads have stopped posting; does what is pending, checkpoints, closes. */
void spool_stop(struct spool *spool);
/* How long events and messages are kept after the last recipient became final; 30 days until this is called. */
void spool_history_set(struct spool *spool, int64_t history_s);

/* --- Intake. Message keys are numbers, never reused; only the main thread makes them. --- */
int64_t spool_message_key_new(struct spool *spool);

struct spool_new_recipient {
    char *address;
    char *smarthost;
    int64_t due_at_s;
    enum recipient_waiting waiting; /* WAITING_NOW, or WAITING_TIME for send later */
};

/* Completes a message: the one that makes it accepted. */
struct spool_submit {
    struct spool_request request;
    int64_t key;
    char id[QUEUE_ID_SIZE];
    char *sender;      /* "" is the null sender */
    char *header_from; /* address of the From field, "" when none could be read */
    char *user;        /* name or "#uid" */
    uid_t uid;
    char *tag; /* NULL: none */
    int64_t accepted_at_ms;
    int64_t size_bytes;   /* of the stored message, CRLF line ends */
    bool is_8bit;         /* a byte above 127 in the body */
    bool needs_smtputf8;  /* in envelope or header */
    uint32_t chunk_count; /* of the whole body */
    struct blob
        *last_chunk; /* number chunk_count - 1, the others came before; taken like the texts */
    size_t recipient_count; /* 1..SPOOL_RECIPIENTS_MAX; numbers are the positions here */
    struct spool_new_recipient *recipients;
};
struct spool_submit *spool_submit_new(size_t recipient_count);
void spool_submit_free(struct spool_submit *submit);
void spool_message_submit(struct spool *spool, struct spool_submit *submit);

/* A piece of a long body while the client still sends; index counts from 0. ok means stored, not accepted. */
struct spool_chunk {
    struct spool_request request;
    int64_t key;
    uint32_t index;
    struct blob *data; /* append: given. read: the answer, a reference for the caller */
};
/* Takes the reference to data; NULL to read. */
struct spool_chunk *spool_chunk_new(int64_t key, uint32_t index, struct blob *data);
void spool_chunk_free(struct spool_chunk *chunk); /* releases data */
void spool_chunk_append(struct spool *spool, struct spool_chunk *chunk);
void spool_chunk_read(struct spool *spool, struct spool_chunk *chunk);
/* The client went away: forget the chunks of a message that was not completed. No answer. */
void spool_message_abandon(struct spool *spool, int64_t key);

/* --- Delivery --- */
/* What an attempt (or its end by other means) changes for one recipient. A recipient that an administrator has held
   or cancelled meanwhile keeps that state, unless the news is delivered or in doubt. */
struct spool_outcome_recipient {
    uint16_t number;
    enum recipient_state state;
    enum recipient_waiting waiting; /* with RECIPIENT_QUEUED */
    int64_t due_at_s;               /* with RECIPIENT_QUEUED and RECIPIENT_IN_DOUBT */
    bool is_attempt;                /* count it */
    char *smarthost;                /* NULL: unchanged; else the recipient moves there */
    const char *class;              /* static; NULL: none */
    int code;                       /* 0: none */
    char enhanced[12];
    char *reply;       /* escaped text; NULL: none */
    const char *stage; /* static; NULL: none */
    const char *rule;  /* static; NULL: none */
};

struct spool_outcome {
    struct spool_request request;
    int64_t key;
    int64_t at_ms;
    int64_t duration_ms;
    char *smarthost; /* where it was tried; NULL: nowhere */
    char *host;      /* "mail.example.com [192.0.2.1]:587"; NULL: never connected */
    size_t recipient_count;
    struct spool_outcome_recipient *recipients;
};
struct spool_outcome *spool_outcome_new(size_t recipient_count);
void spool_outcome_free(struct spool_outcome *outcome);
void spool_outcome_record(struct spool *spool, struct spool_outcome *outcome);

struct spool_due_recipient {
    uint16_t number;
    unsigned attempts;
    enum recipient_state state; /* queued or in doubt */
    char *address;
};

struct spool_due_message {
    int64_t key;
    char id[QUEUE_ID_SIZE];
    char *sender;
    char *header_from;
    int64_t accepted_at_s;
    int64_t size_bytes;
    uint32_t chunk_count;
    bool is_8bit;
    bool needs_smtputf8;
    size_t recipient_count; /* those due, of this smarthost */
    struct spool_due_recipient *recipients;
};

/* Backlog of one smarthost in order of (due_at, key): what is due by now_s, at most `limit` recipients, from behind
   the cursor (0,0 at first; the answer moves it). */
struct spool_due {
    struct spool_request request;
    char *smarthost;
    int64_t now_s;
    unsigned limit;
    int64_t cursor_due_s;
    int64_t cursor_recipient;
    bool is_end;           /* answer: nothing further is due */
    int64_t next_due_at_s; /* answer, when is_end: the earliest later one; 0: none */
    size_t message_count;
    struct spool_due_message *messages;
};
struct spool_due *spool_due_new(const char *smarthost, int64_t now_s, unsigned limit);
void spool_due_free(struct spool_due *due);
void spool_due_read(struct spool *spool, struct spool_due *due);

/* --- People --- */
/* A recipient with its message, as list and show tell it. */
struct spool_row {
    int64_t key;
    char id[QUEUE_ID_SIZE];
    char *sender;
    char *user;
    uid_t uid;
    char *tag;
    int64_t accepted_at_ms;
    int64_t size_bytes;
    bool has_body;
    uint32_t chunk_count;
    uint16_t number;
    char *address;
    char *smarthost;
    enum recipient_state state;
    enum recipient_waiting waiting;
    unsigned attempts;
    int64_t due_at_s; /* 0: none */
    char *class;      /* of the last attempt; NULL: none */
    int code;         /* 0: none */
    char *enhanced;   /* NULL: none */
    char *reply;      /* escaped; NULL: none */
    char *stage;      /* NULL: none */
    int64_t changed_at_ms;
};

enum { SPOOL_ANYBODY = -1 };

/* One page of a listing, newest message last. All recipients of a matching message are rows (also those that the
   filter does not match), next to each other. Examines a bounded number of recipients, so that no page takes long; go
   on with the same request until is_end. filter and rows: see below. */
struct spool_list {
    struct spool_request request;
    struct filter *filter; /* borrowed until done; not changed by others meanwhile */
    int64_t uid;           /* only messages of this user; SPOOL_ANYBODY */
    int64_t now_s;
    unsigned message_limit; /* of this page */
    int64_t cursor_key;     /* 0 at first; the answer moves it */
    bool is_end;
    size_t row_count;
    struct spool_row *rows;
};
struct spool_list *spool_list_new(struct filter *filter, int64_t uid, int64_t now_s,
                                  unsigned message_limit);
void spool_list_clear(struct spool_list *list); /* drops the rows, keeps the cursor */
void spool_list_free(struct spool_list *list);
void spool_list_read(struct spool *spool, struct spool_list *list);

enum spool_change_kind {
    CHANGE_HOLD,
    CHANGE_RELEASE,
    CHANGE_RETRY,
    CHANGE_DELETE,
    CHANGE_KIND_COUNT
};

/* One bounded step of a bulk change of the recipients that match; each step is part of one commit.
   hold: queued or in doubt -> held. release: held -> queued now. retry: queued, in doubt, held, failed, expired ->
   queued now, as long as there is a body. delete: whatever is not final -> cancelled. Each is an event with uid. */
struct spool_change {
    struct spool_request request;
    struct filter *filter; /* borrowed until done */
    enum spool_change_kind kind;
    bool is_dry_run; /* count only */
    int64_t uid;     /* whose messages may be touched; SPOOL_ANYBODY */
    uid_t actor;
    int64_t now_ms;
    int64_t cursor_key;
    bool is_end;
    uint64_t message_count; /* messages matched in this step */
    uint64_t changed_count; /* of them, with at least one recipient changed */
    size_t key_count;       /* keys of the changed ones */
    int64_t *keys;
    int64_t next_cursor_key; /* the spool's */
};
struct spool_change *spool_change_new(struct filter *filter, enum spool_change_kind kind,
                                      int64_t uid, uid_t actor);
void spool_change_free(struct spool_change *change);
void spool_change_step(struct spool *spool, struct spool_change *change);

/* The history. kind: accepted attempt held released retried cancelled in-doubt expired crashed parked unparked. */
struct spool_event {
    int64_t number; /* ascending in time */
    int64_t at_ms;
    int64_t key; /* 0: concerns no message */
    char id[QUEUE_ID_SIZE];
    char *kind;
    char *recipient; /* address; NULL: all */
    char *state;     /* what the recipient became; NULL */
    char *smarthost;
    char *host;
    char *stage;
    char *class;
    char *rule;
    int code;
    char *enhanced;
    char *reply;
    int64_t duration_ms;
    int64_t uid; /* who did it; -1: the daemon */
};

/* A page of at most `limit` events behind `after`, of all or of one message. is_newest: of all, the last ones. */
struct spool_log {
    struct spool_request request;
    char id[QUEUE_ID_SIZE]; /* of one message; "" for all */
    int64_t uid;            /* only about messages of this user; SPOOL_ANYBODY */
    int64_t after;
    bool is_newest;
    unsigned limit;
    size_t event_count;
    struct spool_event *events; /* oldest first */
    int64_t cursor;             /* the spool's */
};
struct spool_log *spool_log_new(const char *id, int64_t uid, int64_t after, unsigned limit);
void spool_log_free(struct spool_log *log);
void spool_log_read(struct spool *spool, struct spool_log *log);

/* An event that is no message's outcome: a smarthost parked or unparked. Also keeps the parked state, so that it
   survives restarts. */
struct spool_parking {
    struct spool_request request;
    char *smarthost;
    bool is_parked;
    int64_t at_ms;
    int64_t retry_at_s; /* 0: only a human helps */
    const char *class;  /* static */
    const char *stage;  /* static; NULL */
    int code;
    char enhanced[12];
    char *reply; /* escaped; NULL */
    const char *rule;
    int64_t uid; /* -1: the daemon */
};
struct spool_parking *spool_parking_new(const char *smarthost, bool is_parked);
void spool_parking_free(struct spool_parking *parking);
void spool_parking_record(struct spool *spool, struct spool_parking *parking);

/* A time span in which a smarthost was parked: a message does not age then. */
struct spool_parked_span {
    int64_t from_s;
    int64_t until_s; /* 0: still is */
};

/* What is kept about a smarthost; asked at start. */
struct spool_smarthost {
    char *name;
    bool is_parked;
    int64_t parked_since_s;
    int64_t retry_at_s;
    char *class;
    char *stage;
    int code;
    char *enhanced;
    char *reply;
    char *rule;
    size_t span_count; /* of the last 60 days, oldest first */
    struct spool_parked_span *spans;
    uint64_t counts[RECIPIENT_STATE_COUNT]; /* recipients now assigned to it */
};

/* Counts kept up to date with every commit, so that asking costs nothing. */
struct spool_summary {
    struct spool_request request;
    size_t smarthost_count;
    struct spool_smarthost
        *smarthosts;            /* every one that a recipient names or that was ever parked */
    int64_t oldest_queued_at_s; /* accepted_at of the oldest message not final; 0: none */
    uint64_t accepted_total;    /* since the daemon started */
    uint64_t commits_total;
    int64_t wal_bytes;
    int64_t database_bytes;
    bool is_full; /* the ballast has been given up */
};
struct spool_summary *spool_summary_new(void);
void spool_summary_free(struct spool_summary *summary);
void spool_summary_read(struct spool *spool, struct spool_summary *summary);

/* After a crash (inflight marks, DESIGN 4): the recipients named become in doubt (was_at_dot) or count a crashed
   attempt; three of those, and they are held. Part of the start, before the first delivery. */
struct spool_crashed {
    struct spool_request request;
    int64_t key;
    bool was_at_dot;
    bool is_in_doubt_held;
    int64_t now_ms;
    int64_t due_at_s; /* in doubt: when it is tried again */
    size_t number_count;
    uint16_t *numbers;
    char *smarthost;
};
struct spool_crashed *spool_crashed_new(int64_t key, size_t number_count);
void spool_crashed_free(struct spool_crashed *crashed);
void spool_crashed_record(struct spool *spool, struct spool_crashed *crashed);
