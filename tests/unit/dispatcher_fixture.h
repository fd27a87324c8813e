/* The real dispatcher over the real spool, with the delivery of scripted_delivery.h. Time is the test's: it stands still
   until fixture_advance moves it from one timer of the dispatcher to the next. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dispatcher.h"
#include "scripted_delivery.h"
#include "spool.h"

struct config;
struct event;
struct event_base;
struct mailbox;

struct fixture {
    char directory[64];
    struct event_base *base;
    struct event *guard; /* makes the loop turn, so that deadlines are looked at */
    struct mailbox *mailbox;
    struct spool *spool;
    const struct config *config;
    struct dispatcher *dispatcher;
};

/* Smarthosts "one" and "two": 3 connections, 10 recipients a transaction; retry after 30 s, doubling, without jitter;
   message-lifetime 5 days. one: more settings of the first. */
void fixture_open(struct fixture *fixture, const char *one);
/* Stops, removes the directory. */
void fixture_close(struct fixture *fixture);
#define FIXTURE_SMARTHOST                                                                          \
    "host = \"127.0.0.1\"; tls = \"none\"; connections-max = 3; recipients-max = 10;"
/* With this instead of the two ("smarthosts = { ... }; routes = ( ... );"). */
void fixture_reload(struct fixture *fixture, const char *sections);

/* As SIGTERM does it: orders that are out come back untried, outcomes are recorded, everything is freed. */
void fixture_stop(struct fixture *fixture);
void fixture_start(struct fixture *fixture);
/* As kill -9 does it, and a start: orders that are out never come back, their marks stay. */
void fixture_crash(struct fixture *fixture);

/* Runs the loop until the spool has answered everything and nobody has anything to do before time passes. */
void fixture_settle(struct fixture *fixture);
/* Lets time pass, from timer to timer; a dispatcher that wakes up all the time fails the test. */
void fixture_advance(struct fixture *fixture, int64_t seconds);
int64_t fixture_now_s(void);

/* A message from sender with recipients r0-KEY@example.com ...; it is committed, and the dispatcher knows, when its key
   is returned. */
int64_t fixture_submit(struct fixture *fixture, const char *sender, const char *smarthost,
                       size_t recipient_count);
/* With a key of spool_message_key_new, and recipients that are due so much later. */
void fixture_submit_later(struct fixture *fixture, int64_t key, const char *smarthost,
                          const int64_t *delays_s, size_t recipient_count);
/* One recipient each, from one sender. Returns the key of the first; the others follow. */
int64_t fixture_submit_many(struct fixture *fixture, const char *smarthost, size_t message_count);

/* The only order that is out. */
struct delivery_order *fixture_order(struct fixture *fixture);
/* Delivers whatever comes until nothing does; returns how many orders that were. */
size_t fixture_deliver_all(struct fixture *fixture);

/* As control does it; terms as in `outbox hold TERMS`, several with spaces between them. */
void fixture_change(struct fixture *fixture, enum spool_change_kind kind, const char *terms);
/* "queued 1, delivered 3": the recipients that match, by state; "" when none does. */
const char *fixture_states(struct fixture *fixture, const char *terms);
/* Called for each recipient in the spool. */
typedef void fixture_row_fn(const struct spool_row *row, void *ctx);
void fixture_rows(struct fixture *fixture, const char *terms, fixture_row_fn *each, void *ctx);
struct lane_view fixture_lane(const struct fixture *fixture, const char *smarthost);
