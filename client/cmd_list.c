/* outbox list: one row per message, or one JSON object per line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "cleanup.h"
#include "error.h"
#include "units.h"
#include "when.h"
#include "xalloc.h"

#include "cli.h"
#include "table.h"

enum column {
    COLUMN_ID,
    COLUMN_STATE,
    COLUMN_AGE,
    COLUMN_SIZE,
    COLUMN_SENDER,
    COLUMN_RECIPIENT,
    COLUMN_SMARTHOST,
    COLUMN_NOTE,
    COLUMN_COUNT
};

enum { ROWS_AT_ONCE = 500 }; /* a million messages must not have to fit into memory to be aligned */

/* By enum column: name, is_right, is_cut. */
static const struct table_column columns[COLUMN_COUNT] = {
    {"ID",         false, false},
    { "STATE",     false, false},
    { "AGE",       true,  false},
    { "SIZE",      true,  false},
    { "SENDER",    false, true },
    { "RECIPIENT", false, true },
    { "SMARTHOST", false, false},
    { "NOTE",      false, true },
};

static const struct {
    const char *state;
    const char *colour;
} state_colours[] = {
    {"held",       "magenta"},
    { "in-doubt",  "red"    },
    { "delivered", "green"  },
    { "failed",    "red"    },
    { "expired",   "red"    },
};

struct listing {
    bool is_json;
    int64_t now_s;
    struct table *table;
    bool has_printed;
};

static const char *colour_of(const char *state)
{
    for (size_t i = 0; i < COUNT_OF(state_colours); i++)
        if (strcmp(state_colours[i].state, state) == 0)
            return state_colours[i].colour;
    return NULL;
}

/* The recipient that the message's own state is about. */
static const json_t *leading_recipient(const json_t *message)
{
    const json_t *recipients = json_object_get(message, "recipients");

    for (size_t i = 0; i < json_array_size(recipients); i++) {
        const json_t *recipient = json_array_get(recipients, i);
        if (strcmp(cli_text(recipient, "state"), cli_text(message, "state")) == 0)
            return recipient;
    }
    return json_array_get(recipients, 0);
}

/* "retry in 4m: 451 4.3.0 try later" */
static char *note_of(const json_t *recipient, int64_t now_s)
{
    char next[48];
    AUTO_FREE char *reply = cli_reply_text(recipient);
    const char *waiting = cli_text(recipient, "waiting");

    cli_format_relative(next, cli_text(recipient, "next_attempt_at"), now_s);
    bool is_later = strncmp(next, "in ", 3) == 0;
    return xasprintf("%s%s%s%s%s", waiting, is_later && waiting[0] != '\0' ? " " : "",
                     is_later ? next : "", reply[0] != '\0' && waiting[0] != '\0' ? ": " : "",
                     reply);
}

static void format_age(char ret_text[UNITS_TEXT_SIZE], const json_t *message, int64_t now_s)
{
    int64_t at_s = now_s;

    (void)when_parse_rfc3339(cli_text(message, "accepted_at"), &at_s);
    units_format_duration(ret_text, now_s > at_s ? now_s - at_s : 0);
}

static void add_row(struct listing *listing, const json_t *message)
{
    char age[UNITS_TEXT_SIZE];
    char size[UNITS_TEXT_SIZE];
    const json_t *recipient = leading_recipient(message);
    size_t others = json_array_size(json_object_get(message, "recipients"));
    AUTO_FREE char *note = note_of(recipient, listing->now_s);
    AUTO_FREE char *to = others > 1
                             ? xasprintf("%s +%zu", cli_text(recipient, "address"), others - 1)
                             : xstrdup(cli_text(recipient, "address"));
    const char *state = cli_text(message, "state");
    const char *sender = cli_text(message, "sender");

    format_age(age, message, listing->now_s);
    units_format_size(size, cli_number(message, "size"));
    table_row(listing->table);
    table_cell(listing->table, COLUMN_ID, cli_text(message, "id"), NULL);
    table_cell(listing->table, COLUMN_STATE, state, colour_of(state));
    table_cell(listing->table, COLUMN_AGE, age, NULL);
    table_cell(listing->table, COLUMN_SIZE, size, NULL);
    table_cell(listing->table, COLUMN_SENDER, sender[0] != '\0' ? sender : "<>", NULL);
    table_cell(listing->table, COLUMN_RECIPIENT, to, NULL);
    table_cell(listing->table, COLUMN_SMARTHOST, cli_text(message, "smarthost"), NULL);
    table_cell(listing->table, COLUMN_NOTE, note, NULL);
}

static void print_rows(struct listing *listing)
{
    if (listing->table != NULL && table_row_count(listing->table) > 0) {
        table_print(listing->table);
        listing->has_printed = true;
    }
    table_free(TAKE(listing->table));
}

static bool on_answer(struct control_client *client, const json_t *answer, void *ctx)
{
    struct listing *listing = ctx;
    const json_t *message = json_object_get(answer, "message");

    (void)client;
    if (message == NULL)
        return true;
    if (listing->is_json)
        return cli_print_json(message);
    if (listing->table == NULL)
        listing->table = table_new(columns, COLUMN_COUNT, !listing->has_printed);
    add_row(listing, message);
    if (table_row_count(listing->table) >= ROWS_AT_ONCE)
        print_rows(listing);
    return ferror(stdout) == 0;
}

int cli_list(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"json",   no_argument,       NULL, 'j'},
        { "limit", required_argument, NULL, 'l'},
        { NULL,    0,                 NULL, 0  },
    };
    struct listing listing = { .now_s = time(NULL) };
    int64_t limit = 0;
    struct error err;
    int option = 0;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'j')
            listing.is_json = true;
        else if (option != 'l')
            return cli_usage(command, "unknown option");
        else if (!units_parse_count(optarg, &limit, &err) || limit == 0)
            return cli_usage(command, "--limit takes a number above 0");
    }
    json_t *request = cli_request("list");
    cli_request_filter(request, argv + optind, argc - optind);
    if (limit > 0)
        (void)json_object_set_new(request, "limit", json_integer(limit));
    json_t *last = NULL;
    int status = cli_ask(cli, request, on_answer, &listing, &last);
    print_rows(&listing);
    if (status == EX_OK && cli_number(last, "count") == 0)
        (void)fputs("outbox: nothing matches\n", stderr);
    json_decref(last);
    return status;
}
