/* A hash table of users by uid. Answers are replaced as a whole, so that a name and its groups belong together. */
#include "users.h"

#include <stdlib.h>

#include "cleanup.h"
#include "invariant.h"
#include "xalloc.h"

#include "clock.h"

enum { USER_BUCKETS = 256, USER_FRESH_MS = 60 * 1000 };

LIST_HEAD(user_list, user);

struct users {
    struct resolver *resolver;
    struct mailbox *reply_to;
    struct user_list buckets[USER_BUCKETS];
};

/* An open question. It outlives the user table when the program ends before the answer comes. */
struct user_lookup {
    struct user *user; /* NULL: nobody waits any more */
};

struct users *users_new(struct resolver *resolver, struct mailbox *reply_to)
{
    struct users *users = NEW(struct users);

    users->resolver = resolver;
    users->reply_to = reply_to;
    for (size_t i = 0; i < USER_BUCKETS; i++)
        LIST_INIT(&users->buckets[i]);
    return users;
}

static void user_free(struct user *user)
{
    LIST_REMOVE(user, link);
    if (user->lookup != NULL)
        user->lookup->user = NULL;
    free(user->answer);
    free(user);
}

void users_free(struct users *users)
{
    if (users == NULL)
        return;
    for (size_t i = 0; i < USER_BUCKETS; i++)
        while (!LIST_EMPTY(&users->buckets[i])) {
            struct user *user = LIST_FIRST(&users->buckets[i]);
            MUST(user->references == 0 && user->sessions == 0 && user->spool_bytes == 0);
            user_free(user);
        }
    free(users);
}

struct user *users_get(struct users *users, uid_t uid)
{
    struct user_list *bucket = &users->buckets[uid % USER_BUCKETS];
    struct user *user = NULL;

    LIST_FOREACH(user, bucket, link)
    if (user->uid == uid)
        return user_ref(user);
    user = NEW(struct user);
    user->uid = uid;
    TAILQ_INIT(&user->waiting);
    LIST_INSERT_HEAD(bucket, user, link);
    return user_ref(user);
}

struct user *user_ref(struct user *user)
{
    user->references++;
    return user;
}

void user_unref(struct user *user)
{
    if (user == NULL)
        return;
    MUST(user->references > 0);
    user->references--;
}

bool user_is_known(const struct user *user, int64_t now_ms)
{
    return user->answer != NULL && now_ms < user->fresh_until_ms;
}

static void set_answer(struct user *user, struct resolver_user *answer)
{
    free(user->answer);
    user->answer = answer;
    user->fresh_until_ms = clock_monotonic_ms() + USER_FRESH_MS;
    size_t count = 0;
    for (; count < answer->group_count && count < RESOLVER_GROUPS_MAX; count++)
        user->groups[count] = answer->groups[count];
    user->groups[count] = NULL;
}

static void on_answer(struct resolver_user *answer)
{
    AUTO_FREE struct user_lookup *lookup = answer->ctx;
    struct user *user = lookup->user;

    if (user == NULL) {
        free(answer);
        return;
    }
    user->lookup = NULL;
    set_answer(user, answer);
    while (!TAILQ_EMPTY(&user->waiting)) {
        struct user_waiter *waiter = TAILQ_FIRST(&user->waiting);
        TAILQ_REMOVE(&user->waiting, waiter, link);
        waiter->known(waiter->ctx);
    }
}

void users_ask(struct users *users, struct user *user, struct user_waiter *waiter)
{
    TAILQ_INSERT_TAIL(&user->waiting, waiter, link);
    if (user->lookup != NULL)
        return;
    user->lookup = NEW(struct user_lookup);
    user->lookup->user = user;
    resolver_user(users->resolver, user->uid, users->reply_to, on_answer, user->lookup);
}

void user_cancel(struct user *user, struct user_waiter *waiter)
{
    TAILQ_REMOVE(&user->waiting, waiter, link);
}

void users_sweep(struct users *users, int64_t now_ms)
{
    for (size_t i = 0; i < USER_BUCKETS; i++) {
        struct user *next = NULL;
        for (struct user *user = LIST_FIRST(&users->buckets[i]); user != NULL; user = next) {
            next = LIST_NEXT(user, link);
            bool is_stale = user->references == 0 && !user_is_known(user, now_ms);
            if (is_stale && user->lookup == NULL)
                user_free(user);
        }
    }
}
