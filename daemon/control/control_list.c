/* list, mailq, show, raw: messages as the spool's pages bring them. */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "blob.h"
#include "cleanup.h"
#include "error.h"
#include "escape.h"
#include "strbuf.h"
#include "units.h"
#include "when.h"
#include "xalloc.h"

#include "dispatcher.h"
#include "filter.h"
#include "spool.h"

#include "connection.h"
#include "message_json.h"
#include "request.h"

enum { PAGE_MESSAGES = 100 };

typedef void write_message_fn(struct control_request *request, const struct spool_row *rows,
                              size_t count);

struct listing {
    struct spool_list *list;
    write_message_fn *write;
    int64_t rest; /* messages that may still be shown; -1: any number */
    int64_t count;
    control_found_fn *found; /* of control_find */
};

static struct json_context context_of(const struct control_request *request)
{
    return (struct json_context){ request->host->dispatcher, dispatcher_lane_find,
                                  request->now_ms / 1000 };
}

static void listing_free(void *state)
{
    struct listing *listing = state;

    spool_list_free(listing->list);
    free(listing);
}

/* --- list, mailq --- */

static void write_json(struct control_request *request, const struct spool_row *rows, size_t count)
{
    struct json_context context = context_of(request);

    control_answer(request, json_pack("{s:o}", "message", message_json(rows, count, &context)));
}

/* Three lines a message, in the manner that readers of mailq(1) expect: id, size, time, sender; reply; recipients. */
static void write_text(struct control_request *request, const struct spool_row *rows, size_t count)
{
    char when[WHEN_RFC3339_SIZE];
    AUTO_STRBUF struct strbuf text;

    strbuf_init(&text);
    when_format_rfc3339(when, rows[0].accepted_at_ms / 1000);
    strbuf_append_format(&text, "%s %9lld %s ", rows[0].id, (long long)rows[0].size_bytes, when);
    strbuf_append_char(&text, '<');
    escape_append(&text, rows[0].sender, strlen(rows[0].sender));
    strbuf_append_text(&text, ">\n");
    for (size_t i = 0; i < count; i++) {
        if (recipient_state_is_final(rows[i].state))
            continue;
        if (rows[i].reply != NULL && rows[i].code != 0)
            strbuf_append_format(&text, "    (%d %s)\n", rows[i].code, rows[i].reply);
        else if (rows[i].reply != NULL)
            strbuf_append_format(&text, "    (%s)\n", rows[i].reply);
        strbuf_append_format(&text, "    %-8s ", recipient_state_name(rows[i].state));
        escape_append(&text, rows[i].address, strlen(rows[i].address));
        strbuf_append_char(&text, '\n');
    }
    strbuf_append_char(&text, '\n');
    control_answer_raw(request, (int64_t)text.len);
    control_answer_bytes(request, text.data, text.len);
}

static void write_page(struct control_request *request, struct listing *listing)
{
    const struct spool_list *list = listing->list;

    for (size_t at = 0; at < list->row_count && listing->rest != 0;) {
        size_t count = message_row_count(list->rows + at, list->row_count - at);
        listing->write(request, list->rows + at, count);
        listing->count++;
        listing->rest -= listing->rest > 0 ? 1 : 0;
        at += count;
    }
}

static void on_page(struct control_request *request);

static void next_page(struct control_request *request)
{
    struct listing *listing = request->state;

    spool_list_clear(listing->list);
    control_expect(request, &listing->list->request, on_page);
    spool_list_read(request->host->spool, listing->list);
}

static void on_page(struct control_request *request)
{
    struct listing *listing = request->state;

    if (!listing->list->request.is_ok) {
        control_refuse_spool(request, &listing->list->request);
        return;
    }
    write_page(request, listing);
    if (listing->list->is_end || listing->rest == 0)
        control_end(request, EX_OK, json_pack("{s:I}", "count", (json_int_t)listing->count));
    else
        control_when_drained(request, next_page);
}

static struct listing *listing_new(struct control_request *request, struct filter *filter,
                                   unsigned page)
{
    struct listing *listing = NEW(struct listing);

    listing->list = spool_list_new(filter, control_scope(request), request->now_ms / 1000, page);
    listing->rest = -1;
    control_state_set(request, listing, listing_free);
    return listing;
}

static void start_listing(struct control_request *request, write_message_fn *write)
{
    int64_t limit = control_number(request, "limit", 0);
    bool is_short = limit > 0 && limit < PAGE_MESSAGES;
    struct listing *listing =
        listing_new(request, request->filter, is_short ? (unsigned)limit : PAGE_MESSAGES);

    listing->write = write;
    if (limit > 0)
        listing->rest = limit;
    next_page(request);
}

