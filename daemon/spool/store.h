/* What can be done with the stored mail: one function per question of spool.h. Runs on the spool thread, inside a
   transaction that group.c has opened where something is written. A function that fails blames its request;
   only ERROR_FULL concerns the whole group.
   Column order is known in the store_*.c files only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "database.h"
#include "spool.h"
#include "tally.h"

enum {
    ID_SHIFT = 16,        /* a recipient's or chunk's id is the message key << 16 | its number */
    CHUNKS_AT_ONCE = 32,  /* removed in one step: 8 MiB */
    ROWS_AT_ONCE = 500,   /* changed in one step */
    ROWS_EXAMINED = 2000, /* in one step of a listing: DESIGN 4 */
};

struct store {
    struct database database;
    struct tally tally;
    uint64_t accepted_total;
    uint64_t commits_total;
    int64_t history_s;
    int64_t first_key;    /* of this process; bodies that were arriving before are lost */
    int64_t trim_cursor;  /* key of the last message looked at */
    int64_t trim_after_s; /* next round through the messages */
    bool is_full;         /* the ballast is gone */
};

/* Writes nothing, unless the file has to be made or migrated: the disk may be full. */
bool store_open(struct store *store, const char *state_directory, struct error *err);
void store_close(struct store *store);
bool store_key_highest(struct store *store, int64_t *ret_key, struct error *err);

static inline int64_t row_id(int64_t key, unsigned number)
{
    return (int64_t)((uint64_t)key << ID_SHIFT | number);
}

/* request is the struct of spool.h that the name says. */
typedef bool store_fn(struct store *store, struct spool_request *request, struct error *err);
store_fn store_submit;
store_fn store_chunk_append;
store_fn store_chunk_read;
store_fn store_abandon;
store_fn store_outcome;
store_fn store_crashed;
store_fn store_due;
store_fn store_list;
store_fn store_change;
store_fn store_log;
store_fn store_parking;
store_fn store_summary;
store_fn store_upkeep;

/* Requests that never leave the spool. */
struct spool_abandon {
    struct spool_request request;
    int64_t key;
};

/* A small step of what has to be done now and then. */
struct spool_upkeep {
    struct spool_request request;
    int64_t now_s;
    bool is_idle;  /* there is time for what can wait */
    bool has_more; /* answer: come again */
};

/* --- Shared by the store_*.c files --- */

struct new_event {
    int64_t at_ms;
    int64_t key;          /* 0: concerns no message */
    int64_t recipient_id; /* -1: all, or none */
    const char *kind;
    const char *state;
    const char *smarthost;
    const char *host;
    const char *stage;
    const char *class;
    const char *rule;
    int code;
    const char *enhanced; /* NULL or "": none */
    const char *reply;
    int64_t duration_ms; /* 0: none */
    int64_t uid;         /* -1: the daemon */
};
bool event_record(struct store *store, const struct new_event *event, struct error *err);
/* The first event of a message: the message row remembers its number. */
bool event_record_accepted(struct store *store, const struct spool_submit *submit,
                           int64_t *ret_number, struct error *err);

/* What decides how a recipient may change, and what it may become. */
struct recipient {
    int64_t id;
    enum recipient_state state;
    enum recipient_waiting waiting; /* only written */
    int64_t due_at_s;               /* only written; 0: none */
    char *smarthost;
    int64_t attempts;
    int64_t crashes;
};
/* What changes of recipients mean for their message. */
struct message_delta {
    int open;
    int delivered;
    /* Of the message as it is stored, with each recipient that is read. */
    int64_t undelivered;
    int64_t chunk_count;
};
void recipient_done(struct recipient *recipient);
/* ERROR_MISSING when there is none. */
bool recipient_read(struct store *store, int64_t id, struct message_delta *delta,
                    struct recipient *ret_recipient, struct error *err);
/* result is what the last attempt brought; NULL: that stays. */
bool recipient_write(struct store *store, const struct recipient *before,
                     const struct recipient *after, const struct spool_outcome_recipient *result,
                     int64_t now_ms, struct message_delta *delta, struct error *err);
/* Ids and smarthosts of all recipients of a message; returns through pointers, caller frees with recipients_free. */
bool recipients_read(struct store *store, int64_t key, struct recipient **ret_recipients,
                     size_t *ret_count, struct error *err);
void recipients_free(struct recipient *recipients, size_t count);
/* Carries the delta into the message; a body that all have got is removed. */
bool message_settle(struct store *store, int64_t key, const struct message_delta *delta,
                    int64_t now_ms, struct error *err);

/* Finds the message of that id, if it is uid's (or uid is SPOOL_ANYBODY); *ret_key is 0 when there is none. */
bool message_find(struct store *store, const char *id, int64_t uid, int64_t *ret_key,
                  struct error *err);
/* Removes all chunks when they are few, else makes them a loose body. */
bool body_remove(struct store *store, int64_t key, int64_t chunk_count, struct error *err);
bool body_loosen(struct store *store, int64_t key, bool is_arriving, struct error *err);

/* Walks through the messages that a filter can match, in order of their keys. */
struct scan {
    const struct filter *filter;
    int64_t uid;
    int64_t now_s;
    int64_t cursor_key;
    unsigned message_limit; /* matching ones of this step */
    unsigned examined_max;  /* recipients */
    /* answer */
    bool is_end;
    size_t message_count; /* that matched */
    size_t row_count;
    struct spool_row *rows; /* of those messages, all recipients */
    bool *is_match;         /* for each row: it is the recipient that matches */
};
bool scan_step(struct store *store, struct scan *scan, struct error *err);
void spool_row_done(struct spool_row *row);
