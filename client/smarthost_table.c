/* One row per smarthost. */
#include "smarthost_table.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "xalloc.h"

#include "cli.h"
#include "table.h"

enum column {
    COLUMN_NAME,
    COLUMN_STATE,
    COLUMN_SINCE,
    COLUMN_NEXT,
    COLUMN_CONNECTIONS,
    COLUMN_QUEUED,
    COLUMN_DELIVERED,
    COLUMN_REASON,
    COLUMN_COUNT
};

/* By enum column: name, is_right, is_cut. */
static const struct table_column columns[COLUMN_COUNT] = {
    {"SMARTHOST",  false, false},
    { "STATE",     false, false},
    { "SINCE",     false, false},
    { "NEXT",      false, false},
    { "CONN",      true,  false},
    { "QUEUED",    true,  false},
    { "DELIVERED", true,  false},
    { "REASON",    false, true },
};

static const char *colour_of(const char *state)
{
    if (strcmp(state, "ok") == 0)
        return "green";
    return strcmp(state, "parked") == 0 ? "red" : "yellow";
}

static char *number_text(const json_t *object, const char *key)
{
    return json_is_integer(json_object_get(object, key))
               ? xasprintf("%lld", (long long)cli_number(object, key))
               : xstrdup("");
}

static char *reason_text(const json_t *smarthost)
{
    AUTO_FREE char *reply = cli_reply_text(smarthost);
    const char *class = cli_text(smarthost, "class");

    return xasprintf("%s%s%s", class, class[0] != '\0' && reply[0] != '\0' ? ": " : "", reply);
}

static void add_row(struct table *table, const json_t *smarthost, int64_t now_s)
{
    char since[48];
    char next[48];
    const char *state = cli_text(smarthost, "state");
    AUTO_FREE char *connections = number_text(smarthost, "connections");
    AUTO_FREE char *queued = number_text(smarthost, "queued");
    AUTO_FREE char *delivered = number_text(smarthost, "delivered");
    AUTO_FREE char *reason = reason_text(smarthost);

    cli_format_relative(since, cli_text(smarthost, "since"), now_s);
    cli_format_relative(next, cli_text(smarthost, "retry_at"), now_s);
    table_row(table);
    table_cell(table, COLUMN_NAME, cli_text(smarthost, "name"), NULL);
    table_cell(table, COLUMN_STATE, state, colour_of(state));
    table_cell(table, COLUMN_SINCE, since, NULL);
    table_cell(table, COLUMN_NEXT, next, NULL);
    table_cell(table, COLUMN_CONNECTIONS, connections, NULL);
    table_cell(table, COLUMN_QUEUED, queued, NULL);
    table_cell(table, COLUMN_DELIVERED, delivered, NULL);
    table_cell(table, COLUMN_REASON, reason, NULL);
}

void smarthost_table_print(const json_t *smarthosts)
{
    int64_t now_s = time(NULL);

    if (json_array_size(smarthosts) == 0)
        return;
    struct table *table = table_new(columns, COLUMN_COUNT, true);
    for (size_t i = 0; i < json_array_size(smarthosts); i++)
        add_row(table, json_array_get(smarthosts, i), now_s);
    table_print(table);
    table_free(table);
}
