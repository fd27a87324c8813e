/* The real intake on a socket in a temporary directory, with the real spool, resolver and configuration, and clients
   that share its event loop: what a test says is done in a fixed order, and nothing sleeps. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strbuf.h"

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
    struct spool *spool;
    struct resolver *resolver;
    const struct config *config;
    struct intake *intake;
    unsigned warnings_before;
    unsigned warnings_expected; /* more of them in the log fail the test */
    size_t accepted_count;
    struct accepted_message last;
};

/* config is appended to a minimal one (smarthosts "one" and "two"). idle_ms 0: the usual. */
void fixture_open(struct fixture *fixture, const char *config, int64_t idle_ms);
/* Waits until the sessions of closed clients are gone. */
void fixture_close(struct fixture *fixture);
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

struct client {
    struct fixture *fixture;
    int fd;
    bool is_closed; /* the server has closed, or broken */
    struct strbuf received;
    size_t line_count; /* in received */
};

void client_open(struct client *client, struct fixture *fixture);
/* Writes all of it, running the loop whenever the socket is full. */
void client_send(struct client *client, const char *bytes, size_t len);
void client_send_text(struct client *client, const char *text);
/* One write per byte, each of which the server has read before the next. */
void client_send_bytewise(struct client *client, const char *bytes, size_t len);
/* As much as the socket takes while the server reads; returns how much that was. */
size_t client_send_until_blocked(struct client *client, const char *bytes, size_t len);
/* Runs the loop until so many complete lines have come, or the server has closed. */
void client_await_lines(struct client *client, size_t count);
void client_await_close(struct client *client);
/* The lines received so far, each against its glob; patterns are separated by '\n'. Then forgets them. */
void client_expect(struct client *client, const char *patterns);
/* Awaits as many lines as there are patterns first. */
void client_await(struct client *client, const char *patterns);
void client_shutdown_write(struct client *client);
void client_close(struct client *client);
