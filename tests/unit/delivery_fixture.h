/* Trials of real deliveries: a scripted smarthost, a configuration for it, threads, orders, and what came of them
   in one line of text that a test can compare. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "delivery_private.h"
#include "fake_certificate.h"
#include "fake_smarthost.h"

struct blob;

/* What all trials of a program share: a directory with certificates, and an event loop. */
int delivery_fixture_set_up(void **state);
int delivery_fixture_tear_down(void **state);
const char *delivery_fixture_directory(void);

struct trial_options {
    struct fake_options fake;
    const char *host;     /* as configured; NULL: localhost */
    const char *settings; /* further keys of the smarthost, as in the file */
    /* Every limit in milliseconds; 0: long enough to never matter. */
    unsigned step_ms;
    unsigned deadline_ms;
    unsigned idle_ms;
    unsigned threads; /* 0: one */
};

struct trial;
struct trial *trial_new(const struct trial_options *options);
/* Stops everything in the order that the daemon has; gives QUIT a second. Fails the test when the smarthost was
   surprised. */
void trial_end(struct trial *trial);
/* The same, where the smarthost is supposed to be surprised. */
void trial_end_whatever(struct trial *trial);
struct fake_smarthost *trial_fake(struct trial *trial);
struct delivery *trial_delivery(struct trial *trial);
/* What orders get from now on: the same smarthost with these settings, as after SIGHUP. */
void trial_reload(struct trial *trial, const char *settings);
/* Stops deliveries only, with this grace; orders come back. */
void trial_stop(struct trial *trial, unsigned grace_ms);

struct trial_message {
    const char *sender;
    const char *recipients; /* "a@x b@x" */
    const char *body;       /* NULL: a short one */
    size_t chunk_size;      /* 0: the body is at hand */
    int64_t size_bytes;     /* 0: the body's */
    bool is_8bit;
    bool needs_smtputf8;
    unsigned slot;
    uint32_t missing_chunk; /* the spool can't give this one (from 1); 0: all are there */
    bool is_spool_dead;     /* chunks are never answered */
};

/* Gives the order away, and does not wait. */
void trial_start(struct trial *trial, const struct trial_message *message);
/* Waits until one more order is back; freed with the trial. */
struct delivery_order *trial_wait(struct trial *trial);
/* Both. */
struct delivery_order *trial_run(struct trial *trial, const struct trial_message *message);

/* "a@x done 250, b@x refused 550 recipients-refused; trouble connect-failed at connect":
   caller frees. */
char *outcome_text(const struct delivery_order *order);
/* Compares, and frees nothing. */
void check_outcome(const struct delivery_order *order, const char *expected);
/* The phase of the mark that slot 0 has now. */
int trial_mark_phase(struct trial *trial);
