/* Worker threads that block so that nobody else does: some for host names, one for the user database, because mail
   is accepted (which asks who the caller is) also while the name servers are away.
   How many questions wait is bounded by those who ask: one per connection, in either direction. */
#include "resolver.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"
#include "escape.h"
#include "invariant.h"
#include "thread.h"
#include "xalloc.h"

enum {
    DATABASE_BUFFER_MIN = 4096,
    DATABASE_BUFFER_MAX = 1 << 20, /* a group with very many members */
    MEMBERSHIPS_MAX = 1024,        /* looked through for outbox-admin */
};

/* What a worker does, decided by compare-and-swap, so that a worker that is left behind can never answer into a
   mailbox that is gone: it either announces the answer first, and is waited for, or finds itself abandoned. */
enum worker_phase { WORKER_FREE, WORKER_ANSWERING, WORKER_ABANDONED };

struct worker {
    struct loop_thread *thread;
    atomic_uint load; /* questions posted and not answered */
    _Atomic enum worker_phase phase;
    int farewell_fd; /* becomes readable when everything posted before the farewell is done */
};

struct resolver {
    unsigned host_workers;
    unsigned worker_count; /* the last one answers about users */
    struct worker workers[];
};

struct question {
    struct mail mail;
    struct worker *worker;
    struct mailbox *reply_to;
    void *ctx;
    resolver_hosts_fn *hosts_done;
    resolver_user_fn *user_done;
    uid_t uid;
    char port[12];
    char host[];
};

struct farewell {
    struct mail mail;
    int fd;
};

/* Takes the answer. */
static void answer(struct worker *worker, struct mailbox *reply_to, struct mail *mail)
{
    enum worker_phase expected = WORKER_FREE;

    (void)atomic_fetch_sub(&worker->load, 1);
    if (!atomic_compare_exchange_strong(&worker->phase, &expected, WORKER_ANSWERING)) {
        free(mail);
        return;
    }
    mailbox_post(reply_to, mail);
    atomic_store(&worker->phase, WORKER_FREE);
}

static void on_hosts_answer(struct mail *mail)
{
    struct resolver_hosts *hosts = (struct resolver_hosts *)mail;
    resolver_hosts_fn *done = hosts->done;

    done(hosts);
}

static void on_user_answer(struct mail *mail)
{
    struct resolver_user *user = (struct resolver_user *)mail;
    resolver_user_fn *done = user->done;

    done(user);
}

/* AI_ADDRCONFIG stays off: it makes "127.0.0.1" fail on a machine that has only loopback. */
static void look_up_host(const struct question *question, struct resolver_hosts *ret_answer)
{
    static const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_NUMERICSERV,
    };
    struct addrinfo *list = NULL;

    ret_answer->gai_error = getaddrinfo(question->host, question->port, &hints, &list);
    if (ret_answer->gai_error != 0)
        return;
    for (const struct addrinfo *entry = list;
         entry != NULL && ret_answer->count < RESOLVER_ADDRESSES_MAX; entry = entry->ai_next) {
        struct resolver_address *address = &ret_answer->addresses[ret_answer->count];
        if (entry->ai_addrlen > sizeof address->address)
            continue;
        memcpy(&address->address, entry->ai_addr, entry->ai_addrlen);
        address->len = entry->ai_addrlen;
        ret_answer->count++;
    }
    freeaddrinfo(list);
}

static void on_host_question(struct mail *mail)
{
    struct question *question = (struct question *)mail;
    struct resolver_hosts *hosts = NEW(struct resolver_hosts);

    hosts->mail.on_arrival = on_hosts_answer;
    hosts->done = question->hosts_done;
    hosts->ctx = question->ctx;
    look_up_host(question, hosts);
    answer(question->worker, question->reply_to, &hosts->mail);
    free(question);
}

static bool is_shown_in_name(unsigned char c)
{
    return c >= ' ' && c != 0x7F && c != '"' && c != '\\';
}

