/* The real intake on a socket in a temporary directory, with the real spool, resolver and configuration. Its
   clients (intake_client.h) share its event loop: what a test says is done in a fixed order, and nothing sleeps. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FIXTURE_PATIENCE_MS = 20000 };

struct event;
struct event_base;
struct intake;

struct accepted_message {
    char id[32];
    char *sender;
    char *header_from;
    char *tag;
    char **recipients;
    char **smarthosts;
    size_t recipient_count;
    char *body; /* the last chunk */
    size_t body_len;
    int64_t key;
    int64_t size_bytes;
    uint32_t chunk_count;
    bool is_8bit;
    bool needs_smtputf8;
};

struct fixture {
    char directory[64];
    struct event_base *base;
    struct event *guard; /* makes the loop turn, so that deadlines are looked at */
    struct mailbox *mailbox;
    struct event_base *aside_base; /* for fixture_await_spool() */
    struct mailbox *aside_mailbox;
    struct spool *spool;
    struct resolver *resolver;
    const struct config *config;
    struct intake *intake;
    unsigned warnings_before;
    unsigned warnings_expected; /* more of them in the log fail the test */
    size_t accepted_count;
    void (*accepted_hook)(void *ctx); /* runs before a message that was accepted is counted */
    void *accepted_ctx;
    struct accepted_message last;
};

/* config is appended to a minimal one (smarthosts "one" and "two"). idle_ms 0: the usual. */
void fixture_open(struct fixture *fixture, const char *config, int64_t idle_ms);
void fixture_reload(struct fixture *fixture, const char *config);
/* Waits until the sessions of closed clients are gone. */
void fixture_close(struct fixture *fixture);
/* One turn of the loop that may wait; fails the test behind the deadline. */
void fixture_step(struct fixture *fixture, int64_t deadline_ms);
/* Everybody acts on what is there now. */
void fixture_run(struct fixture *fixture);
/* Runs the loop until there is no session and nothing on its way into the spool. */
void fixture_settle(struct fixture *fixture);
/* What the spool says, not the callback. */
uint64_t fixture_stored_count(struct fixture *fixture);
/* Reads the whole body back out of the spool; the caller frees. */
char *fixture_read_body(struct fixture *fixture, const struct accepted_message *message,
                        size_t *ret_len);

/* The next count requests of this kind are answered with this failure instead of reaching the spool. */
enum fixture_fault { FAULT_SUBMIT, FAULT_CHUNK };
void fixture_fail_next(enum fixture_fault fault, unsigned count, int error_code);
/* From now on requests are kept back; how many are. Releasing lets them and all later ones go. */
void fixture_hold_spool(void);
size_t fixture_held_count(void);
void fixture_release_spool(void);
/* Waits, without a turn of the loop, until the spool has answered what has reached it so far. */
void fixture_await_spool(struct fixture *fixture);
/* Likewise for questions about users. */
void fixture_hold_resolver(void);
void fixture_release_resolver(void);
