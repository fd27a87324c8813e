/* outbox status: the state of the queue on one screen. Exits 0 fine, 1 warning, 2 critical or the daemon is away. */
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "units.h"

#include "cli.h"
#include "smarthost_table.h"

enum { STATUS_CRITICAL = 2 };

struct report {
    bool is_json;
};

static void print_counts(const json_t *counts)
{
    const char *state = NULL;
    const json_t *count = NULL;

    /* jansson keeps the order of the daemon. */
    json_object_foreach((json_t *)(uintptr_t)counts, state, count)(void)
        printf("%-10s %lld\n", state, (long long)json_integer_value(count));
}

static void print_report(const json_t *report)
{
    static const char *const levels[] = { "fine", "warning", "critical" };
    int64_t level = cli_number(report, "level");
    const json_t *remarks = json_object_get(report, "remarks");
    char age[UNITS_TEXT_SIZE];

    (void)printf("%s\n", level >= 0 && level <= STATUS_CRITICAL ? levels[level] : "unknown");
    for (size_t i = 0; i < json_array_size(remarks); i++)
        (void)printf("  %s\n", json_string_value(json_array_get(remarks, i)));
    (void)putchar('\n');
    print_counts(json_object_get(report, "counts"));
    if (json_is_integer(json_object_get(report, "oldest_age_s"))) {
        units_format_duration(age, cli_number(report, "oldest_age_s"));
        (void)printf("oldest     %s\n", age);
    }
    (void)putchar('\n');
    smarthost_table_print(json_object_get(report, "smarthosts"));
}

static bool on_answer(struct control_client *client, const json_t *answer, void *ctx)
{
    const struct report *report = ctx;

    (void)client;
    if (report->is_json)
        return cli_print_json(answer);
    print_report(answer);
    return true;
}

int cli_status(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { NULL, 0, NULL, 0 },
    };
    struct report report = { .is_json = false };
    int option = 0;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'j')
            return cli_usage(command, "unknown option");
        report.is_json = true;
    }
    if (argc > optind)
        return cli_usage(command, "no arguments are taken");
    int status = cli_ask(cli, cli_request("status"), on_answer, &report, NULL);
    /* Away, about to end, or too busy to answer. */
    return status == EX_UNAVAILABLE || status == EX_TEMPFAIL ? STATUS_CRITICAL : status;
}
