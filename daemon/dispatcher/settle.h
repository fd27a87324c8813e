/* What the end of an attempt means for one recipient: its next state, and when. Pure: time and chance are arguments. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "backoff.h"
#include "delivery.h"
#include "recipient_state.h"

struct settle_policy {
    struct retry_policy retry;
    int64_t lifetime_s;
    int64_t in_doubt_delay_s;
    bool is_in_doubt_held;
};

struct settle_question {
    const struct delivery_recipient *recipient;
    int64_t age_s; /* time in the queue without the time its smarthost was parked */
    int64_t now_s;
    uint32_t random;
    bool was_alone; /* the only recipient of its transaction: splitting further cannot help */
};

struct settlement {
    enum recipient_state state;
    enum recipient_waiting waiting;
    int64_t due_at_s; /* with queued and in doubt */
    bool is_attempt;
};

enum { SETTLE_SENDER_PROBE_S = 3600 }; /* how often a parked sender is tried */

/* For results other than DELIVERY_UNTRIED, which change nothing. */
struct settlement settle(const struct settle_policy *policy,
                         const struct settle_question *question);
