/* A spool in a directory of its own, and its questions asked one at a time: each waits for the answer on a loop of the
   test's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "spool.h"

struct event_base;
struct mailbox;

struct fixture {
    char *directory;
    struct event_base *base;
    struct mailbox *mailbox;
    struct spool *spool;
    unsigned answers_awaited;
    struct error error; /* of the last request that failed */
};

/* Makes the directory; the spool is not started. */
void fixture_init(struct fixture *fixture);
/* Stops the spool, removes the directory. */
void fixture_done(struct fixture *fixture);
void fixture_start(struct fixture *fixture);
/* The text of the error; NULL when it started after all (then it is stopped again). */
const char *fixture_start_refused(struct fixture *fixture);
void fixture_stop(struct fixture *fixture);
char *fixture_path(const struct fixture *fixture, const char *name);

/* Addresses the answer to us; fixture_wait returns when all such answers are there. request->ctx is taken. */
void fixture_expect(struct fixture *fixture, struct spool_request *request);
void fixture_wait(struct fixture *fixture);

/* A message of body_len bytes 'x' with recipients rcpt0@example.com ... at one smarthost. */
struct spool_submit *message_new(struct fixture *fixture, size_t recipient_count,
                                 const char *smarthost, size_t body_len);
/* The id is made of the key. */
void message_id(char ret_id[QUEUE_ID_SIZE], int64_t key);

/* Posts it and waits; takes it. On success *ret_key (may be NULL) is its key. */
bool submit_one(struct fixture *fixture, struct spool_submit *submit, int64_t *ret_key);
/* All of it: 1 recipient at "relay", 10 bytes, must succeed. */
int64_t accept_one(struct fixture *fixture);
bool append_one(struct fixture *fixture, int64_t key, uint32_t index, size_t len);
struct spool_outcome *outcome_new(int64_t key, uint16_t number, enum recipient_state state);
bool record_one(struct fixture *fixture, struct spool_outcome *outcome);
/* These return the request itself, which must have succeeded. */
struct spool_due *due_of(struct fixture *fixture, const char *smarthost, int64_t now_s);
struct spool_list *list_of(struct fixture *fixture, struct filter *filter);
struct spool_summary *summary_of(struct fixture *fixture);
struct spool_log *log_of(struct fixture *fixture, const char *id);
/* Length of the piece; -1: there is none. */
int64_t chunk_len_of(struct fixture *fixture, int64_t key, uint32_t index);
/* filter_new from words separated by spaces; "" is the default filter. */
struct filter *filter_of(const char *terms);

enum { TEST_NOW_S = 1800000000 };
