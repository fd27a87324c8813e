/* How many message bytes are on their way from intake into the spool, in all and per user. Who finds a limit reached
   stops reading from its socket and is called again when bytes have arrived (back-pressure). Main thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct user;

enum { BUDGET_BYTES_MAX = 64 * 1024 * 1024, BUDGET_USER_BYTES_MAX = 8 * 1024 * 1024 };

struct budget_waiter {
    TAILQ_ENTRY(budget_waiter) link;
    bool is_waiting;
    void (*resume)(void *ctx); /* may wait again */
    void *ctx;
};

struct budget {
    size_t bytes;
    size_t waiting_count;
    TAILQ_HEAD(, budget_waiter) waiting;
};

void budget_init(struct budget *budget);
/* Nothing is on its way and nobody waits. */
bool budget_is_unused(const struct budget *budget);
/* A limit is reached: read no further for this user. */
bool budget_is_used_up(const struct budget *budget, const struct user *user);
void budget_take(struct budget *budget, struct user *user, size_t bytes);
/* Resumes those that wait, in the order they came. */
void budget_give_back(struct budget *budget, struct user *user, size_t bytes);
void budget_wait(struct budget *budget, struct budget_waiter *waiter);
void budget_cancel(struct budget *budget,
                   struct budget_waiter *waiter); /* also if it does not wait */
