/* Transactions over groups of requests. No savepoints: a group in which one member fails is rolled back and run again
   without it, which is rare, because requests look before they write.

        begin ─▶ each write ─▶ counts ─▶ commit ─▶ each read
                     │                      │
                     │ member's own fault   │ not for lack of space: unknown outcome, exit
                     └─▶ settle it, again   │
                     └──────────────────────┴─ no space: refuse intake, give up the ballast, again */
#include "group.h"

#include <stdio.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "query.h"

struct group {
    struct store *store;
    struct spool_request *const *members;
    size_t count;
};

enum result {
    GROUP_COMMITTED,
    GROUP_AGAIN,  /* a member was at fault and is settled */
    GROUP_FULL,   /* no space */
    GROUP_BROKEN, /* nobody can write */
};

static void settle(struct spool_request *request, const struct error *err)
{
    request->is_settled = true;
    request->is_ok = err == NULL;
    if (err != NULL)
        request->error = *err;
}

static bool is_pending(const struct spool_request *request, bool is_write)
{
    return !request->is_settled && request->operation->is_write == is_write;
}

static bool has_pending_write(const struct group *group)
{
    for (size_t i = 0; i < group->count; i++)
        if (is_pending(group->members[i], true))
            return true;
    return false;
}

static void settle_writes(const struct group *group, bool is_only_intake, const struct error *err)
{
    for (size_t i = 0; i < group->count; i++)
        if (is_pending(group->members[i], true) &&
            (group->members[i]->operation->is_intake || !is_only_intake))
            settle(group->members[i], err);
}

/* Straight to stderr: the thread that writes the log would not get to it. */
static _Noreturn void give_up(const char *what, const struct error *err)
{
    (void)dprintf(STDERR_FILENO, "spool: %s: %s; ending in order to recover\n", what, err->text);
    _exit(EXIT_UNKNOWN_COMMIT);
}

static void roll_back(struct store *store)
{
    struct database *database = &store->database;
    struct error err;

    tally_rollback(&store->tally);
    /* SQLite rolls back by itself when the disk is full. */
    if (sqlite3_get_autocommit(database->handle) != 0)
        return;
    AUTO_QUERY sqlite3_stmt *query = query_new(database, SQL_ROLLBACK);
    if (!query_run(database, query, &err) && sqlite3_get_autocommit(database->handle) == 0)
        give_up("roll back", &err);
}

static bool run_plain(struct store *store, enum sql_query which, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, which);

    return query_run(&store->database, query, err);
}

static enum result failed(struct store *store, const struct error *err)
{
    roll_back(store);
    return err->code == ERROR_FULL ? GROUP_FULL : GROUP_BROKEN;
}

/* The request did not fit what is stored: nothing is wrong with the file. */
static bool is_mistake(const struct error *err)
{
    return err->code == ERROR_MISSING || err->code == ERROR_USAGE;
}

/* Also a page that is damaged or cannot be read concerns only those who need it. */
static void settle_culprit(struct spool_request *request, const struct error *err)
{
    if (!is_mistake(err))
        log_line(LOG_LEVEL_ERROR, "spool-trouble", "%s: %s", request->operation->name, err->text);
    settle(request, err);
}

static enum result run_writes(const struct group *group, struct error *err)
{
    struct store *store = group->store;

    for (size_t i = 0; i < group->count; i++) {
        struct spool_request *request = group->members[i];
        if (!is_pending(request, true))
            continue;
        int64_t changes = sqlite3_total_changes64(store->database.handle);
        if (request->operation->run(store, request, err))
            continue;
        if (err->code == ERROR_FULL)
            return failed(store, err);
        settle_culprit(request, err);
        /* A statement that met damage may leave half of its work, which is not counted. */
        if (!is_mistake(err) || sqlite3_total_changes64(store->database.handle) != changes) {
            roll_back(store);
            return GROUP_AGAIN;
        }
    }
    return GROUP_COMMITTED;
}

static enum result transaction(const struct group *group, struct error *err)
{
    struct store *store = group->store;

    if (!run_plain(store, SQL_BEGIN, err))
        return failed(store, err);
    enum result result = run_writes(group, err);
    if (result != GROUP_COMMITTED)
        return result;
    if (!tally_write(&store->tally, &store->database, err))
        return failed(store, err);
    if (!run_plain(store, SQL_COMMIT, err)) {
        if (err->code != ERROR_FULL || sqlite3_get_autocommit(store->database.handle) == 0)
            give_up("commit", err);
        return failed(store, err);
    }
    tally_commit(&store->tally);
    store->commits_total++;
    return GROUP_COMMITTED;
}

static void commit_writes(const struct group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        struct spool_request *request = group->members[i];
        if (!is_pending(request, true))
            continue;
        settle(request, NULL);
        if (request->operation->committed != NULL)
            request->operation->committed(group->store, request);
    }
}

/* False: there was not enough space. A sync that failed must not be tried again, because the kernel may have forgotten
   what it did not write. */
static bool checkpoint(struct store *store, struct error *err)
{
    if (database_checkpoint(&store->database, false, err))
        return true;
    if (err->code != ERROR_FULL)
        give_up("checkpoint", err);
    return false;
}

/* Whether there was ballast to give up. */
static bool make_room(struct store *store, struct ballast *ballast, const struct error *err)
{
    struct error again;

    if (!store->is_full)
        log_line(LOG_LEVEL_ERROR, "disk-full", "%s; new mail is refused", err->text);
    store->is_full = true;
    if (!ballast_release(ballast))
        return false;
    /* Makes the log usable from its start, so that it need not grow. Without space it is tried again later. */
    (void)checkpoint(store, &again);
    return true;
}

static void run_group_writes(const struct group *group, struct ballast *ballast)
{
    struct error err = { 0 };

    if (group->store->is_full) {
        (void)fail(&err, ERROR_FULL, "no space left for new mail");
        settle_writes(group, true, &err);
    }
    while (has_pending_write(group)) {
        switch (transaction(group, &err)) {
        case GROUP_COMMITTED:
            commit_writes(group);
            break;
        case GROUP_AGAIN:
            break;
        case GROUP_FULL:
            settle_writes(group, true, &err);
            if (!make_room(group->store, ballast, &err))
                settle_writes(group, false, &err);
            break;
        case GROUP_BROKEN:
            log_line(LOG_LEVEL_ERROR, "spool-trouble", "%s", err.text);
            settle_writes(group, false, &err);
            break;
        }
    }
}

static void run_reads(const struct group *group)
{
    struct error err = { 0 };

    for (size_t i = 0; i < group->count; i++) {
        struct spool_request *request = group->members[i];
        if (!is_pending(request, false))
            continue;
        bool is_ok = request->operation->run(group->store, request, &err);
        if (is_ok && request->is_unfinished)
            continue;
        if (!is_ok && err.code != ERROR_MISSING)
            log_line(LOG_LEVEL_ERROR, "spool-trouble", "%s: %s", request->operation->name,
                     err.text);
        request->is_unfinished = false;
        settle(request, is_ok ? NULL : &err);
    }
}

void group_run(struct store *store, struct ballast *ballast, struct spool_request *const *members,
               size_t count)
{
    const struct group group = { store, members, count };

    run_group_writes(&group, ballast);
    run_reads(&group);
}

void group_checkpoint(struct store *store, struct ballast *ballast)
{
    struct error err = { 0 };

    if (!checkpoint(store, &err))
        (void)make_room(store, ballast, &err);
}
