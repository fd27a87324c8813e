/* What all sessions and submissions of one intake have in common. Main thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "intake.h"

#include "mailbox.h"

#include "budget.h"

struct dialogue;
struct submission;
struct users;

enum { SHARED_READ_BYTES = 64 * 1024 };

struct intake_shared {
    struct intake_options options; /* config: only of the start; each session has its own */
    struct users *users;
    struct budget budget;
    struct intake_counts counts;
    size_t submission_count;
    TAILQ_HEAD(, dialogue) sessions;
    TAILQ_HEAD(, dialogue) finished; /* freed by the reaper, outside of their own callbacks */
    struct event *reaper;
    STAILQ_HEAD(, mail) accepted; /* spool_submit: answered, not announced yet */
    struct event *announcer;
    char read_buffer[SHARED_READ_BYTES]; /* filled and used within one callback */
};
