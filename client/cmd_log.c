/* outbox log: what happened, oldest first. --follow asks again every second for what is new. */
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sysexits.h>
#include <unistd.h>

#include "cleanup.h"

#include "cli.h"
#include "control_client.h"

enum { FOLLOW_PAUSE_S = 1 };

struct logging {
    bool is_json;
};

static void print_pair(const json_t *event, const char *key)
{
    const char *text = cli_text(event, key);

    if (text[0] != '\0')
        (void)printf(" %s=%s", key, text);
}

static void print_actor(const json_t *event)
{
    if (!json_is_integer(json_object_get(event, "uid")))
        return;
    uid_t uid = (uid_t)cli_number(event, "uid");
    const struct passwd *user = getpwuid(uid);
    if (user != NULL)
        (void)printf(" by=%s", user->pw_name);
    else
        (void)printf(" by=#%u", (unsigned)uid);
}

static void print_event(const json_t *event)
{
    static const char *const keys[] = { "recipient", "state", "smarthost", "host",
                                        "stage",     "class", "rule" };
    AUTO_FREE char *reply = cli_reply_text(event);
    const char *id = cli_text(event, "id");

    (void)printf("%s %s %s", cli_text(event, "at"), id[0] != '\0' ? id : "-",
                 cli_text(event, "kind"));
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        print_pair(event, keys[i]);
    print_actor(event);
    if (reply[0] != '\0')
        (void)printf(" reply=\"%s\"", reply);
    (void)putchar('\n');
}

static bool on_answer(struct control_client *client, const json_t *answer, void *ctx)
{
    const struct logging *logging = ctx;
    const json_t *event = json_object_get(answer, "event");

    (void)client;
    if (event == NULL)
        return true;
    if (logging->is_json)
        return cli_print_json(event);
    print_event(event);
    return ferror(stdout) == 0;
}

static json_t *new_request(const char *id, int64_t after)
{
    json_t *request = cli_request("log");

    if (id != NULL)
        (void)json_object_set_new(request, "id", json_string(id));
    if (after >= 0)
        (void)json_object_set_new(request, "after", json_integer(after));
    return request;
}

static int follow(struct control_client *client, const char *id, bool is_following,
                  struct logging *logging)
{
    int64_t after = -1;

    for (;;) {
        json_t *last = NULL;
        int status = cli_ask_on(client, new_request(id, after), on_answer, logging, &last);
        /* Were there more than one answer holds, the rest is asked for at once. */
        bool has_more = json_is_true(json_object_get(last, "more"));
        if (status == EX_OK)
            after = cli_number(last, "last");
        json_decref(last);
        if (status != EX_OK || (!is_following && !has_more))
            return status;
        if (fflush(stdout) != 0)
            return EX_IOERR;
        if (!has_more)
            (void)sleep(FOLLOW_PAUSE_S);
    }
}

int cli_log(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"follow", no_argument, NULL, 'f'},
        { "json",  no_argument, NULL, 'j'},
        { NULL,    0,           NULL, 0  },
    };
    struct logging logging = { .is_json = false };
    bool is_following = false;
    int status = EX_UNAVAILABLE;
    int option = 0;

    while ((option = getopt_long(argc, argv, "f", options, NULL)) != -1) {
        if (option == 'j')
            logging.is_json = true;
        else if (option == 'f')
            is_following = true;
        else
            return cli_usage(command, "unknown option");
    }
    if (argc - optind > 1)
        return cli_usage(command, "at most one ID");
    struct control_client *client = cli_connect(cli, &status);
    if (client == NULL)
        return status;
    status = follow(client, argc > optind ? argv[optind] : NULL, is_following, &logging);
    control_client_free(client);
    return status;
}
