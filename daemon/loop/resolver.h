/* Blocking questions to the system (getaddrinfo, the user database) on threads of their own, so that hosts files,
   nsswitch and a slow directory service count, and no loop waits for them. */
#pragma once
#include <netdb.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "mailbox.h"

struct error;
struct resolver;

enum { RESOLVER_ADDRESSES_MAX = 32, RESOLVER_GROUPS_MAX = 32 };

struct resolver_address {
    struct sockaddr_storage address;
    socklen_t len;
};

struct resolver_hosts;
struct resolver_user;
typedef void resolver_hosts_fn(struct resolver_hosts *answer);
typedef void resolver_user_fn(struct resolver_user *answer);

/* An answer belongs to the callback, which frees it with free(). */
struct resolver_hosts {
    struct mail mail;        /* private */
    resolver_hosts_fn *done; /* private */
    void *ctx;
    int gai_error; /* 0, or an EAI_ value for gai_strerror() */
    size_t count;  /* addresses beyond RESOLVER_ADDRESSES_MAX are left out */
    struct resolver_address addresses[RESOLVER_ADDRESSES_MAX];
};

struct resolver_user {
    struct mail mail;       /* private */
    resolver_user_fn *done; /* private */
    void *ctx;
    uid_t uid;
    char name[64];       /* "#uid" when the database has none */
    char full_name[128]; /* of the GECOS field, made safe for a header; "" when unknown */
    bool is_admin;       /* root, or member of the group outbox-admin */
    size_t group_count;  /* groups beyond RESOLVER_GROUPS_MAX are left out */
    char groups[RESOLVER_GROUPS_MAX][33];
};

/* threads for host names, and one more for the user database: slow name servers don't keep mail from being accepted. */
struct resolver *resolver_start(unsigned threads, struct error *err);
/* Waits for at most grace_ms until all questions are answered. A thread that then still blocks is left behind with its
   questions, whose callbacks will not run: getaddrinfo() can't be interrupted. Its memory leaks on purpose, for the
   process is about to end; it touches no mailbox any more, so these may be freed. Answers posted by then arrive. */
void resolver_stop(struct resolver *resolver, unsigned grace_ms);

/* From any thread. done runs on the thread of reply_to, exactly once (resolver_stop() is the exception); there is no
   way to cancel: ctx must live until then. */
void resolver_host(struct resolver *resolver, const char *host, unsigned port,
                   struct mailbox *reply_to, resolver_hosts_fn *done, void *ctx);
void resolver_user(struct resolver *resolver, uid_t uid, struct mailbox *reply_to,
                   resolver_user_fn *done, void *ctx);
