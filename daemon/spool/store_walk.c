/* Goes by an index where one fits, else through the rows of one table with a look at the other for what is left. Texts
   are judged where SQLite has them. */
#include "store_walk.h"

#include <string.h>

#include "error.h"
#include "filter.h"
#include "query.h"
#include "store.h"

#define STATE_BIT(name) (1U << RECIPIENT_##name)
#define STATES_ALL      ((1U << RECIPIENT_STATE_COUNT) - 1)
#define STATES_OPEN     (STATE_BIT(QUEUED) | STATE_BIT(HELD) | STATE_BIT(IN_DOUBT))
/* Those in the index recipient_due. */
#define STATES_BACKLOG (STATE_BIT(QUEUED) | STATE_BIT(IN_DOUBT))
/* Those in the index recipient_unusual. */
#define STATES_UNUSUAL                                                                             \
    (STATE_BIT(HELD) | STATE_BIT(IN_DOUBT) | STATE_BIT(FAILED) | STATE_BIT(EXPIRED) |              \
     STATE_BIT(CANCELLED))

enum {
    BACKLOG_MAX = 5000, /* sorted for every page */
    ROWS_JUDGED = 6000, /* on a page; each costs a fraction of one that is read whole: DESIGN 4 */
    ROWS_PER_SEARCH = 2, /* what a search by state costs */
    MS_PER_S = 1000,
};
#define KEY_NONE  INT64_MAX
#define KEY_PAUSE 0

static bool is_within(unsigned states, unsigned whole)
{
    return (states & ~whole) == 0;
}

/* The states of the mask in which recipients are; at one smarthost, or (NULL) at all of them. */
static unsigned states_present(const struct tally *tally, const char *smarthost, unsigned states)
{
    unsigned present = 0;

    for (size_t i = 0; i < tally->count; i++) {
        const struct tally_row *row = &tally->rows[i];
        if (smarthost != NULL && strcmp(row->smarthost, smarthost) != 0)
            continue;
        for (unsigned state = 0; state < RECIPIENT_STATE_COUNT; state++)
            if (row->counts[state] + row->deltas[state] > 0)
                present |= 1U << state;
    }
    return states & present;
}

static enum walk_source choose_source(const struct walk *walk)
{
    const struct filter *filter = walk->scan->filter;
    const char *smarthost = filter_exact_smarthost(filter);

    if (walk->states == 0)
        return WALK_NOTHING;
    if (filter_exact_id(filter)[0] != '\0')
        return WALK_ID;
    if (is_within(walk->states, STATES_UNUSUAL))
        return WALK_UNUSUAL;
    if (smarthost != NULL && is_within(walk->states, STATES_BACKLOG | STATES_UNUSUAL) &&
        tally_total(&walk->store->tally, smarthost, STATES_BACKLOG) <= BACKLOG_MAX)
        return WALK_BACKLOG;
    if (is_within(walk->states, STATES_OPEN))
        return WALK_MESSAGES_OPEN;
    if ((filter_has_recipient_terms(filter) || filter_states(filter) != STATES_ALL) &&
        !filter_has_message_terms(filter) && walk->scan->uid == SPOOL_ANYBODY)
        return WALK_RECIPIENTS;
    return WALK_MESSAGES;
}

/* Whether the source may find a message without a recipient that matches. */
static bool needs_recipients(const struct walk *walk)
{
    const struct filter *filter = walk->scan->filter;

    if (filter_has_recipient_terms(filter) && walk->source != WALK_RECIPIENTS)
        return true;
    switch (walk->source) {
    case WALK_UNUSUAL:
    case WALK_RECIPIENTS:
        return false;
    case WALK_MESSAGES_OPEN:
        return !is_within(STATES_OPEN, filter_states(filter));
    case WALK_NOTHING:
    case WALK_ID:
    case WALK_BACKLOG:
    case WALK_MESSAGES:
        break;
    }
    return filter_states(filter) != STATES_ALL;
}

/* --- Ages --- */

