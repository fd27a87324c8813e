/* outbox show ID: all that is known of one message, or its bytes. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include "cleanup.h"
#include "error.h"
#include "units.h"

#include "cli.h"
#include "control_client.h"

struct showing {
    bool is_json;
    int64_t now_s;
};

static void print_time(const char *label, const char *rfc3339, int64_t now_s)
{
    char relative[48];

    if (rfc3339[0] == '\0')
        return;
    cli_format_relative(relative, rfc3339, now_s);
    (void)printf("%s%s (%s)\n", label, rfc3339, relative);
}

static void print_recipient(const json_t *recipient, int64_t now_s)
{
    AUTO_FREE char *reply = cli_reply_text(recipient);
    const char *waiting = cli_text(recipient, "waiting");
    const char *class = cli_text(recipient, "class");

    (void)printf("\n  %s\n", cli_text(recipient, "address"));
    (void)printf("    state:     %s", cli_text(recipient, "state"));
    if (waiting[0] != '\0')
        (void)printf(", waiting for: %s", waiting);
    (void)printf("\n    attempts:  %d\n", (int)cli_number(recipient, "attempts"));
    if (class[0] != '\0')
        (void)printf("    class:     %s\n", class);
    if (reply[0] != '\0')
        (void)printf("    reply:     %s\n", reply);
    print_time("    next:      ", cli_text(recipient, "next_attempt_at"), now_s);
}

static void print_message(const json_t *message, int64_t now_s)
{
    char size[UNITS_TEXT_SIZE];
    const json_t *recipients = json_object_get(message, "recipients");
    const char *tag = cli_text(message, "tag");

    units_format_size(size, cli_number(message, "size"));
    (void)printf("id:        %s\n", cli_text(message, "id"));
    (void)printf("state:     %s\n", cli_text(message, "state"));
    (void)printf("sender:    <%s>\n", cli_text(message, "sender"));
    (void)printf("user:      %s\n", cli_text(message, "user"));
    (void)printf("size:      %s\n", size);
    print_time("accepted:  ", cli_text(message, "accepted_at"), now_s);
    if (tag[0] != '\0')
        (void)printf("tag:       %s\n", tag);
    (void)printf("smarthost: %s\n", cli_text(message, "smarthost"));
    (void)printf("recipients: %zu\n", json_array_size(recipients));
    for (size_t i = 0; i < json_array_size(recipients); i++)
        print_recipient(json_array_get(recipients, i), now_s);
}

static bool on_answer(struct control_client *client, const json_t *answer, void *ctx)
{
    const struct showing *showing = ctx;
    const json_t *message = json_object_get(answer, "message");
    const json_t *raw = json_object_get(answer, "raw_bytes");
    struct error err;

    if (raw != NULL) {
        if (control_client_copy(client, json_integer_value(raw), stdout, &err))
            return true;
        cli_complain("%s", err.text);
        return false;
    }
    if (message == NULL)
        return true;
    if (showing->is_json)
        return cli_print_json(message);
    print_message(message, showing->now_s);
    return true;
}

int cli_show(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        { "raw", no_argument, NULL, 'r'},
        { NULL,  0,           NULL, 0  },
    };
    struct showing showing = { .now_s = time(NULL) };
    bool is_raw = false;
    int option = 0;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'j')
            showing.is_json = true;
        else if (option == 'r')
            is_raw = true;
        else
            return cli_usage(command, "unknown option");
    }
    if (argc - optind != 1)
        return cli_usage(command, "one ID is needed");
    if (is_raw && showing.is_json)
        return cli_usage(command, "--raw and --json exclude each other");
    json_t *request = cli_request(is_raw ? "raw" : "show");
    (void)json_object_set_new(request, "id", json_string(argv[optind]));
    return cli_ask(cli, request, on_answer, &showing, NULL);
}