/* The part before the first comma; '&' stands for the capitalised login name. */
static void format_full_name(const struct passwd *entry, char *ret_name, size_t size)
{
    size_t len = 0;
    bool may_be_utf8 = utf8_is_valid(entry->pw_gecos, strlen(entry->pw_gecos));

    for (const char *p = entry->pw_gecos; *p != '\0' && *p != ',' && len + 1 < size; p++) {
        unsigned char c = (unsigned char)*p;
        if (!is_shown_in_name(c) || (c >= 0x80 && !may_be_utf8))
            continue;
        if (c == '&' && len + strlen(entry->pw_name) + 1 < size) {
            len += (size_t)snprintf(ret_name + len, size - len, "%s", entry->pw_name);
            char *first = ret_name + len - strlen(entry->pw_name);
            if (*first >= 'a' && *first <= 'z')
                *first = (char)(*first - 'a' + 'A');
            continue;
        }
        ret_name[len++] = *p;
    }
    ret_name[len] = '\0';
    while (len > 0 && !utf8_is_valid(ret_name, len))
        ret_name[--len] = '\0'; /* the limit cut a character in two */
    while (len > 0 && ret_name[len - 1] == ' ')
        ret_name[--len] = '\0';
}

/* False when there is none or it can't be asked for. */
static bool group_name(gid_t gid, char *ret_name, size_t size)
{
    struct group entry;
    struct group *found = NULL;
    bool is_usable = false;

    for (size_t room = DATABASE_BUFFER_MIN; room <= DATABASE_BUFFER_MAX; room *= 4) {
        char *buffer = xcalloc(1, room);
        int rc = getgrgid_r(gid, &entry, buffer, room, &found);
        is_usable = rc == 0 && found != NULL && strlen(found->gr_name) < size;
        if (is_usable)
            (void)snprintf(ret_name, size, "%s", found->gr_name);
        free(buffer);
        if (rc != ERANGE)
            break;
    }
    return is_usable;
}

static void look_up_groups(const struct passwd *entry, struct resolver_user *ret_answer)
{
    gid_t gids[MEMBERSHIPS_MAX];
    int count = MEMBERSHIPS_MAX;

    if (getgrouplist(entry->pw_name, entry->pw_gid, gids, &count) < 0)
        count = MEMBERSHIPS_MAX; /* there are more; the array is full */
    for (int i = 0; i < count; i++) {
        char name[sizeof ret_answer->groups[0]];
        if (!group_name(gids[i], name, sizeof name))
            continue;
        if (strcmp(name, "outbox-admin") == 0)
            ret_answer->is_admin = true;
        if (ret_answer->group_count < RESOLVER_GROUPS_MAX)
            (void)strcpy(ret_answer->groups[ret_answer->group_count++], name);
    }
}

static bool is_plain_name(const char *name, size_t size)
{
    if (*name == '\0' || *name == '#' || strlen(name) >= size)
        return false;
    for (const char *p = name; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7F)
            return false;
    return true;
}

static void look_up_user(uid_t uid, struct resolver_user *ret_answer)
{
    ret_answer->uid = uid;
    ret_answer->is_admin = uid == 0;
    (void)snprintf(ret_answer->name, sizeof ret_answer->name, "#%u", (unsigned)uid);
    for (size_t room = DATABASE_BUFFER_MIN; room <= DATABASE_BUFFER_MAX; room *= 4) {
        struct passwd entry;
        struct passwd *found = NULL;
        char *buffer = xcalloc(1, room);
        int rc = getpwuid_r(uid, &entry, buffer, room, &found);
        if (rc == 0 && found != NULL && is_plain_name(found->pw_name, sizeof ret_answer->name)) {
            (void)snprintf(ret_answer->name, sizeof ret_answer->name, "%s", found->pw_name);
            format_full_name(found, ret_answer->full_name, sizeof ret_answer->full_name);
            look_up_groups(found, ret_answer);
        }
        free(buffer);
        if (rc != ERANGE)
            return;
    }
}

static void on_user_question(struct mail *mail)
{
    struct question *question = (struct question *)mail;
    struct resolver_user *user = NEW(struct resolver_user);

    user->mail.on_arrival = on_user_answer;
    user->done = question->user_done;
    user->ctx = question->ctx;
    look_up_user(question->uid, user);
    answer(question->worker, question->reply_to, &user->mail);
    free(question);
}

static void on_farewell(struct mail *mail)
{
    struct farewell *farewell = (struct farewell *)mail;

    (void)eventfd_write(farewell->fd, 1);
    free(farewell);
}

static void worker_free(struct worker *worker)
{
    loop_thread_stop(worker->thread);
    loop_thread_free(worker->thread);
    if (worker->farewell_fd >= 0)
        (void)close(worker->farewell_fd);
}