/* The lowest key of a message accepted at at_s or later; one behind the highest when there is none. */
static bool key_accepted(struct store *store, int64_t at_s, int64_t *ret_key, struct error *err)
{
    enum { KEY, ACCEPTED_AT };
    int64_t low = 1;
    int64_t high = 0;

    if (!store_key_highest(store, &high, err))
        return false;
    for (high++; low < high;) {
        int64_t middle = low + (high - low) / 2;
        AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_MESSAGE_OLDEST);
        bool has_row = false;
        bind_int(query, 1, middle - 1);
        bind_int(query, 2, 1);
        if (!query_step(&store->database, query, &has_row, err))
            return false;
        if (!has_row || sqlite3_column_int64(query, ACCEPTED_AT) / 1000 >= at_s)
            high = middle;
        else
            low = sqlite3_column_int64(query, KEY) + 1;
    }
    *ret_key = low;
    return true;
}

/* Keys ascend with time, so an age is a range of keys; a day wider than asked, for clocks that were set back and for
   messages that were long on their way. */
static bool restrict_to_age(struct walk *walk, struct error *err)
{
    enum { SLACK_S = 24 * 3600 };
    int64_t first_key = 0;

    if (walk->until_s != INT64_MAX &&
        !key_accepted(walk->store, walk->until_s + SLACK_S + 1, &walk->end_key, err))
        return false;
    if (walk->from_s == INT64_MIN || walk->cursor_key > 0)
        return true;
    if (!key_accepted(walk->store, walk->from_s - SLACK_S, &first_key, err))
        return false;
    walk->cursor_key = first_key - 1;
    return true;
}

/* --- Sources --- */

static bool unusual_next(struct walk *walk, int64_t *ret_key, struct error *err)
{
    int64_t next = INT64_MAX;

    for (unsigned state = 0; state < RECIPIENT_STATE_COUNT; state++) {
        if ((walk->states & STATES_UNUSUAL & 1U << state) == 0)
            continue;
        AUTO_QUERY sqlite3_stmt *query = query_new(&walk->store->database, SQL_RECIPIENT_IN_STATE);
        bool has_row = false;
        bind_text(query, 1, recipient_state_name((enum recipient_state)state));
        bind_int(query, 2, row_id(walk->cursor_key, UINT16_MAX));
        walk->examined_count += ROWS_PER_SEARCH;
        if (!query_step(&walk->store->database, query, &has_row, err))
            return false;
        if (has_row && sqlite3_column_int64(query, 0) < next)
            next = sqlite3_column_int64(query, 0);
    }
    *ret_key = next == INT64_MAX ? KEY_NONE : next >> ID_SHIFT;
    return true;
}

static void backlog_start(struct walk *walk)
{
    walk->query = query_new(&walk->store->database, SQL_WALK_BACKLOG);
    bind_text(walk->query, 1, filter_exact_smarthost(walk->scan->filter));
    bind_int(walk->query, 2, row_id(walk->cursor_key, UINT16_MAX));
}

static bool backlog_next(struct walk *walk, int64_t *ret_key, struct error *err)
{
    while (walk->backlog_key <= walk->cursor_key) {
        bool has_row = false;
        if (!query_step(&walk->store->database, walk->query, &has_row, err))
            return false;
        walk->backlog_key = has_row ? sqlite3_column_int64(walk->query, 0) >> ID_SHIFT : KEY_NONE;
    }
    *ret_key = walk->backlog_key;
    return true;
}

/* Columns of walk_recipients. */
enum recipient_column {
    RCPT_ID,
    RCPT_STATE,
    RCPT_ATTEMPTS,
    RCPT_ADDRESS,
    RCPT_SMARTHOST,
    RCPT_CLASS
};

static bool recipient_judge(const struct walk *walk, sqlite3_stmt *query, bool *ret_is_match,
                            struct error *err)
{
    struct filter_row row = {
        .recipient = column_text(query, RCPT_ADDRESS),
        .smarthost = column_text(query, RCPT_SMARTHOST),
        .class = column_text(query, RCPT_CLASS),
        .attempts = sqlite3_column_int64(query, RCPT_ATTEMPTS),
    };

    if (!recipient_state_parse(column_text(query, RCPT_STATE), &row.state))
        return fail(err, ERROR_DAMAGED, "unknown state %s", column_text(query, RCPT_STATE));
    *ret_is_match = filter_matches_recipient(walk->scan->filter, &row);
    return true;
}

static void recipients_start(struct walk *walk)
{
    walk->query = query_new(&walk->store->database, SQL_WALK_RECIPIENTS);
    bind_int(walk->query, 1, row_id(walk->cursor_key, UINT16_MAX));
}

