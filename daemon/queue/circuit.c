/* The health of one smarthost. */
#include "circuit.h"

#include <limits.h>

#include "invariant.h"

enum {
    PROBE_S = 3600,         /* parked, and nobody said for how long */
    WAIT_MAX_S = 7 * 86400, /* a printed time beyond this is an error of theirs, or hostile */
};

static const struct verdict operator_verdict = {
    .class = CLASS_POLICY_REFUSED,
    .scope = SCOPE_SMARTHOST,
    .action = ACTION_PARK,
    .wait_s = WAIT_HUMAN,
    .rule = "operator",
};

static const char *const state_names[CIRCUIT_STATE_COUNT] = {
    [CIRCUIT_CLOSED] = "ok",
    [CIRCUIT_OPEN] = "backing-off",
    [CIRCUIT_PARKED] = "parked",
};

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static int64_t later(int64_t now_s, int64_t wait_s)
{
    return now_s > INT64_MAX - wait_s ? INT64_MAX : now_s + wait_s;
}

/* 0 when it must not be tried by itself. */
static int64_t probe_time(const struct verdict *verdict, int64_t now_s)
{
    if (verdict->wait_s == WAIT_HUMAN)
        return 0;
    if (verdict->wait_s > 0)
        return later(now_s, clamp(verdict->wait_s, 1, WAIT_MAX_S));
    return later(now_s, PROBE_S);
}

void circuit_init(struct circuit *circuit)
{
    *circuit = (struct circuit){ .state = CIRCUIT_CLOSED };
}

bool circuit_may_start(const struct circuit *circuit, int64_t now_s)
{
    switch (circuit->state) {
    case CIRCUIT_CLOSED:
        return true;
    case CIRCUIT_OPEN:
        return !circuit->is_probing && now_s >= circuit->retry_at_s;
    case CIRCUIT_PARKED:
        return !circuit->is_probing && circuit->retry_at_s != 0 && now_s >= circuit->retry_at_s;
    case CIRCUIT_STATE_COUNT:
        break;
    }
    return false;
}

void circuit_probe_started(struct circuit *circuit)
{
    if (circuit->state != CIRCUIT_CLOSED)
        circuit->is_probing = true;
}

void circuit_succeeded(struct circuit *circuit)
{
    bool was_asked_to_wait =
        circuit->state == CIRCUIT_PARKED ||
        (circuit->state == CIRCUIT_OPEN && circuit->reason.action == ACTION_SLOW);

    /* What was under way before the smarthost, or somebody here, said "stop" proves nothing against that. */
    if (was_asked_to_wait && !circuit->is_probing)
        return;
    circuit_init(circuit);
}

static int64_t open_wait_s(const struct circuit *circuit, const struct verdict *verdict,
                           const struct retry_policy *policy, uint32_t random)
{
    int64_t backoff_s = clamp(backoff_delay_s(policy, circuit->failures, random), 1, WAIT_MAX_S);

    if (verdict->wait_s <= 0)
        return backoff_s;
    /* The hint is believed once; when it proves too short, the backoff grows past it. */
    return clamp(verdict->wait_s, circuit->failures > 1 ? backoff_s : 1, WAIT_MAX_S);
}

bool circuit_failed(struct circuit *circuit, const struct verdict *verdict,
                    const struct retry_policy *policy, int64_t now_s, uint32_t random)
{
    bool was_parked = circuit->state == CIRCUIT_PARKED;
    bool was_probing = circuit->is_probing;

    /* Late failures of transactions that began before the circuit was parked neither lift nor renew the parking. */
    if (was_parked && !was_probing)
        return false;
    /* Of ten connections that break at once, one counts: the others were under way when the first failed. */
    bool is_straggler = circuit->state == CIRCUIT_OPEN && !was_probing;
    if (!is_straggler && circuit->failures < UINT_MAX)
        circuit->failures++;
    circuit->is_probing = false;
    /* The probe of a parked circuit may meet trouble of another kind, which says nothing about why it was parked. */
    if (!was_parked || verdict->action == ACTION_PARK)
        circuit->reason = *verdict;
    /* A connection that has served its time is replaced at once. Only a second one in a row is a sign of trouble. */
    if (verdict->action == ACTION_RECONNECT && circuit->failures == 1 &&
        circuit->state == CIRCUIT_CLOSED)
        return false;
    if (circuit->state == CIRCUIT_CLOSED)
        circuit->since_s = now_s;
    if (verdict->action == ACTION_PARK) {
        circuit->state = CIRCUIT_PARKED;
        circuit->retry_at_s = probe_time(verdict, now_s);
        return !was_parked;
    }
    circuit->state = was_parked ? CIRCUIT_PARKED : CIRCUIT_OPEN;
    circuit->retry_at_s = later(now_s, open_wait_s(circuit, verdict, policy, random));
    return false;
}

void circuit_park(struct circuit *circuit, int64_t now_s)
{
    if (circuit->state == CIRCUIT_CLOSED)
        circuit->since_s = now_s;
    circuit->state = CIRCUIT_PARKED;
    circuit->is_probing = false;
    circuit->retry_at_s = 0;
    circuit->reason = operator_verdict;
}

void circuit_unpark(struct circuit *circuit)
{
    circuit_init(circuit);
}

const char *circuit_state_name(enum circuit_state state)
{
    MUST(state < CIRCUIT_STATE_COUNT);
    return state_names[state];
}
