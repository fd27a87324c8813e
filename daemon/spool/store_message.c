/* Messages as they come in: their rows and their bodies. */
#include "store.h"

#include <stdlib.h>

#include "blob.h"
#include "error.h"
#include "invariant.h"
#include "query.h"

bool store_key_highest(struct store *store, int64_t *ret_key, struct error *err)
{
    return query_number(&store->database, SQL_MESSAGE_KEY_HIGHEST, ret_key, err);
}

bool message_find(struct store *store, const char *id, int64_t uid, int64_t *ret_key,
                  struct error *err)
{
    enum { KEY, UID };
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_MESSAGE_BY_ID);
    bool has_row = false;

    bind_text(query, 1, id);
    if (!query_step(&store->database, query, &has_row, err))
        return false;
    bool is_theirs = has_row && (uid == SPOOL_ANYBODY || sqlite3_column_int64(query, UID) == uid);
    *ret_key = is_theirs ? sqlite3_column_int64(query, KEY) : 0;
    return true;
}

bool body_loosen(struct store *store, int64_t key, bool is_arriving, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_LOOSE_BODY_INSERT);

    bind_int(query, 1, key);
    bind_int(query, 2, is_arriving);
    return query_run(&store->database, query, err);
}

bool body_remove(struct store *store, int64_t key, int64_t chunk_count, struct error *err)
{
    if (chunk_count > CHUNKS_AT_ONCE)
        return body_loosen(store, key, false, err);
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_BODY_DELETE);
    bind_int(query, 1, key);
    return query_run(&store->database, query, err);
}

static bool chunk_insert(struct store *store, int64_t key, uint32_t index, const struct blob *data,
                         struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_CHUNK_INSERT);

    bind_int(query, 1, row_id(key, index));
    bind_bytes(query, 2, blob_data(data), blob_len(data));
    return query_run(&store->database, query, err);
}

/* A piece whose predecessor could not be stored would never be removed. */
static bool body_is_arriving(struct store *store, int64_t key, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_LOOSE_BODY_EXISTS);
    bool has_row = false;

    bind_int(query, 1, key);
    if (!query_step(&store->database, query, &has_row, err))
        return false;
    return has_row || fail(err, ERROR_MISSING, "the beginning of the body is not stored");
}

bool store_chunk_append(struct store *store, struct spool_request *request, struct error *err)
{
    const struct spool_chunk *chunk = (const struct spool_chunk *)request;

    MUST(chunk->index <= UINT16_MAX && blob_len(chunk->data) <= SPOOL_CHUNK_BYTES);
    if (chunk->index > 0 && !body_is_arriving(store, chunk->key, err))
        return false;
    return chunk_insert(store, chunk->key, chunk->index, chunk->data, err) &&
           (chunk->index > 0 || body_loosen(store, chunk->key, true, err));
}

bool store_chunk_read(struct store *store, struct spool_request *request, struct error *err)
{
    struct spool_chunk *chunk = (struct spool_chunk *)request;
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_CHUNK_READ);
    bool has_row = false;

    bind_int(query, 1, row_id(chunk->key, chunk->index));
    if (!query_step(&store->database, query, &has_row, err))
        return false;
    if (!has_row)
        return fail(err, ERROR_MISSING, "the body is gone");
    const void *bytes = sqlite3_column_blob(query, 0);
    chunk->data = blob_copy(bytes, (size_t)sqlite3_column_bytes(query, 0));
    return true;
}

bool store_abandon(struct store *store, struct spool_request *request, struct error *err)
{
    const struct spool_abandon *abandon = (const struct spool_abandon *)request;
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_LOOSE_BODY_ABANDON);

    bind_int(query, 1, abandon->key);
    return query_run(&store->database, query, err);
}

/* A message without one of its pieces must never be acknowledged. */
static bool streamed_is_complete(struct store *store, const struct spool_submit *submit,
                                 struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_CHUNK_COUNT);
    bool has_row = false;

    bind_int(query, 1, submit->key);
    if (!query_step(&store->database, query, &has_row, err))
        return false;
    int64_t count = sqlite3_column_int64(query, 0);
    if (count != submit->chunk_count - 1)
        return fail(err, ERROR_DAMAGED, "%lld pieces of the body are stored instead of %u",
                    (long long)count, submit->chunk_count - 1);
    return true;
}

/* Refused with ERROR_USAGE when the key or the id is taken already. */
static bool message_insert(struct store *store, const struct spool_submit *submit,
                           int64_t accepted_event, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_MESSAGE_INSERT);

    bind_int(query, 1, submit->key);
    bind_text(query, 2, submit->id);
    bind_text(query, 3, submit->sender);
    bind_text(query, 4, submit->header_from);
    bind_text(query, 5, submit->user);
    bind_int(query, 6, submit->uid);
    bind_text(query, 7, submit->tag);
    bind_int(query, 8, submit->accepted_at_ms);
    bind_int(query, 9, submit->size_bytes);
    bind_int(query, 10, submit->is_8bit);
    bind_int(query, 11, submit->needs_smtputf8);
    bind_int(query, 12, submit->chunk_count);
    bind_int(query, 13, (int64_t)submit->recipient_count);
    bind_int(query, 14, accepted_event);
    return query_run(&store->database, query, err);
}

static bool recipients_insert(struct store *store, const struct spool_submit *submit,
                              struct error *err)
{
    for (size_t i = 0; i < submit->recipient_count; i++) {
        const struct spool_new_recipient *recipient = &submit->recipients[i];
        AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_RECIPIENT_INSERT);
        bind_int(query, 1, row_id(submit->key, (unsigned)i));
        bind_text(query, 2, recipient->address);
        bind_text(query, 3, recipient->smarthost);
        bind_text(query, 4, recipient_waiting_name(recipient->waiting));
        bind_int(query, 5, recipient->due_at_s);
        bind_int(query, 6, submit->accepted_at_ms);
        if (!query_run(&store->database, query, err))
            return false;
        tally_add(&store->tally, recipient->smarthost, RECIPIENT_QUEUED, 1);
    }
    return true;
}

static bool loose_body_delete(struct store *store, int64_t key, struct error *err)
{
    AUTO_QUERY sqlite3_stmt *query = query_new(&store->database, SQL_LOOSE_BODY_DELETE);

    bind_int(query, 1, key);
    return query_run(&store->database, query, err);
}

bool store_submit(struct store *store, struct spool_request *request, struct error *err)
{
    const struct spool_submit *submit = (const struct spool_submit *)request;
    bool is_streamed = submit->chunk_count > 1;
    int64_t accepted_event = 0;

    MUST(submit->chunk_count >= 1 && submit->chunk_count - 1 <= UINT16_MAX);
    MUST(submit->recipient_count >= 1 && submit->recipient_count <= SPOOL_RECIPIENTS_MAX);
    return (!is_streamed || streamed_is_complete(store, submit, err)) &&
           event_record_accepted(store, submit, &accepted_event, err) &&
           message_insert(store, submit, accepted_event, err) &&
           recipients_insert(store, submit, err) &&
           chunk_insert(store, submit->key, submit->chunk_count - 1, submit->last_chunk, err) &&
           (!is_streamed || loose_body_delete(store, submit->key, err));
}