static bool worker_start(struct worker *worker, const char *name, struct error *err)
{
    static const struct loop_thread_hooks no_hooks;

    worker->farewell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->farewell_fd < 0)
        return fail(err, ERROR_BUSY, "start resolver: %s", strerror(errno));
    worker->thread = loop_thread_new(name, &no_hooks, worker, err);
    return worker->thread != NULL && loop_thread_start(worker->thread, err);
}

struct resolver *resolver_start(unsigned threads, struct error *err)
{
    MUST(threads > 0);
    unsigned count = threads + 1;
    struct resolver *resolver = xcalloc(1, sizeof *resolver + count * sizeof resolver->workers[0]);

    resolver->host_workers = threads;
    for (; resolver->worker_count < count; resolver->worker_count++) {
        bool is_last = resolver->worker_count == threads;
        struct worker *worker = &resolver->workers[resolver->worker_count];
        if (!worker_start(worker, is_last ? "users" : "resolver", err)) {
            worker_free(worker);
            resolver_stop(resolver, 0);
            return NULL;
        }
    }
    return resolver;
}

/* Whether the worker has ended in time. If not, it and everything it may touch must stay. */
static bool worker_stop(struct worker *worker, int64_t deadline_ms)
{
    struct pollfd entry = { .fd = worker->farewell_fd, .events = POLLIN };
    enum worker_phase expected = WORKER_FREE;
    int64_t left_ms = deadline_ms - clock_monotonic_ms();

    while (poll(&entry, 1, left_ms > 0 ? (int)left_ms : 0) < 0 && errno == EINTR)
        left_ms = deadline_ms - clock_monotonic_ms();
    if (entry.revents != 0) {
        worker_free(worker);
        return true;
    }
    while (!atomic_compare_exchange_weak(&worker->phase, &expected, WORKER_ABANDONED))
        expected = WORKER_FREE; /* it is just posting an answer, which never blocks */
    return false;
}

void resolver_stop(struct resolver *resolver, unsigned grace_ms)
{
    bool has_left = true;

    if (resolver == NULL)
        return;
    int64_t deadline_ms = clock_monotonic_ms() + grace_ms;
    for (unsigned i = 0; i < resolver->worker_count; i++) {
        struct farewell *farewell = NEW(struct farewell);
        farewell->mail.on_arrival = on_farewell;
        farewell->fd = resolver->workers[i].farewell_fd;
        mailbox_post(loop_thread_mailbox(resolver->workers[i].thread), &farewell->mail);
    }
    for (unsigned i = 0; i < resolver->worker_count; i++)
        has_left = worker_stop(&resolver->workers[i], deadline_ms) && has_left;
    if (has_left)
        free(resolver); /* else it leaks on purpose: see the header */
}

static void ask(struct worker *worker, struct question *question, mail_fn *on_arrival)
{
    question->mail.on_arrival = on_arrival;
    question->worker = worker;
    (void)atomic_fetch_add(&worker->load, 1);
    mailbox_post(loop_thread_mailbox(worker->thread), &question->mail);
}

/* The one with the fewest questions, so that nobody queues behind a name that times out while another is free. */
static struct worker *choose_host_worker(struct resolver *resolver)
{
    struct worker *best = &resolver->workers[0];

    for (unsigned i = 1; i < resolver->host_workers; i++)
        if (atomic_load(&resolver->workers[i].load) < atomic_load(&best->load))
            best = &resolver->workers[i];
    return best;
}

void resolver_host(struct resolver *resolver, const char *host, unsigned port,
                   struct mailbox *reply_to, resolver_hosts_fn *done, void *ctx)
{
    size_t size = strlen(host) + 1;
    struct question *question = xcalloc(1, sizeof *question + size);

    question->reply_to = reply_to;
    question->hosts_done = done;
    question->ctx = ctx;
    (void)snprintf(question->port, sizeof question->port, "%u", port);
    memcpy(question->host, host, size);
    ask(choose_host_worker(resolver), question, on_host_question);
}

void resolver_user(struct resolver *resolver, uid_t uid, struct mailbox *reply_to,
                   resolver_user_fn *done, void *ctx)
{
    struct question *question = NEW(struct question);

    question->reply_to = reply_to;
    question->user_done = done;
    question->ctx = ctx;
    question->uid = uid;
    ask(&resolver->workers[resolver->host_workers], question, on_user_question);
}
