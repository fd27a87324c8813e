/* bench-load: hands over a number of messages as fast as they are taken and prints one JSON object: how many, how
   fast, and the percentiles of the time from MAIL to the final reply. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cleanup.h"
#include "dialogue.h"
#include "endpoint.h"
#include "error.h"
#include "escape.h"
#include "units.h"

enum { EXIT_USAGE = 2, EXIT_INCOMPLETE = 1 };

static const char usage[] =
    "usage: bench-load [-l] [-P] [-T] [-n COUNT] [-c COUNT] [-d COUNT] [-s BYTES] [-t MS]\n"
    "                  [-b FIRST] [-w MS] [-m FILE] [-f SENDER] [-r RECIPIENT]\n"
    "                  unix:PATH|ADDRESS:PORT\n"
    "  -n  messages (100)                     -c  clients at once (1)\n"
    "  -d  messages per connection, 0 = all   -s  size of a message (4K)\n"
    "  -t  time limit (60000)                 -b  first number in X-Bench-Seq (0)\n"
    "  -w  pause between messages, in ms (0)  -m  file that keeps the times of dot and reply\n"
    "  -l  LMTP                               -P  MAIL, RCPT and DATA in one write\n"
    "  -T  TLS from the first byte, any certificate\n";

static bool read_number(int option, struct load_plan *plan, struct error *err)
{
    const struct {
        int option;
        long *field;
        int64_t min;
        int64_t max;
    } numbers[] = {
        { 'n', &plan->message_count, 1, 100000000 },
        { 'c', &plan->client_count, 1, 20000 },
        { 'd', &plan->messages_per_session, 0, 100000000 }, /* 0: all */
        { 's', &plan->size_bytes, 0, 1 << 30 },
        { 't', &plan->time_limit_ms, 1, 86400000 },
        { 'w', &plan->pause_ms, 0, 86400000 },
        { 'b', &plan->first_sequence, 0, INT64_MAX },
    };
    int64_t value = 0;

    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        if (numbers[i].option != option)
            continue;
        if (!units_parse_size(optarg, &value, err))
            return false;
        if (value < numbers[i].min || value > numbers[i].max)
            return fail(err, ERROR_USAGE, "-%c: from %" PRId64 " to %" PRId64, option,
                        numbers[i].min, numbers[i].max);
        *numbers[i].field = (long)value;
        return true;
    }
    return fail(err, ERROR_USAGE, "unknown option");
}

static bool read_options(int argc, char **argv, struct load_plan *plan, const char **ret_times_file,
                         struct error *err)
{
    int option = 0;

    while ((option = getopt(argc, argv, "lPTn:c:d:s:t:b:w:m:f:r:")) != -1) {
        if (option == 'l')
            plan->is_lmtp = true;
        else if (option == 'P')
            plan->is_pipelining = true;
        else if (option == 'T')
            plan->is_tls = true;
        else if (option == 'm')
            *ret_times_file = optarg;
        else if (option == 'f')
            plan->sender = optarg;
        else if (option == 'r')
            plan->recipient = optarg;
        else if (!read_number(option, plan, err))
            return false;
    }
    if (optind + 1 != argc)
        return fail(err, ERROR_USAGE, "one address is needed");
    return endpoint_parse(argv[optind], &plan->endpoint, err);
}

/* Pairs of 64-bit numbers, as struct load_times has them. */
static bool write_times(const char *path, const struct load_times *times, long count,
                        struct error *err)
{
    FILE *file = fopen(path, "we");

    if (file == NULL)
        return fail(err, ERROR_IO, "%s: %s", path, strerror(errno));
    bool is_written = fwrite(times, sizeof *times, (size_t)count, file) == (size_t)count;
    if (fclose(file) != 0 || !is_written)
        return fail(err, ERROR_IO, "%s: %s", path, strerror(errno));
    return true;
}

static int compare_times(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

static double percentile_ms(const struct load_result *result, long per_mille)
{
    if (result->acknowledged == 0)
        return 0;
    long index = result->acknowledged * per_mille / 1000;
    if (index >= result->acknowledged)
        index = result->acknowledged - 1;
    return (double)result->latency_ns[index] / 1e6;
}

static double own_cpu_s(void)
{
    struct rusage usage_now;

    (void)getrusage(RUSAGE_SELF, &usage_now);
    return (double)(usage_now.ru_utime.tv_sec + usage_now.ru_stime.tv_sec) +
           (double)(usage_now.ru_utime.tv_usec + usage_now.ru_stime.tv_usec) / 1e6;
}

static void print_result(const struct load_result *result)
{
    double seconds = (double)(result->end_ns - result->begin_ns) / 1e9;
    double rate = seconds > 0 ? (double)result->acknowledged / seconds : 0;
    AUTO_FREE char *problem = escape_text(result->first_problem);

    qsort(result->latency_ns, (size_t)result->acknowledged, sizeof *result->latency_ns,
          compare_times);
    json_t *report = json_pack(
        "{s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s}", "acknowledged",
        (json_int_t)result->acknowledged, "failed", (json_int_t)result->failed, "sessions",
        (json_int_t)result->sessions, "sessions_failed", (json_int_t)result->sessions_failed,
        "seconds", seconds, "rate", rate, "p50_ms", percentile_ms(result, 500), "p95_ms",
        percentile_ms(result, 950), "p99_ms", percentile_ms(result, 990), "max_ms",
        percentile_ms(result, 1000), "cpu_s", own_cpu_s(), "begin_s",
        (double)result->begin_ns / 1e9, "problem", problem);
    (void)json_dumpf(report, stdout, JSON_REAL_PRECISION(12));
    (void)putchar('\n');
    json_decref(report);
}

int main(int argc, char **argv)
{
    struct load_plan plan = {
        .message_count = 100,
        .client_count = 1,
        .messages_per_session = 1,
        .size_bytes = 4096,
        .time_limit_ms = 60000,
        .sender = "bench@src.example",
        .recipient = "user@dest.example",
    };
    const char *times_file = NULL;
    struct load_result result;
    struct error err = { 0 };

    if (!read_options(argc, argv, &plan, &times_file, &err)) {
        (void)fprintf(stderr, "bench-load: %s\n%s", err.text, usage);
        return EXIT_USAGE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    plan.keeps_times = times_file != NULL;
    load_run(&plan, &result);
    print_result(&result);
    bool is_kept =
        times_file == NULL || write_times(times_file, result.times, plan.message_count, &err);
    if (!is_kept)
        (void)fprintf(stderr, "bench-load: %s\n", err.text);
    free(result.latency_ns);
    free(result.times);
    return is_kept && result.acknowledged == plan.message_count ? EXIT_SUCCESS : EXIT_INCOMPLETE;
}
