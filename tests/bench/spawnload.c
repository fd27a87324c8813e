/* bench-spawnload: runs a command again and again, one at a time, its standard input from a file, and prints one JSON
   object: how many ended with 0, and the percentiles of the time from before the start to after the end. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "units.h"
#include "xalloc.h"

enum { EXIT_USAGE = 2, RUNS_MAX = 1000000 };

static const char usage[] = "usage: bench-spawnload [-n COUNT] [-i FILE] PROGRAM [ARGUMENT ...]\n"
                            "  -n  how often (100)\n"
                            "  -i  standard input of every run (/dev/null)\n";

struct plan {
    int64_t runs;
    const char *input;
    char **command;
};

struct result {
    int64_t done;
    int64_t failed;
    uint64_t *times_ns;
};

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The program's output goes nowhere, its complaints where ours go. posix_spawn() does not copy our memory's tables. */
static bool run_once(const struct plan *plan, posix_spawn_file_actions_t *files, int *ret_status,
                     struct error *err)
{
    pid_t pid = 0;
    int reason = posix_spawn(&pid, plan->command[0], files, NULL, plan->command, environ);

    if (reason != 0)
        return fail(err, ERROR_IO, "%s: %s", plan->command[0], strerror(reason));
    while (waitpid(pid, ret_status, 0) < 0) {
        if (errno != EINTR)
            return fail(err, ERROR_IO, "wait: %s", strerror(errno));
    }
    return true;
}

static bool run_all(const struct plan *plan, struct result *result, struct error *err)
{
    posix_spawn_file_actions_t files;
    bool is_fine = true;

    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, plan->input, O_RDONLY, 0);
    (void)posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    while (is_fine && result->done < plan->runs) {
        int status = 0;
        uint64_t begin = now_ns();
        is_fine = run_once(plan, &files, &status, err);
        result->times_ns[result->done++] = now_ns() - begin;
        result->failed += status != 0;
    }
    (void)posix_spawn_file_actions_destroy(&files);
    return is_fine;
}

static int compare_times(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

static double percentile_ms(const struct result *result, int64_t percent)
{
    int64_t index = result->done * percent / 100;

    if (index >= result->done)
        index = result->done - 1;
    return (double)result->times_ns[index] / 1e6;
}

static double seconds_of(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void print_result(const struct result *result)
{
    struct rusage used;

    (void)getrusage(RUSAGE_CHILDREN, &used);
    qsort(result->times_ns, (size_t)result->done, sizeof *result->times_ns, compare_times);
    json_t *report =
        json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "runs", (json_int_t)result->done, "failed",
                  (json_int_t)result->failed, "min_ms", percentile_ms(result, 0), "p50_ms",
                  percentile_ms(result, 50), "p95_ms", percentile_ms(result, 95), "max_ms",
                  percentile_ms(result, 100), "cpu_s",
                  seconds_of(&used.ru_utime) + seconds_of(&used.ru_stime));
    (void)json_dumpf(report, stdout, JSON_REAL_PRECISION(12));
    (void)putchar('\n');
    json_decref(report);
}

/* Options end at the program's name: the others are its own. */
static bool read_options(int argc, char **argv, struct plan *plan, struct error *err)
{
    int option = 0;

    while ((option = getopt(argc, argv, "+n:i:")) != -1) {
        if (option == 'i')
            plan->input = optarg;
        else if (option != 'n')
            return fail(err, ERROR_USAGE, "unknown option");
        else if (!units_parse_count(optarg, &plan->runs, err))
            return false;
    }
    if (plan->runs < 1 || plan->runs > RUNS_MAX)
        return fail(err, ERROR_USAGE, "-n: from 1 to %d", RUNS_MAX);
    plan->command = argv + optind;
    return optind < argc || fail(err, ERROR_USAGE, "which program?");
}

int main(int argc, char **argv)
{
    struct plan plan = { .runs = 100, .input = "/dev/null" };
    struct result result = { 0 };
    struct error err = { 0 };

    if (!read_options(argc, argv, &plan, &err)) {
        (void)fprintf(stderr, "bench-spawnload: %s\n%s", err.text, usage);
        return EXIT_USAGE;
    }
    AUTO_FREE uint64_t *times_ns = xcalloc((size_t)plan.runs, sizeof *times_ns);
    result.times_ns = times_ns;
    if (!run_all(&plan, &result, &err)) {
        (void)fprintf(stderr, "bench-spawnload: %s\n", err.text);
        return EXIT_FAILURE;
    }
    print_result(&result);
    return result.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