/* Pauses between messages only: with the next page a message would begin anew. */
static bool recipients_next(struct walk *walk, int64_t *ret_key, struct error *err)
{
    int64_t judged_key = walk->cursor_key;
    bool has_row = true;
    bool is_match = false;

    for (;; walk->examined_count++) {
        if (!query_step(&walk->store->database, walk->query, &has_row, err))
            return false;
        int64_t key = has_row ? sqlite3_column_int64(walk->query, RCPT_ID) >> ID_SHIFT : KEY_NONE;
        if (key == walk->cursor_key)
            continue;
        if (has_row && !recipient_judge(walk, walk->query, &is_match, err))
            return false;
        if (key != judged_key && walk->examined_count >= ROWS_JUDGED) {
            walk->cursor_key = judged_key;
            key = KEY_PAUSE;
        }
        if (!has_row || is_match || key == KEY_PAUSE) {
            *ret_key = key;
            return true;
        }
        judged_key = key;
    }
}

/* One message, found by another source. */
static bool has_recipient(struct walk *walk, int64_t key, bool *ret_is_match, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&walk->store->database, SQL_WALK_RECIPIENTS);
    bool has_row = true;
    bool is_match = false;

    bind_int(query, 1, row_id(key, 0) - 1);
    while (!is_match) {
        if (!query_step(&walk->store->database, query, &has_row, err))
            return false;
        if (!has_row || sqlite3_column_int64(query, RCPT_ID) >> ID_SHIFT != key)
            break;
        walk->examined_count++;
        if (!recipient_judge(walk, query, &is_match, err))
            return false;
    }
    *ret_is_match = is_match;
    return true;
}

/* Columns of walk_messages and walk_messages_open. */
enum message_column {
    MSG_KEY,
    MSG_UID,
    MSG_ACCEPTED_AT,
    MSG_SIZE,
    MSG_ID,
    MSG_SENDER,
    MSG_USER,
    MSG_TAG
};

static bool message_matches(const struct scan *scan, sqlite3_stmt *query)
{
    if (scan->uid != SPOOL_ANYBODY && sqlite3_column_int64(query, MSG_UID) != scan->uid)
        return false;
    const struct filter_row row = {
        .id = column_text(query, MSG_ID),
        .sender = column_text(query, MSG_SENDER),
        .user = column_text(query, MSG_USER),
        .tag = column_text(query, MSG_TAG),
        .accepted_at_s = sqlite3_column_int64(query, MSG_ACCEPTED_AT) / MS_PER_S,
        .size_bytes = sqlite3_column_int64(query, MSG_SIZE),
    };
    return filter_matches_message(scan->filter, &row, scan->now_s);
}

/* SQLite passes by itself over what the slack of an age adds. So that it does not go on for long, a page is then a
   number of keys, from the first one that there is. */
static bool window_limit(struct walk *walk, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&walk->store->database, SQL_MESSAGE_OLDEST);
    bool has_row = false;

    bind_int(query, 1, walk->cursor_key);
    bind_int(query, 2, 1);
    if (!query_step(&walk->store->database, query, &has_row, err))
        return false;
    int64_t last_key = has_row ? sqlite3_column_int64(query, 0) + ROWS_JUDGED - 1 : KEY_NONE;
    if (last_key < walk->end_key)
        walk->window_key = last_key;
    return true;
}

static int64_t ms_of(int64_t at_s)
{
    if (at_s <= INT64_MIN / MS_PER_S)
        return INT64_MIN;
    return at_s >= INT64_MAX / MS_PER_S ? INT64_MAX : at_s * MS_PER_S;
}

static bool messages_start(struct walk *walk, struct error *err)
{
    bool has_age = walk->from_s != INT64_MIN || walk->until_s != INT64_MAX;

    if (has_age && !window_limit(walk, err))
        return false;
    walk->query = query_new(&walk->store->database, SQL_WALK_MESSAGES);
    bind_int(walk->query, 1, walk->cursor_key);
    bind_int(walk->query, 2, walk->window_key < walk->end_key ? walk->window_key : walk->end_key);
    bind_int(walk->query, 3, ms_of(walk->from_s));
    bind_int(walk->query, 4, walk->until_s < INT64_MAX ? ms_of(walk->until_s + 1) : INT64_MAX);
    return true;
}

