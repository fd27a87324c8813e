/* Listings: reads whole the messages that a walk finds, a bounded number of recipients at a time. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "filter.h"
#include "query.h"
#include "store_walk.h"
#include "xalloc.h"

/* --- One message --- */

/* Columns of list_message. */
enum list_column {
    LIST_ID,
    LIST_QUEUE_ID,
    LIST_SENDER,
    LIST_USER,
    LIST_UID,
    LIST_TAG,
    LIST_ACCEPTED_AT,
    LIST_SIZE,
    LIST_HAS_BODY,
    LIST_CHUNK_COUNT,
    LIST_ADDRESS,
    LIST_SMARTHOST,
    LIST_STATE,
    LIST_WAITING,
    LIST_ATTEMPTS,
    LIST_DUE_AT,
    LIST_CLASS,
    LIST_CODE,
    LIST_ENHANCED,
    LIST_REPLY,
    LIST_STAGE,
    LIST_CHANGED_AT,
};

static enum recipient_waiting waiting_named(const char *name)
{
    for (int waiting = WAITING_NONE + 1; name != NULL && waiting < WAITING_COUNT; waiting++)
        if (strcmp(recipient_waiting_name((enum recipient_waiting)waiting), name) == 0)
            return (enum recipient_waiting)waiting;
    return WAITING_NONE;
}

void spool_row_done(struct spool_row *row)
{
    free(row->sender);
    free(row->user);
    free(row->tag);
    free(row->address);
    free(row->smarthost);
    free(row->class);
    free(row->enhanced);
    free(row->reply);
    free(row->stage);
}

static struct spool_row row_read(sqlite3_stmt *query, enum recipient_state state)
{
    int64_t id = sqlite3_column_int64(query, LIST_ID);
    struct spool_row row = {
        .key = id >> ID_SHIFT,
        .sender = column_text_copy(query, LIST_SENDER),
        .user = column_text_copy(query, LIST_USER),
        .uid = (uid_t)sqlite3_column_int64(query, LIST_UID),
        .tag = column_text_copy(query, LIST_TAG),
        .accepted_at_ms = sqlite3_column_int64(query, LIST_ACCEPTED_AT),
        .size_bytes = sqlite3_column_int64(query, LIST_SIZE),
        .has_body = sqlite3_column_int64(query, LIST_HAS_BODY) != 0,
        .chunk_count = (uint32_t)sqlite3_column_int64(query, LIST_CHUNK_COUNT),
        .number = (uint16_t)(id & UINT16_MAX),
        .address = column_text_copy(query, LIST_ADDRESS),
        .smarthost = column_text_copy(query, LIST_SMARTHOST),
        .state = state,
        .waiting = waiting_named(column_text(query, LIST_WAITING)),
        .attempts = (unsigned)sqlite3_column_int64(query, LIST_ATTEMPTS),
        .due_at_s = sqlite3_column_int64(query, LIST_DUE_AT),
        .class = column_text_copy(query, LIST_CLASS),
        .code = sqlite3_column_int(query, LIST_CODE),
        .enhanced = column_text_copy(query, LIST_ENHANCED),
        .reply = column_text_copy(query, LIST_REPLY),
        .stage = column_text_copy(query, LIST_STAGE),
        .changed_at_ms = sqlite3_column_int64(query, LIST_CHANGED_AT),
    };

    (void)strncpy(row.id, column_text(query, LIST_QUEUE_ID), sizeof row.id - 1);
    return row;
}

static bool row_matches(const struct scan *scan, const struct spool_row *row)
{
    const struct filter_row view = {
        .id = row->id,
        .sender = row->sender,
        .recipient = row->address,
        .smarthost = row->smarthost,
        .state = row->state,
        .class = row->class,
        .user = row->user,
        .tag = row->tag,
        .accepted_at_s = row->accepted_at_ms / 1000,
        .size_bytes = row->size_bytes,
        .attempts = row->attempts,
    };

    return filter_matches(scan->filter, &view, scan->now_s);
}

static void row_add(struct scan *scan, struct spool_row row)
{
    size_t count = scan->row_count;

    if ((count & (count - 1)) == 0) { /* doubles at each power of two */
        size_t capacity = count > 0 ? 2 * count : 1;
        scan->rows = xrealloc(scan->rows, capacity, sizeof *scan->rows);
        scan->is_match = xrealloc(scan->is_match, capacity, sizeof *scan->is_match);
    }
    scan->rows[count] = row;
    scan->is_match[count] = row_matches(scan, &row);
    scan->row_count++;
}

/* Adds the rows of a message if one of them matches. */
static bool message_scan(struct store *store, struct scan *scan, int64_t key,
                         unsigned *ret_examined, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_LIST_MESSAGE);
    size_t first = scan->row_count;
    bool has_match = false;
    bool has_row = true;
    enum recipient_state state = RECIPIENT_QUEUED;

    bind_int(query, 1, key);
    for (*ret_examined = 0;; (*ret_examined)++) {
        if (!query_step(&store->database, query, &has_row, err))
            return false;
        if (!has_row)
            break;
        if (scan->uid != SPOOL_ANYBODY && sqlite3_column_int64(query, LIST_UID) != scan->uid)
            break;
        if (!recipient_state_parse(column_text(query, LIST_STATE), &state))
            return fail(err, ERROR_DAMAGED, "unknown state %s", column_text(query, LIST_STATE));
        row_add(scan, row_read(query, state));
        has_match = has_match || scan->is_match[scan->row_count - 1];
    }
    if (has_match)
        scan->message_count++;
    for (; !has_match && scan->row_count > first; scan->row_count--)
        spool_row_done(&scan->rows[scan->row_count - 1]);
    return true;
}

bool scan_step(struct store *store, struct scan *scan, struct error *err)
{
    CLEANUP(walk_stop) struct walk walk = { 0 };
    unsigned examined = 0;

    if (!walk_start(&walk, store, scan, err))
        return false;
    while (examined < scan->examined_max && scan->message_count < scan->message_limit) {
        unsigned count = 0;
        int64_t key = 0;
        if (!walk_next(&walk, &key, err))
            return false;
        scan->cursor_key = walk.cursor_key;
        scan->is_end = walk.is_end;
        if (key == 0)
            return true;
        if (!message_scan(store, scan, key, &count, err))
            return false;
        examined += count > 0 ? count : 1;
    }
    return true;
}

bool store_list(struct store *store, struct spool_request *request, struct error *err)
{
    struct spool_list *list = (struct spool_list *)request;
    struct scan scan = {
        .filter = list->filter,
        .uid = list->uid,
        .now_s = list->now_s,
        .cursor_key = list->cursor_key,
        .message_limit = list->message_limit,
        .examined_max = ROWS_EXAMINED,
    };

    spool_list_clear(list);
    bool is_ok = scan_step(store, &scan, err);
    list->rows = scan.rows;
    list->row_count = scan.row_count;
    list->cursor_key = scan.cursor_key;
    list->is_end = scan.is_end;
    free(scan.is_match);
    return is_ok;
}
