/* A non-blocking stream socket with what could not be used yet and what could not be written yet. Main thread.

   Input is offered once per read and kept as far as it was not used; beyond 64 KiB of it the socket is not read.
   Output is written once per batch of input. Descriptors that a peer passes (SCM_RIGHTS) are dropped by the kernel,
   because read() asks for none. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "strbuf.h"

struct event;
struct event_base;

enum { CONNECTION_KEPT_MAX = 64 * 1024, CONNECTION_IDLE_BYTES = 16 * 1024 };

/* Returns how many bytes were used. */
typedef size_t connection_input_fn(const char *bytes, size_t len, void *ctx);
typedef void connection_notice_fn(void *ctx);

struct connection {
    int fd; /* -1: closed */
    struct event *readable;
    struct event *writable;
    struct strbuf input;  /* offered, but not used yet */
    struct strbuf output; /* append, then connection_flush */
    char *read_buffer;    /* shared with other connections */
    size_t read_buffer_size;
    bool is_read_ended; /* the peer has shut down its side */
    bool is_closing;    /* nothing is read; over when the output is written */
    bool is_over;       /* no callback runs any more */
    connection_input_fn *input_arrived;
    connection_notice_fn *read_ended; /* the peer sends no more; after each offer from then on */
    connection_notice_fn *over;       /* broken, or ended: close it later, not in this callback */
    void *ctx;
};

/* The functions, read_buffer and ctx are set by the caller. Takes fd, even on failure. */
bool connection_open(struct connection *connection, struct event_base *base, int fd);
void connection_close(struct connection *connection);

/* Offers the kept input again, and writes. */
void connection_resume(struct connection *connection);
/* Writes what can be written now. After input this happens by itself. */
void connection_flush(struct connection *connection);
/* Reads no more; is over as soon as a flush has written everything. */
void connection_end(struct connection *connection);
/* Is over now, whatever is unwritten. */
void connection_break(struct connection *connection);
