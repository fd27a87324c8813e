/* Two counters and a queue of those who wait for them to fall. */
#include "budget.h"

#include "invariant.h"

#include "users.h"

void budget_init(struct budget *budget)
{
    *budget = (struct budget){ 0 };
    TAILQ_INIT(&budget->waiting);
}

bool budget_is_unused(const struct budget *budget)
{
    return budget->bytes == 0 && budget->waiting_count == 0;
}

bool budget_is_used_up(const struct budget *budget, const struct user *user)
{
    return budget->bytes >= BUDGET_BYTES_MAX || user->spool_bytes >= BUDGET_USER_BYTES_MAX;
}

void budget_take(struct budget *budget, struct user *user, size_t bytes)
{
    budget->bytes += bytes;
    user->spool_bytes += bytes;
}

void budget_give_back(struct budget *budget, struct user *user, size_t bytes)
{
    MUST(bytes <= budget->bytes && bytes <= user->spool_bytes);
    budget->bytes -= bytes;
    user->spool_bytes -= bytes;
    /* Each at most once: those whose own user is still over the limit queue up again behind. */
    for (size_t n = budget->waiting_count; n > 0 && budget->bytes < BUDGET_BYTES_MAX; n--) {
        struct budget_waiter *waiter = TAILQ_FIRST(&budget->waiting);
        if (waiter == NULL)
            break;
        budget_cancel(budget, waiter);
        waiter->resume(waiter->ctx);
    }
}

void budget_wait(struct budget *budget, struct budget_waiter *waiter)
{
    if (waiter->is_waiting)
        return;
    waiter->is_waiting = true;
    budget->waiting_count++;
    TAILQ_INSERT_TAIL(&budget->waiting, waiter, link);
}

void budget_cancel(struct budget *budget, struct budget_waiter *waiter)
{
    if (!waiter->is_waiting)
        return;
    waiter->is_waiting = false;
    budget->waiting_count--;
    TAILQ_REMOVE(&budget->waiting, waiter, link);
}