void control_list(struct control_request *request)
{
    start_listing(request, write_json);
}

void control_mailq(struct control_request *request)
{
    start_listing(request, write_text);
}

/* --- One message --- */

static void on_find_page(struct control_request *request);

static void find_further(struct control_request *request)
{
    struct listing *listing = request->state;

    spool_list_clear(listing->list);
    control_expect(request, &listing->list->request, on_find_page);
    spool_list_read(request->host->spool, listing->list);
}

static void refuse_missing(struct control_request *request)
{
    control_refuse(request, EX_NOINPUT, "no such message");
}

static void on_find_page(struct control_request *request)
{
    struct listing *listing = request->state;
    const struct spool_list *list = listing->list;

    if (!list->request.is_ok)
        control_refuse_spool(request, &list->request);
    else if (list->row_count > 0)
        listing->found(request, list->rows, message_row_count(list->rows, list->row_count));
    else if (list->is_end)
        refuse_missing(request);
    else
        find_further(request);
}

void control_find(struct control_request *request, control_found_fn *found)
{
    const char *id = control_argument(request, "id");
    struct error err;

    if (id == NULL) {
        control_refuse(request, EX_USAGE, "the id of a message is needed");
        return;
    }
    if (!queue_id_is_plausible(id)) {
        refuse_missing(request);
        return;
    }
    AUTO_FREE char *term = xasprintf("id=%s", id);
    const char *terms[] = { term };
    filter_free(request->filter);
    request->filter = filter_new(terms, 1, &err);
    if (request->filter == NULL) {
        refuse_missing(request);
        return;
    }
    listing_new(request, request->filter, 1)->found = found;
    find_further(request);
}

static void on_show_found(struct control_request *request, const struct spool_row *rows,
                          size_t count)
{
    write_json(request, rows, count);
    control_end(request, EX_OK, NULL);
}

void control_show(struct control_request *request)
{
    control_find(request, on_show_found);
}

/* --- raw --- */

struct raw {
    struct spool_chunk *chunk;
    uint32_t chunk_count;
    int64_t size_bytes;
    int64_t sent_bytes;
};

static void raw_free(void *state)
{
    struct raw *raw = state;

    spool_chunk_free(raw->chunk);
    free(raw);
}

static void on_chunk(struct control_request *request);

static void next_chunk(struct control_request *request)
{
    struct raw *raw = request->state;

    blob_unref(raw->chunk->data);
    raw->chunk->data = NULL;
    control_expect(request, &raw->chunk->request, on_chunk);
    spool_chunk_read(request->host->spool, raw->chunk);
}

static void on_chunk(struct control_request *request)
{
    struct raw *raw = request->state;
    const struct blob *data = raw->chunk->data;
    bool is_ok = raw->chunk->request.is_ok && data != NULL;
    int64_t len = is_ok ? (int64_t)blob_len(data) : 0;

    if (!is_ok || len > raw->size_bytes - raw->sent_bytes) {
        if (raw->chunk->index > 0)
            control_cut(request); /* it may have been removed meanwhile */
        else
            control_refuse(request, EX_NOINPUT, "the text of this message is not kept any more");
        return;
    }
    if (raw->chunk->index == 0)
        control_answer_raw(request, raw->size_bytes);
    control_answer_bytes(request, blob_data(data), (size_t)len);
    raw->sent_bytes += len;
    raw->chunk->index++;
    if (raw->chunk->index < raw->chunk_count)
        control_when_drained(request, next_chunk);
    else if (raw->sent_bytes == raw->size_bytes)
        control_end(request, EX_OK, NULL);
    else
        control_cut(request);
}

static void on_raw_found(struct control_request *request, const struct spool_row *rows,
                         size_t count)
{
    (void)count;
    if (!rows[0].has_body || rows[0].chunk_count == 0) {
        control_refuse(request, EX_NOINPUT, "the text of this message is not kept any more");
        return;
    }
    struct raw *raw = NEW(struct raw);
    raw->chunk = spool_chunk_new(rows[0].key, 0, NULL);
    raw->chunk_count = rows[0].chunk_count;
    raw->size_bytes = rows[0].size_bytes;
    control_state_set(request, raw, raw_free);
    next_chunk(request);
}

void control_raw(struct control_request *request)
{
    control_find(request, on_raw_found);
}
