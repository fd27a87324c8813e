/* The sending side of SMTP and LMTP for bench-load: sessions that hand over one prepared message again and again,
   as fast as the peer takes it, and note how long each took. One epoll loop. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "endpoint.h"

struct load_plan {
    struct endpoint endpoint;
    long message_count;
    long client_count;
    long messages_per_session; /* 0: as many as there are */
    long size_bytes;
    long time_limit_ms;
    long first_sequence; /* of the X-Bench-Seq field, which makes every message different */
    long pause_ms;       /* of a client between two messages of a session */
    bool is_lmtp;
    bool is_pipelining; /* MAIL, RCPT and DATA in one write */
    bool is_tls;        /* from the first byte */
    bool keeps_times;   /* fills in the result's times */
    const char *sender;
    const char *recipient;
};

struct load_times {
    uint64_t dot_ns;   /* CLOCK_MONOTONIC: the body with its dot is about to be written */
    uint64_t reply_ns; /* 0: none came, or it refused */
};

struct load_result {
    long started;
    long acknowledged;
    long failed;
    long sessions;
    long sessions_failed;     /* refused, or ended before the first MAIL */
    uint64_t begin_ns;        /* CLOCK_MONOTONIC */
    uint64_t end_ns;          /* the last acknowledgement */
    uint64_t *latency_ns;     /* acknowledged of them, from MAIL to the final reply; caller frees */
    struct load_times *times; /* by sequence; NULL unless the plan keeps them; caller frees */
    char first_problem[256];
};

/* Ends when every message was answered, the time is up, or too much failed. */
void load_run(const struct load_plan *plan, struct load_result *ret_result);
