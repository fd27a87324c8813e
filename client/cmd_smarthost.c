/* outbox smarthost list, park, unpark. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "cli.h"
#include "smarthost_table.h"

struct smarthosts {
    bool is_json;
    json_t *all; /* for the table */
};

static bool on_answer(struct control_client *client, const json_t *answer, void *ctx)
{
    struct smarthosts *smarthosts = ctx;
    json_t *smarthost = json_object_get(answer, "smarthost");

    (void)client;
    if (smarthost == NULL)
        return true;
    if (smarthosts->is_json)
        return cli_print_json(smarthost);
    return json_array_append(smarthosts->all, smarthost) == 0;
}

static int list(struct cli *cli, bool is_json)
{
    struct smarthosts smarthosts = { is_json, json_array() };
    int status = cli_ask(cli, cli_request("smarthosts"), on_answer, &smarthosts, NULL);

    smarthost_table_print(smarthosts.all);
    json_decref(smarthosts.all);
    return status;
}

int cli_smarthost(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        { NULL,  0,           NULL, 0  },
    };
    bool is_json = false;
    int option = 0;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option != 'j')
            return cli_usage(command, "unknown option");
        is_json = true;
    }
    int count = argc - optind;
    const char *action = count > 0 ? argv[optind] : "list";
    if (strcmp(action, "list") == 0)
        return count <= 1 ? list(cli, is_json) : cli_usage(command, "list takes no name");
    if (strcmp(action, "park") != 0 && strcmp(action, "unpark") != 0)
        return cli_usage(command, "list, park or unpark?");
    if (count != 2)
        return cli_usage(command, "the name of one smarthost is needed");
    json_t *request = cli_request(action);
    (void)json_object_set_new(request, "name", json_string(argv[optind + 1]));
    return cli_ask(cli, request, NULL, NULL, NULL);
}
