/* Outcome of an attempt -> next state of the recipient. Leaves recording and lanes to the dispatcher. */
#include "settle.h"

#include "invariant.h"

static struct settlement final(enum recipient_state state)
{
    return (struct settlement){ .state = state, .is_attempt = true };
}

/* Waits for due_at, unless the message has become too old. */
static struct settlement later(const struct settle_policy *policy,
                               const struct settle_question *question,
                               enum recipient_waiting waiting, int64_t delay_s)
{
    if (question->age_s >= policy->lifetime_s)
        return final(RECIPIENT_EXPIRED);
    return (struct settlement){ .state = RECIPIENT_QUEUED,
                                .waiting = waiting,
                                .due_at_s = question->now_s + delay_s,
                                .is_attempt = true };
}

static struct settlement in_doubt(const struct settle_policy *policy, int64_t now_s)
{
    struct settlement settlement = final(RECIPIENT_IN_DOUBT);

    if (!policy->is_in_doubt_held)
        settlement.due_at_s = now_s + policy->in_doubt_delay_s;
    return settlement;
}

static struct settlement refused(const struct settle_policy *policy,
                                 const struct settle_question *question)
{
    const struct verdict *verdict = &question->recipient->verdict;
    int64_t delay_s =
        backoff_delay_s(&policy->retry, question->recipient->attempts + 1, question->random);

    if (verdict->is_permanent)
        return final(RECIPIENT_FAILED);
    if (verdict->scope == SCOPE_SENDER)
        return later(policy, question, WAITING_SENDER,
                     verdict->wait_s > 0 ? verdict->wait_s : SETTLE_SENDER_PROBE_S);
    if (verdict->action == ACTION_SPLIT && !question->was_alone)
        return (struct settlement){ .state = RECIPIENT_QUEUED,
                                    .waiting = WAITING_NOW,
                                    .due_at_s = question->now_s };
    if (verdict->wait_s > delay_s)
        delay_s = verdict->wait_s;
    return later(policy, question, WAITING_RETRY, delay_s);
}

struct settlement settle(const struct settle_policy *policy, const struct settle_question *question)
{
    switch (question->recipient->result) {
    case DELIVERY_DONE:
        return final(RECIPIENT_DELIVERED);
    case DELIVERY_IN_DOUBT:
        return in_doubt(policy, question->now_s);
    case DELIVERY_REFUSED:
        return refused(policy, question);
    case DELIVERY_UNTRIED:
        break;
    }
    MUST(question->recipient->result != DELIVERY_UNTRIED);
    return final(RECIPIENT_QUEUED);
}
