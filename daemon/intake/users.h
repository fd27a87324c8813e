/* The users of this machine who are talking to us: their names (asked of the resolver, believed for a minute) and what
   they occupy. Main thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "resolver.h"

struct mailbox;
struct user_lookup;
struct users;

struct user_waiter {
    TAILQ_ENTRY(user_waiter) link;
    void (*known)(void *ctx);
    void *ctx;
};

struct user {
    LIST_ENTRY(user) link;
    uid_t uid;
    unsigned references; /* of sessions and submissions */
    unsigned sessions;
    size_t spool_bytes;           /* on their way into the spool */
    struct resolver_user *answer; /* NULL until known the first time */
    const char *groups[RESOLVER_GROUPS_MAX + 1];
    int64_t fresh_until_ms;
    struct user_lookup *lookup; /* NULL: no question is open */
    TAILQ_HEAD(, user_waiter) waiting;
};

struct users *users_new(struct resolver *resolver, struct mailbox *reply_to);
/* No user is referenced any more. Questions may still be open: their answers find nobody. */
void users_free(struct users *users);

/* Finds or makes; the caller holds a reference. */
struct user *users_get(struct users *users, uid_t uid);
struct user *user_ref(struct user *user);
void user_unref(struct user *user); /* NULL is fine; the name stays known until users_sweep */

/* The name is known and fresh. */
bool user_is_known(const struct user *user, int64_t now_ms);
/* Asks for the name; waiter->known runs once, later, unless user_cancel came first. */
void users_ask(struct users *users, struct user *user, struct user_waiter *waiter);
void user_cancel(struct user *user, struct user_waiter *waiter);
/* Forgets users without sessions whose names are stale. */
void users_sweep(struct users *users, int64_t now_ms);
