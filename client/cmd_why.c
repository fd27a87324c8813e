/* outbox why ID: the daemon's explanation, word for word. */
#include <getopt.h>
#include <stdio.h>

#include "cli.h"

static bool on_answer(struct control_client *client, const json_t *answer, void *ctx)
{
    (void)client;
    (void)ctx;
    return json_object_get(answer, "text") == NULL || puts(cli_text(answer, "text")) != EOF;
}

int cli_why(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {NULL, 0, NULL, 0},
    };

    if (getopt_long(argc, argv, "", options, NULL) != -1)
        return cli_usage(command, "unknown option");
    if (argc - optind != 1)
        return cli_usage(command, "one ID is needed");
    json_t *request = cli_request("why");
    (void)json_object_set_new(request, "id", json_string(argv[optind]));
    return cli_ask(cli, request, on_answer, NULL, NULL);
}
