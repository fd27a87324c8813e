/* outbox hold, release, retry, delete: changes of whatever a filter matches. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cli.h"
#include "control_client.h"

struct change {
    const char *name;
    char *const *terms;
    int term_count;
};

static int ask(struct control_client *client, const struct change *change, bool is_dry_run,
               int64_t *ret_matched, int64_t *ret_changed)
{
    json_t *request = cli_request(change->name);
    json_t *last = NULL;

    cli_request_filter(request, change->terms, change->term_count);
    (void)json_object_set_new(request, "dry_run", json_boolean(is_dry_run));
    int status = cli_ask_on(client, request, NULL, NULL, &last);
    *ret_matched = cli_number(last, "count");
    *ret_changed = cli_number(last, "changed");
    json_decref(last);
    return status;
}

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

static bool is_confirmed(const struct change *change, int64_t count)
{
    char answer[16] = "";

    (void)fprintf(stderr, "%s %lld messages? [y/N] ", change->name, (long long)count);
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

/* A terminal asks before many; a script knows what it does. */
static int prompt(struct control_client *client, const struct change *change, bool *ret_is_wanted)
{
    int64_t matched = 0;
    int64_t changed = 0;
    int status = ask(client, change, true, &matched, &changed);

    *ret_is_wanted = status == EX_OK && (changed <= 1 || is_confirmed(change, changed));
    if (status == EX_OK && !*ret_is_wanted)
        (void)fputs("outbox: nothing done\n", stderr);
    return status;
}

static int apply(struct control_client *client, const struct change *change, bool is_dry_run)
{
    int64_t matched = 0;
    int64_t changed = 0;
    int status = ask(client, change, is_dry_run, &matched, &changed);

    if (status != EX_OK)
        return status;
    if (is_dry_run)
        (void)printf("%lld messages\n",
                     (long long)changed); /* always this form: programs read it */
    else if (changed > 0)
        (void)printf("%s: %lld message%s\n", change->name, (long long)changed, plural(changed));
    if (matched == 0)
        (void)fputs("outbox: nothing matches\n", stderr);
    else if (!is_dry_run && changed < matched)
        (void)fprintf(stderr, "outbox: %lld message%s left as %s\n", (long long)(matched - changed),
                      plural(matched - changed), matched - changed == 1 ? "it is" : "they are");
    return EX_OK;
}

int cli_change(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        { "dry-run", no_argument, NULL, 'n' },
        { "yes", no_argument, NULL, 'y' },
        { NULL, 0, NULL, 0 },
    };
    bool is_dry_run = false;
    bool is_wanted = !isatty(STDIN_FILENO);
    int status = EX_UNAVAILABLE;
    int option = 0;

    while ((option = getopt_long(argc, argv, "ny", options, NULL)) != -1) {
        if (option == 'n')
            is_dry_run = true;
        else if (option == 'y')
            is_wanted = true;
        else
            return cli_usage(command, "unknown option");
    }
    struct change change = { command->name, argv + optind, argc - optind };
    if (change.term_count < 1)
        return cli_usage(command, "which messages? Give a filter; all is everything");
    struct control_client *client = cli_connect(cli, &status);
    if (client == NULL)
        return status;
    status = EX_OK;
    if (!is_dry_run && !is_wanted)
        status = prompt(client, &change, &is_wanted);
    if (status == EX_OK && (is_dry_run || is_wanted))
        status = apply(client, &change, is_dry_run);
    control_client_free(client);
    return status;
}
