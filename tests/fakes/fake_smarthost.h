/* A scripted SMTP server for tests, on a loopback port that the kernel chooses, with a thread of its own. One
   connection after the other, a script for each. What the client says is compared with the script and recorded. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct fake_smarthost;

/* What happens after a row's reply. */
enum fake_then {
    FAKE_GO_ON,
    FAKE_TLS,          /* a handshake as server */
    FAKE_CLOSE,        /* FIN, and with TLS no close_notify */
    FAKE_RESET,        /* RST */
    FAKE_STALL,        /* says nothing more, reads nothing more, until the client closes */
    FAKE_REPEAT,       /* says the reply again and again until the client closes */
    FAKE_HEAR_GOODBYE, /* the client is to say nothing but its close_notify; counts as a row played */
};

struct fake_row {
    /* How the client's line begins; "." stands for a whole message up to its dot; NULL: nothing is waited for;
       "*": any line. */
    const char *expect;
    const char *reply; /* sent as it is; NULL: nothing */
    enum fake_then then;
};
#define FAKE_END                                                                                   \
    {                                                                                              \
        NULL, NULL, FAKE_CLOSE                                                                     \
    }

struct fake_options {
    const struct fake_row *const
        *scripts;            /* one per connection, ended by NULL; each ends with FAKE_END */
    const char *certificate; /* PEM files; NULL: no TLS */
    const char *key;
    bool is_implicit_tls;
    const char *max_protocol; /* "TLSv1.1", "TLSv1.2"; NULL: any */
    bool is_corked;   /* what ends a handshake comes in one segment with the next row's reply */
    size_t write_max; /* bytes per write; 0: all at once */
    /* The first connection ends before the server's byte of this number (from 0) is sent; a negative number: never.
       is_cut_eager: right after the byte before it. */
    long cut_at;
    bool is_cut_eager;
    bool is_updating_keys; /* TLS 1.3: of both directions, before each reply */
    size_t read_max;       /* bytes per read; 0: plenty */
    bool is_port_closed;   /* nobody listens there */
};

struct fake_smarthost *fake_smarthost_start(const struct fake_options *options);
unsigned fake_smarthost_port(const struct fake_smarthost *fake);
/* Waits until so many rows more have been played (their reply sent, if any). */
void fake_smarthost_wait(struct fake_smarthost *fake, unsigned rows);
/* Ends the thread, whatever it waits for. What is recorded can be read from then on, until free. */
void fake_smarthost_stop(struct fake_smarthost *fake);
void fake_smarthost_free(struct fake_smarthost *fake);

/* The first thing that went differently from the script; NULL: nothing. */
const char *fake_smarthost_problem(const struct fake_smarthost *fake);
/* Everything that clients said, decrypted. */
const char *fake_smarthost_heard(const struct fake_smarthost *fake);
/* Everything that came before TLS. */
const char *fake_smarthost_heard_in_clear(const struct fake_smarthost *fake);
/* The name that the last client with TLS asked for (SNI); "" when it named none. */
const char *fake_smarthost_server_name(const struct fake_smarthost *fake);
/* The last message, with its dots unstuffed. */
const char *fake_smarthost_message(const struct fake_smarthost *fake, size_t *ret_len);
unsigned fake_smarthost_messages(const struct fake_smarthost *fake); /* complete ones */
unsigned fake_smarthost_connections(const struct fake_smarthost *fake);
size_t fake_smarthost_bytes_sent(const struct fake_smarthost *fake); /* on the first connection */
