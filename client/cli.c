/* The common ground of outbox(1)'s commands. */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "escape.h"
#include "strbuf.h"
#include "units.h"
#include "when.h"
#include "xalloc.h"

#include "control_client.h"
#include "locate.h"

void cli_complain(const char *fmt, ...)
{
    va_list args;
    char text[2048];

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    AUTO_FREE char *shown = escape_text(text);
    (void)fprintf(stderr, "outbox: %s\n", shown);
}

int cli_usage(const struct cli_command *command, const char *complaint)
{
    cli_complain("%s: %s", command->name, complaint);
    (void)fprintf(stderr, "usage: outbox %s %s\n", command->name, command->arguments);
    return EX_USAGE;
}

static int status_of_error(const struct error *err)
{
    switch (err->code) {
    case ERROR_CONFIG:
        return EX_CONFIG;
    case ERROR_USAGE:
        return EX_USAGE;
    case ERROR_NONE:
    case ERROR_BUSY:
    case ERROR_FULL:
    case ERROR_IO:
    case ERROR_DAMAGED:
    case ERROR_PROTOCOL:
    case ERROR_MISSING:
        break;
    }
    return EX_UNAVAILABLE;
}

struct control_client *cli_connect(const struct cli *cli, int *ret_status)
{
    struct location location;
    struct error err;

    if (!location_find(cli->config_file, &location, &err)) {
        cli_complain("%s", err.text);
        *ret_status = status_of_error(&err);
        return NULL;
    }
    struct control_client *client = control_client_new(&location, &err);
    location_done(&location);
    if (client == NULL) {
        cli_complain("%s", err.text);
        *ret_status = status_of_error(&err);
    }
    return client;
}

/* Reads answers up to the last, which it returns; NULL after an error (told in err), or when on_answer had enough. */
static json_t *read_answers(struct control_client *client, cli_answer_fn *on_answer, void *ctx,
                            struct error *err)
{
    for (;;) {
        json_t *answer = NULL;
        if (!control_client_next(client, &answer, err))
            return NULL;
        if (json_object_get(answer, "status") != NULL)
            return answer;
        bool is_fine = on_answer == NULL || on_answer(client, answer, ctx);
        json_decref(answer);
        if (!is_fine) {
            (void)fail(err, ERROR_IO, "the answer could not be written out");
            return NULL;
        }
    }
}

int cli_ask_on(struct control_client *client, json_t *request, cli_answer_fn *on_answer, void *ctx,
               json_t **ret_last)
{
    struct error err;
    json_t *last = NULL;

    if (control_client_send(client, request, &err))
        last = read_answers(client, on_answer, ctx, &err);
    json_decref(request);
    if (last == NULL) {
        cli_complain("%s", err.text);
        return status_of_error(&err);
    }
    int status = (int)cli_number(last, "status");
    if (cli_text(last, "error")[0] != '\0')
        (void)fprintf(stderr, "outbox: %s\n", cli_text(last, "error")); /* escaped by the daemon */
    if (ret_last != NULL)
        *ret_last = last;
    else
        json_decref(last);
    return status;
}

int cli_ask(const struct cli *cli, json_t *request, cli_answer_fn *on_answer, void *ctx,
            json_t **ret_last)
{
    int status = EX_UNAVAILABLE;
    struct control_client *client = cli_connect(cli, &status);

    if (client == NULL) {
        json_decref(request);
        return status;
    }
    status = cli_ask_on(client, request, on_answer, ctx, ret_last);
    control_client_free(client);
    return status;
}

json_t *cli_request(const char *name)
{
    return json_pack("{s:s}", "command", name);
}

void cli_request_filter(json_t *request, char *const *terms, int count)
{
    json_t *filter = json_array();

    for (int i = 0; i < count; i++) {
        /* jansson takes only UTF-8; the daemon refuses what is not a filter, so a stand-in will do. */
        json_t *term = json_string(terms[i]);
        (void)json_array_append_new(filter, term != NULL ? term : json_string("?"));
    }
    (void)json_object_set_new(request, "filter", filter);
}

bool cli_print_json(const json_t *value)
{
    return json_dumpf(value, stdout, JSON_COMPACT) == 0 && putchar('\n') != EOF;
}

const char *cli_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

int64_t cli_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

void cli_format_relative(char ret_text[48], const char *rfc3339, int64_t now_s)
{
    int64_t at_s = 0;
    char duration[UNITS_TEXT_SIZE];

    ret_text[0] = '\0';
    if (rfc3339[0] == '\0' || !when_parse_rfc3339(rfc3339, &at_s))
        return;
    units_format_duration(duration, at_s > now_s ? at_s - now_s : now_s - at_s);
    (void)snprintf(ret_text, 48, at_s > now_s ? "in %s" : "%s ago", duration);
}

char *cli_reply_text(const json_t *object)
{
    AUTO_STRBUF struct strbuf text;

    strbuf_init(&text);
    if (cli_number(object, "code") > 0)
        strbuf_append_format(&text, "%d ", (int)cli_number(object, "code"));
    if (cli_text(object, "enhanced")[0] != '\0')
        strbuf_append_format(&text, "%s ", cli_text(object, "enhanced"));
    strbuf_append_text(&text, cli_text(object, "reply"));
    return strbuf_take(&text, NULL);
}

bool cli_may_colour(void)
{
    const char *forbidden = getenv("NO_COLOR");

    return isatty(STDOUT_FILENO) && (forbidden == NULL || forbidden[0] == '\0');
}
