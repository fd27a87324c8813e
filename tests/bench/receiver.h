/* The receiving side of SMTP and LMTP, as little of it as a bench needs: one epoll loop, every command is
   believed, nothing is checked. What happens to a message is the handler's business (sink.c, bound.c). */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct endpoint;
struct error;
struct receiver_session;

struct receiver_handler {
    /* Bytes of a message as they travelled: dots doubled, the final dot included. */
    void (*on_body)(struct receiver_session *session, const char *bytes, size_t len);
    /* The final dot was read. receiver_answer() must follow, here or later; until then the session waits. */
    void (*on_end)(struct receiver_session *session);
    /* The session goes away (also one that waits for its answer). */
    void (*on_close)(struct receiver_session *session);
    /* After every turn of the loop. Returns the milliseconds after which it wants to be called again, or -1. */
    int (*on_turn)(void);
};

struct receiver_options {
    bool is_lmtp;      /* one final reply per recipient */
    bool is_quick_ack; /* acknowledge TCP segments at once */
    bool is_refusing;  /* 451 to MAIL and RCPT */
    const char *
        tls_identity; /* PEM file with certificate and key: TLS from the first byte; NULL: in clear */
};

struct receiver_counts {
    unsigned long sessions; /* accepted so far */
    unsigned long live;
};

/* Serves until SIGTERM or SIGINT; false only when it could not start. */
bool receiver_run(const struct endpoint *endpoint, const struct receiver_options *options,
                  const struct receiver_handler *handler, struct error *err);
/* The final reply (a full line), then the commands that piled up behind it. */
void receiver_answer(struct receiver_session *session, const char *reply);
const struct receiver_counts *receiver_counts(void);

/* A pointer for the handler; NULL at first. */
void *receiver_session_data(const struct receiver_session *session);
void receiver_session_set_data(struct receiver_session *session, void *data);
