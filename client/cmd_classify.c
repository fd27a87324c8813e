/* outbox classify: what a smarthost's reply would mean, decided by the daemon's own rules; no daemon is needed. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "cleanup.h"
#include "error.h"
#include "verdict.h"

#include "cli.h"

/* The keys of DESIGN 2.6 in its order. A success has no class and nothing to do. */
static json_t *verdict_json(const struct verdict *verdict, enum verdict_stage stage)
{
    char wait[32];
    const char *class = verdict_class_name(verdict->class);

    verdict_wait_text(verdict->wait_s, wait);
    json_t *object = json_object();
    (void)json_object_set_new(object, "class", class != NULL ? json_string(class) : json_null());
    (void)json_object_set_new(object, "permanent",
                              json_string(verdict->is_permanent ? "yes" : "no"));
    (void)json_object_set_new(
        object, "scope",
        verdict->is_success ? json_null() : json_string(verdict_scope_name(verdict->scope)));
    (void)json_object_set_new(
        object, "action",
        verdict->is_success ? json_null() : json_string(verdict_action_name(verdict->action)));
    (void)json_object_set_new(object, "wait", json_string(wait));
    (void)json_object_set_new(object, "rule", json_string(verdict->rule));
    (void)json_object_set_new(object, "stage", json_string(verdict_stage_name(stage)));
    return object;
}

static void print_words(const json_t *object)
{
    const char *key = NULL;
    const json_t *value = NULL;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)(void)
        printf("%-10s %s\n", key, json_is_string(value) ? json_string_value(value) : "-");
}

static int classify(const char *provider, enum verdict_stage stage, const char *text, bool is_json)
{
    AUTO_FREE char *joined = NULL;
    struct smtp_reply reply;
    struct error err;

    if (!smtp_reply_parse(text, &reply, &joined, &err)) {
        cli_complain("%s", err.text);
        return EX_USAGE;
    }
    struct verdict verdict = verdict_of_reply(provider, stage, &reply);
    json_t *object = verdict_json(&verdict, stage);
    if (is_json)
        (void)cli_print_json(object);
    else
        print_words(object);
    json_decref(object);
    return EX_OK;
}

int cli_classify(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        { "json", no_argument, NULL, 'j' },
        { "provider", required_argument, NULL, 'p' },
        { "stage", required_argument, NULL, 's' },
        { NULL, 0, NULL, 0 },
    };
    const char *provider = NULL;
    enum verdict_stage stage = STAGE_ANY;
    bool is_json = false;
    int option = 0;

    (void)cli;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'j')
            is_json = true;
        else if (option == 'p')
            provider = optarg;
        else if (option != 's')
            return cli_usage(command, "unknown option");
        else if (!verdict_stage_parse(optarg, &stage))
            return cli_usage(command,
                             "--stage is one of connect, ehlo, starttls, auth, mail, rcpt, "
                             "data, end-of-data, any");
    }
    if (argc - optind != 1)
        return cli_usage(command, "one reply is needed, in quotes");
    return classify(provider, stage, argv[optind], is_json);
}
