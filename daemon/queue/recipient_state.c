/* Recipient states and their words. */
#include "recipient_state.h"

#include <string.h>

#include "cleanup.h"
#include "invariant.h"

static const struct {
    const char *name;
    bool is_final;
} states[RECIPIENT_STATE_COUNT] = {
    [RECIPIENT_QUEUED] = {"queued",     false},
      [RECIPIENT_HELD] = { "held",      false},
    [RECIPIENT_IN_DOUBT] = { "in-doubt",  false},
      [RECIPIENT_DELIVERED] = { "delivered", true },
    [RECIPIENT_FAILED] = { "failed",    true },
      [RECIPIENT_EXPIRED] = { "expired",   true },
    [RECIPIENT_CANCELLED] = { "cancelled", true },
};

static const char *const waiting_names[WAITING_COUNT] = {
    [WAITING_NONE] = NULL,         [WAITING_NOW] = "now",       [WAITING_RETRY] = "retry",
    [WAITING_RATE] = "rate",       [WAITING_TIME] = "time",     [WAITING_SMARTHOST] = "smarthost",
    [WAITING_ACCOUNT] = "account", [WAITING_SENDER] = "sender",
};

/* What most needs attention comes first. */
static const enum recipient_state precedence[] = {
    RECIPIENT_IN_DOUBT, RECIPIENT_HELD,      RECIPIENT_QUEUED,    RECIPIENT_FAILED,
    RECIPIENT_EXPIRED,  RECIPIENT_CANCELLED, RECIPIENT_DELIVERED,
};

const char *recipient_state_name(enum recipient_state state)
{
    MUST(state < RECIPIENT_STATE_COUNT);
    return states[state].name;
}

bool recipient_state_parse(const char *name, enum recipient_state *ret_state)
{
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        if (strcmp(states[i].name, name) == 0) {
            *ret_state = (enum recipient_state)i;
            return true;
        }
    }
    return false;
}

const char *recipient_waiting_name(enum recipient_waiting waiting)
{
    MUST(waiting < WAITING_COUNT);
    return waiting_names[waiting];
}

bool recipient_state_is_final(enum recipient_state state)
{
    MUST(state < RECIPIENT_STATE_COUNT);
    return states[state].is_final;
}

enum recipient_state message_state(const unsigned counts[RECIPIENT_STATE_COUNT])
{
    size_t i = 0;

    while (i + 1 < COUNT_OF(precedence) && counts[precedence[i]] == 0)
        i++;
    MUST(counts[precedence[i]] > 0);
    return precedence[i];
}
