/* Which messages a filter matches, in order of their keys: looks at what the filter asks for and no further. */
#pragma once
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct error;
struct scan;
struct store;

/* Where the keys come from. */
enum walk_source {
    WALK_NOTHING,       /* no recipient is in a state that matches */
    WALK_ID,            /* one message */
    WALK_UNUSUAL,       /* by state, for each of them the next one */
    WALK_BACKLOG,       /* what is queued for one smarthost, and by state */
    WALK_RECIPIENTS,    /* all recipients: nothing is asked of messages */
    WALK_MESSAGES_OPEN, /* all that are not final */
    WALK_MESSAGES,
};

/* One page of it. Only for a moment: nothing may be written meanwhile. */
struct walk {
    struct store *store;
    const struct scan *scan;
    enum walk_source source;
    unsigned states;        /* in which recipients can be that match */
    bool judges_recipients; /* after the source has found a message */
    int64_t from_s;         /* when they can have been accepted: filter_accepted_range */
    int64_t until_s;
    sqlite3_stmt *query;     /* of the source; NULL: it needs none */
    int64_t end_key;         /* by their age messages from here on can't match */
    int64_t window_key;      /* the last that query gives; more pages follow */
    int64_t backlog_key;     /* the one that query stands at */
    unsigned examined_count; /* rows, both of messages and of recipients */
    /* answer */
    int64_t cursor_key; /* all up to this one have been found or do not match */
    bool is_end;
};

bool walk_start(struct walk *walk, struct store *store, const struct scan *scan, struct error *err);
void walk_stop(struct walk *walk);
/* The key of the next message that matches; 0: none, or (without is_end) none on this page. */
bool walk_next(struct walk *walk, int64_t *ret_key, struct error *err);