static void messages_open_start(struct walk *walk)
{
    walk->query = query_new(&walk->store->database, SQL_WALK_MESSAGES_OPEN);
    bind_int(walk->query, 1, walk->cursor_key);
}

static bool messages_next(struct walk *walk, int64_t *ret_key, struct error *err)
{
    bool has_row = true;

    for (;;) {
        if (!query_step(&walk->store->database, walk->query, &has_row, err))
            return false;
        if (!has_row)
            break;
        int64_t key = sqlite3_column_int64(walk->query, MSG_KEY);
        walk->examined_count++;
        if (key >= walk->end_key || message_matches(walk->scan, walk->query)) {
            *ret_key = key;
            return true;
        }
        walk->cursor_key = key;
        if (walk->examined_count >= ROWS_JUDGED) {
            *ret_key = KEY_PAUSE;
            return true;
        }
    }
    if (walk->window_key != KEY_NONE)
        walk->cursor_key = walk->window_key;
    *ret_key = walk->window_key != KEY_NONE ? KEY_PAUSE : KEY_NONE;
    return true;
}

static bool source_start(struct walk *walk, struct error *err)
{
    switch (walk->source) {
    case WALK_NOTHING:
    case WALK_ID:
    case WALK_UNUSUAL:
        break;
    case WALK_BACKLOG:
        backlog_start(walk);
        break;
    case WALK_RECIPIENTS:
        recipients_start(walk);
        break;
    case WALK_MESSAGES_OPEN:
        messages_open_start(walk);
        break;
    case WALK_MESSAGES:
        return messages_start(walk, err);
    }
    return true;
}

/* The next key behind the cursor, KEY_NONE, or KEY_PAUSE. */
static bool source_next(struct walk *walk, int64_t *ret_key, struct error *err)
{
    int64_t key = KEY_NONE;
    int64_t other_key = KEY_NONE;

    switch (walk->source) {
    case WALK_NOTHING:
        break;
    case WALK_ID:
        if (!message_find(walk->store, filter_exact_id(walk->scan->filter), walk->scan->uid, &key,
                          err))
            return false;
        key = key > walk->cursor_key ? key : KEY_NONE;
        break;
    case WALK_BACKLOG:
        if (!backlog_next(walk, &other_key, err) || !unusual_next(walk, &key, err))
            return false;
        key = other_key < key ? other_key : key;
        break;
    case WALK_UNUSUAL:
        if (!unusual_next(walk, &key, err))
            return false;
        break;
    case WALK_RECIPIENTS:
        if (!recipients_next(walk, &key, err))
            return false;
        break;
    case WALK_MESSAGES_OPEN:
    case WALK_MESSAGES:
        if (!messages_next(walk, &key, err))
            return false;
        break;
    }
    *ret_key = key;
    return true;
}

/* --- The walk --- */

bool walk_start(struct walk *walk, struct store *store, const struct scan *scan, struct error *err)
{
    *walk = (struct walk){
        .store = store,
        .scan = scan,
        .states = states_present(&store->tally, filter_exact_smarthost(scan->filter),
                                 filter_states(scan->filter)),
        .end_key = KEY_NONE,
        .window_key = KEY_NONE,
        .cursor_key = scan->cursor_key,
    };
    walk->source = choose_source(walk);
    walk->judges_recipients = needs_recipients(walk);
    filter_accepted_range(scan->filter, scan->now_s, &walk->from_s, &walk->until_s);
    return restrict_to_age(walk, err) && source_start(walk, err);
}

void walk_stop(struct walk *walk)
{
    if (walk->query != NULL)
        query_done(&walk->query);
    walk->query = NULL;
}

bool walk_next(struct walk *walk, int64_t *ret_key, struct error *err)
{
    int64_t key = KEY_PAUSE;
    bool is_match = false;

    do {
        if (!source_next(walk, &key, err))
            return false;
        if (key == KEY_PAUSE || key >= walk->end_key)
            break;
        is_match = !walk->judges_recipients;
        if (walk->judges_recipients && !has_recipient(walk, key, &is_match, err))
            return false;
        walk->cursor_key = key;
    } while (!is_match && walk->examined_count < ROWS_JUDGED);
    walk->is_end = key >= walk->end_key;
    *ret_key = is_match ? key : 0;
    return true;
}
