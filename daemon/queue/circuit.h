/* The health of one smarthost (its lane): closed, open with one probe, parked. Pure: time is an argument.

       closed ──trouble──▶ open ──retry_at──▶ one probe ──success──▶ closed
         │                  ▲                    │
         │                  └──────trouble───────┘
         └──────── permanent refusal of account or smarthost ───────▶ parked ──unpark──▶ closed

   Trouble here is the smarthost's, never an attempt of a message. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "backoff.h"
#include "verdict.h"

enum circuit_state { CIRCUIT_CLOSED, CIRCUIT_OPEN, CIRCUIT_PARKED, CIRCUIT_STATE_COUNT };

struct circuit {
    enum circuit_state state;
    bool is_probing;   /* open, and the one probe is under way */
    unsigned failures; /* in a row */
    int64_t
        retry_at_s; /* wall clock; open: not before. Parked: the next probe, 0 when only a human helps */
    int64_t since_s;       /* when it left closed */
    struct verdict reason; /* of the last trouble */
};

void circuit_init(struct circuit *circuit);
/* Whether another transaction may start now. The caller that acts on true while open calls circuit_probe_started. */
bool circuit_may_start(const struct circuit *circuit, int64_t now_s);
void circuit_probe_started(struct circuit *circuit);
/* A transaction got as far as a reply to MAIL or beyond that was not trouble of the smarthost. */
void circuit_succeeded(struct circuit *circuit);
/* verdict->scope is account, smarthost or connection. Parks on ACTION_PARK, until verdict->wait_s (at most 7 days), for
   an hour when the wait is unknown, for good when only a human helps; else opens and backs off. The first
   ACTION_RECONNECT in a row leaves it closed. Returns true when the circuit has newly become parked. */
bool circuit_failed(struct circuit *circuit, const struct verdict *verdict,
                    const struct retry_policy *policy, int64_t now_s, uint32_t random);
/* By a human: also with CIRCUIT_PARKED set by hand (reason.rule = "operator"). */
void circuit_park(struct circuit *circuit, int64_t now_s);
void circuit_unpark(struct circuit *circuit);
const char *circuit_state_name(enum circuit_state state); /* "ok" "backing-off" "parked" */
