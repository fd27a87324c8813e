/* bench-chunks: bare SQLite writing the bodies of large messages: the reference for outboxd's acceptance of them. The
   file is opened by the spool's own code and the row is inserted by its own statement, so that settings and layout are
   the same; there is no socket, no message, and nothing to wait for. Prints one JSON object. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "log.h"
#include "query.h"
#include "spool.h"
#include "store.h"
#include "units.h"
#include "xalloc.h"

enum {
    EXIT_USAGE = 2,
    WAL_BYTES_MAX = 16 * 1024 * 1024, /* as in spool.c: then a checkpoint */
};

static const char usage[] = "usage: bench-chunks [-n COUNT] [-s BYTES] [-g COUNT] DIRECTORY\n"
                            "  -n  messages (16)\n"
                            "  -s  bytes of each (20M)\n"
                            "  -g  chunks in a commit (4)\n";

struct plan {
    const char *directory;
    int64_t message_count;
    int64_t size_bytes;
    int64_t chunks_per_commit;
};

struct outcome {
    int64_t bytes;
    int64_t commits;
    double seconds;
};

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool run_plain(struct database *database, enum sql_query which, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(database, which);

    return query_run(database, query, err);
}

static bool commit(struct database *database, struct outcome *outcome, struct error *err)
{
    outcome->commits++;
    if (!run_plain(database, SQL_COMMIT, err))
        return false;
    return database_wal_bytes(database) <= WAL_BYTES_MAX ||
           database_checkpoint(database, false, err);
}

static bool insert(struct database *database, int64_t id, const char *bytes, int64_t len,
                   struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(database, SQL_CHUNK_INSERT);

    bind_int(query, 1, id);
    bind_bytes(query, 2, bytes, (size_t)len);
    return query_run(database, query, err);
}

static bool write_all(struct database *database, const struct plan *plan, struct outcome *outcome,
                      struct error *err)
{
    static char chunk[SPOOL_CHUNK_BYTES];
    int64_t in_group = 0;

    (void)memset(chunk, 'x', sizeof chunk);
    for (int64_t key = 1; key <= plan->message_count; key++) {
        int64_t len = 0;
        for (int64_t at = 0; at < plan->size_bytes; at += len) {
            len = plan->size_bytes - at;
            len = len < SPOOL_CHUNK_BYTES ? len : SPOOL_CHUNK_BYTES;
            if ((in_group == 0 && !run_plain(database, SQL_BEGIN, err)) ||
                !insert(database, row_id(key, (unsigned)(at / SPOOL_CHUNK_BYTES)), chunk, len, err))
                return false;
            outcome->bytes += len;
            in_group = (in_group + 1) % plan->chunks_per_commit;
            if (in_group == 0 && !commit(database, outcome, err))
                return false;
        }
    }
    return in_group == 0 || commit(database, outcome, err);
}

static bool run(const struct plan *plan, struct outcome *outcome, struct error *err)
{
    struct database database = { .directory_fd = -1 };
    bool is_ok = database_open(&database, plan->directory, err);

    if (is_ok) {
        double begin = now_s();
        is_ok = write_all(&database, plan, outcome, err);
        outcome->seconds = now_s() - begin;
    }
    database_close(&database);
    return is_ok;
}

static bool read_options(int argc, char **argv, struct plan *plan, struct error *err)
{
    int option = 0;

    while ((option = getopt(argc, argv, "n:s:g:")) != -1) {
        int64_t *number = option == 'n'   ? &plan->message_count
                          : option == 's' ? &plan->size_bytes
                                          : &plan->chunks_per_commit;
        if (option == '?' || !units_parse_size(optarg, number, err) || *number < 1)
            return fail(err, ERROR_USAGE, "wrong option");
    }
    if (optind + 1 != argc || plan->size_bytes / SPOOL_CHUNK_BYTES > UINT16_MAX)
        return fail(err, ERROR_USAGE, "one directory is needed");
    plan->directory = argv[optind];
    return true;
}

int main(int argc, char **argv)
{
    struct plan plan = {
        .message_count = 16,
        .size_bytes = 20 * 1024 * 1024,
        .chunks_per_commit = 4,
    };
    struct outcome outcome = { 0 };
    struct error err = { 0 };

    if (!read_options(argc, argv, &plan, &err)) {
        (void)fprintf(stderr, "bench-chunks: %s\n%s", err.text, usage);
        return EXIT_USAGE;
    }
    if (!run(&plan, &outcome, &err)) {
        (void)fprintf(stderr, "bench-chunks: %s\n", err.text);
        return EXIT_FAILURE;
    }
    (void)printf("{\"bytes\": %lld, \"commits\": %lld, \"seconds\": %.6f}\n",
                 (long long)outcome.bytes, (long long)outcome.commits, outcome.seconds);
    return EXIT_SUCCESS;
}
