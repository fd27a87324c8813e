/* The states of a recipient and the words for them (DESIGN 2.5), and how a message's state follows from them. */
#pragma once
#include <stdbool.h>

enum recipient_state {
    RECIPIENT_QUEUED, /* waits for an attempt; `waiting` says for what */
    RECIPIENT_HELD,   /* an administrator, or three crashes, stopped it */
    RECIPIENT_IN_DOUBT, /* the smarthost may have taken it: the connection or we died at the final dot */
    RECIPIENT_DELIVERED, /* the smarthost said 2xx */
    RECIPIENT_FAILED,    /* refused for good */
    RECIPIENT_EXPIRED,   /* waited longer than message-lifetime */
    RECIPIENT_CANCELLED, /* deleted by somebody who may */
    RECIPIENT_STATE_COUNT
};

enum recipient_waiting {
    WAITING_NONE, /* not queued: shown as null */
    WAITING_NOW,
    WAITING_RETRY,     /* next_attempt_at */
    WAITING_RATE,      /* a limit of ours */
    WAITING_TIME,      /* send later */
    WAITING_SMARTHOST, /* its connection is in trouble, or it is parked */
    WAITING_ACCOUNT,   /* the account is parked */
    WAITING_SENDER,    /* the sender is parked */
    WAITING_COUNT
};

const char *recipient_state_name(enum recipient_state state);
bool recipient_state_parse(const char *name, enum recipient_state *ret_state);
const char *recipient_waiting_name(enum recipient_waiting waiting); /* NULL for WAITING_NONE */
/* Nothing more will happen by itself. */
bool recipient_state_is_final(enum recipient_state state);
/* The first of in-doubt, held, queued, failed, expired, cancelled, delivered that one of the recipients has.
   counts[state] is the number of recipients in that state, at least one is above 0. */
enum recipient_state message_state(const unsigned counts[RECIPIENT_STATE_COUNT]);
