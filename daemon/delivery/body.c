/* Bodies: the stuffer, and the pump from chunks to the output. */
#include "body.h"

#include <string.h>

#include "blob.h"
#include "cleanup.h"
#include "invariant.h"
#include "strbuf.h"

bool dot_stuffer_run(struct dot_stuffer *stuffer, const char *bytes, size_t len, char *ret_bytes,
                     size_t *ret_len)
{
    const char *end = bytes + len;
    const char *copied = bytes; /* up to here; many lines at a time, for few begin with a dot */
    const char *p = bytes;
    char *out = ret_bytes;

    while (p < end) {
        if (stuffer->is_after_cr) {
            if (*p++ != '\n')
                return false;
            *stuffer = (struct dot_stuffer){ 0 };
            continue;
        }
        if (!stuffer->is_within_line && *p == '.') {
            out = mempcpy(out, copied, (size_t)(p - copied));
            *out++ = '.';
            copied = p;
        }
        const char *cr = memchr(p, '\r', (size_t)(end - p));
        const char *run_end = cr != NULL ? cr : end;
        if (memchr(p, '\n', (size_t)(run_end - p)) != NULL)
            return false;
        stuffer->is_within_line = true;
        stuffer->is_after_cr = cr != NULL;
        p = cr != NULL ? cr + 1 : end;
    }
    out = mempcpy(out, copied, (size_t)(end - copied));
    *ret_len = (size_t)(out - ret_bytes);
    return true;
}

bool dot_stuffer_end(struct dot_stuffer *stuffer, char ret_bytes[DOT_STUFFER_END_MAX],
                     size_t *ret_len)
{
    static const char end[DOT_STUFFER_END_MAX] = { '\r', '\n', '.', '\r', '\n' };
    size_t from = stuffer->is_within_line ? 0 : 2;

    if (stuffer->is_after_cr)
        return false;
    *ret_len = sizeof end - from;
    (void)memcpy(ret_bytes, end + from, *ret_len);
    return true;
}

void body_begin(struct body *body, uint32_t chunk_count, struct blob *whole)
{
    *body = (struct body){ .chunk_count = chunk_count };
    if (whole == NULL)
        return;
    MUST(chunk_count == 1);
    body->current = blob_ref(whole);
    body->arrived = 1;
}

void body_end(struct body *body)
{
    blob_unref(TAKE(body->current));
    blob_unref(TAKE(body->next));
}

bool body_wants(struct body *body, uint32_t *ret_index)
{
    if (body->is_asked || body->next != NULL || body->arrived >= body->chunk_count)
        return false;
    body->is_asked = true;
    *ret_index = body->arrived;
    return true;
}

void body_chunk(struct body *body, struct blob *chunk)
{
    MUST(body->is_asked && body->next == NULL);
    body->is_asked = false;
    body->arrived++;
    if (body->current == NULL)
        body->current = chunk;
    else
        body->next = chunk;
}

/* With room to spare, so that adding the end of a small message moves nothing. */
static bool add_slice(struct body *body, struct strbuf *output)
{
    size_t len = blob_len(body->current) - body->offset;
    size_t added = 0;

    if (len > BODY_SLICE_MAX)
        len = BODY_SLICE_MAX;
    strbuf_reserve(output, dot_stuffer_room(len) + DOT_STUFFER_END_MAX);
    if (!dot_stuffer_run(&body->stuffer, blob_data(body->current) + body->offset, len,
                         output->data + output->len, &added))
        return false;
    body->offset += len;
    output->len += added;
    output->data[output->len] = '\0';
    return true;
}

static enum body_status finish(struct body *body, struct strbuf *output,
                               void (*before_end)(void *ctx), void *ctx)
{
    char end[DOT_STUFFER_END_MAX];
    size_t len = 0;

    if (!dot_stuffer_end(&body->stuffer, end, &len))
        return BODY_DAMAGED;
    before_end(ctx);
    strbuf_append(output, end, len);
    return BODY_DONE;
}

enum body_status body_fill(struct body *body, struct strbuf *output, void (*before_end)(void *ctx),
                           void *ctx)
{
    for (;;) {
        if (body->current != NULL && body->offset == blob_len(body->current)) {
            blob_unref(body->current);
            body->current = TAKE(body->next);
            body->offset = 0;
        }
        if (body->current == NULL && body->arrived >= body->chunk_count)
            return finish(body, output, before_end, ctx);
        if (output->len > BODY_QUEUED_MAX)
            return BODY_FULL;
        if (body->current == NULL)
            return BODY_HUNGRY;
        if (!add_slice(body, output))
            return BODY_DAMAGED;
    }
}
