/* A message is read, waits for its chunks to be stored, and is submitted.

     READING --dot--> APPENDING --all chunks stored--> SUBMITTING --answer--> (done)
        |                 '--one was not--> (refused)
        '--client gone--> ABANDONED --last answer--> (forgotten)

   The last request is not posted before the chunks are stored: a message must not be complete without one of them. */
#include "submission.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "cleanup.h"
#include "error.h"
#include "escape.h"
#include "invariant.h"
#include "strbuf.h"
#include "xalloc.h"

#include "clock.h"
#include "config.h"
#include "log.h"
#include "route.h"
#include "spool.h"

#include "access.h"
#include "budget.h"
#include "data_reader.h"
#include "envelope.h"
#include "header_fields.h"
#include "header_pass.h"
#include "refusal.h"
#include "shared.h"
#include "users.h"

enum submission_state {
    SUBMISSION_READING,
    SUBMISSION_APPENDING,
    SUBMISSION_SUBMITTING,
    SUBMISSION_ABANDONED,
};

struct submission {
    struct submission_options options; /* envelope is the one below */
    struct envelope envelope;
    enum submission_state state;
    bool is_detached; /* nobody wants to hear the answer */
    struct budget_waiter waiter;
    struct refusal refusal; /* the first reason; the rest is read and thrown away */

    struct data_reader reader;
    bool is_header_done;
    size_t header_position; /* of header_find_end */
    struct strbuf bytes;    /* the header while it grows; then the chunk in work */

    char id[QUEUE_ID_SIZE];
    struct header_result header; /* its text has moved to bytes */
    bool has_8bit_header;
    int64_t accepted_at_ms;
    int64_t stored_bytes; /* in chunks posted so far */

    int64_t key; /* 0 until the first request */
    uint32_t chunk_count;
    unsigned unanswered_count;
};

struct submission *submission_new(const struct submission_options *options)
{
    struct submission *submission = NEW(struct submission);

    submission->options = *options;
    submission->envelope = *options->envelope;
    envelope_init(options->envelope);
    submission->options.envelope = &submission->envelope;
    (void)config_ref(options->config);
    (void)user_ref(options->user);
    submission->waiter.resume = options->resumed;
    submission->waiter.ctx = options->ctx;
    data_reader_init(&submission->reader, options->config->message_size_max_bytes);
    strbuf_init(&submission->bytes);
    options->shared->submission_count++;
    return submission;
}

static void submission_free(struct submission *submission)
{
    MUST(submission->unanswered_count == 0);
    submission->options.shared->submission_count--;
    budget_cancel(&submission->options.shared->budget, &submission->waiter);
    envelope_done(&submission->envelope);
    strbuf_done(&submission->bytes);
    header_result_done(&submission->header);
    config_unref(submission->options.config);
    user_unref(submission->options.user);
    free(submission);
}

static const char *user_name(const struct submission *submission)
{
    return submission->options.user->answer->name;
}

static struct spool *spool(const struct submission *submission)
{
    return submission->options.shared->options.spool;
}

/* --- The header --- */

/* From of the header counts like the sender: it is what people see (RFC 6409 6.1). */
static bool check_from(struct submission *submission)
{
    const struct access_rule *access = submission->options.access;
    const struct header_result *header = &submission->header;

    if (access == NULL || access->sender_count == 0)
        return true;
    bool is_allowed = header->is_from_readable;
    for (size_t i = 0; i < header->from_count && is_allowed; i++)
        is_allowed = access_allows_sender(access, header->from[i]);
    if (is_allowed)
        return true;
    char rule[80];
    access_describe(access, rule, sizeof rule);
    return refuse(&submission->refusal, 550, "5.7.1",
                  "From is not allowed by the access rule for %s", rule);
}

static void begin_id(struct submission *submission)
{
    submission->accepted_at_ms = clock_wall_ms();
    queue_id_new(submission->id, submission->accepted_at_ms);
}

/* RFC 6532 fields belong to SMTPUTF8. Without it, 8-bit bytes in the header are an old habit that most servers take as
   they take an 8-bit body. */
static bool check_header_8bit(struct submission *submission, size_t header_len)
{
    const char *header = submission->bytes.data;

    submission->has_8bit_header =
        submission->reader.is_8bit && !bytes_are_ascii(header, header_len);
    if (submission->envelope.is_smtputf8 && !utf8_is_valid(header, header_len))
        return refuse(&submission->refusal, 554, "5.6.0", "the header is not valid UTF-8");
    return true;
}

/* The header ends at header_len, the body begins at body (behind the empty line, when there is one). */
static bool pass_header(struct submission *submission, size_t header_len, size_t body)
{
    const struct submission_options *options = &submission->options;
    struct strbuf *bytes = &submission->bytes;

    begin_id(submission);
    const struct header_input input = {
        .header = bytes->data,
        .len = header_len,
        .hostname = options->config->hostname,
        .default_domain = options->config->default_domain,
        .protocol = options->protocol,
        .id = submission->id,
        .user = user_name(submission),
        .full_name = options->user->answer->full_name,
        .uid = options->user->uid,
        .sender = submission->envelope.sender,
        .now_s = submission->accepted_at_ms / 1000,
        .room = bytes->len - header_len,
    };
    if (!check_header_8bit(submission, header_len) ||
        !header_pass(&input, &submission->header, &submission->refusal) || !check_from(submission))
        return false;
    struct strbuf *header = &submission->header.header;
    bool is_header_only = body == header_len && body == bytes->len;
    if (!is_header_only)
        strbuf_append_text(header, "\r\n");
    if (submission->reader.is_8bit)
        submission->reader.is_8bit = !bytes_are_ascii(bytes->data + body, bytes->len - body);
    strbuf_append(header, bytes->data + body, bytes->len - body);
    strbuf_done(bytes);
    *bytes = *header;
    *header = (struct strbuf){ 0 };
    return true;
}

/* Looks for the end of the header; at the end of the message it ends in any case. */
static bool advance_header(struct submission *submission)
{
    size_t header_len = submission->bytes.len;
    size_t body = submission->bytes.len;

    if (submission->is_header_done)
        return true;
    bool is_found = header_find_end(submission->bytes.data, submission->bytes.len,
                                    &submission->header_position, &header_len, &body);
    if (submission->header_position > HEADER_BYTES_MAX)
        return refuse(&submission->refusal, 552, "5.3.4", "header larger than %d bytes",
                      HEADER_BYTES_MAX);
    if (!is_found && !data_reader_is_end(&submission->reader))
        return true;
    submission->is_header_done = true;
    return pass_header(submission, header_len, body);
}

/* --- Chunks --- */

static void submit(struct submission *submission);
static void finish(struct submission *submission);

static void after_answer(struct submission *submission)
{
    submission->unanswered_count--;
    if (submission->unanswered_count > 0)
        return;
    if (submission->state == SUBMISSION_ABANDONED)
        submission_free(submission);
    else if (submission->state == SUBMISSION_APPENDING && refusal_is_set(&submission->refusal))
        finish(submission);
    else if (submission->state == SUBMISSION_APPENDING)
        submit(submission);
}

static void refuse_for(struct submission *submission, const struct error *err)
{
    if (!refusal_is_set(&submission->refusal))
        log_event(LOG_LEVEL_WARNING, submission->id, "not-stored", "reason", err->text, NULL);
    if (err->code == ERROR_FULL)
        (void)refuse(&submission->refusal, 452, "4.3.1", "no space left: try again later");
    else
        (void)refuse(&submission->refusal, 451, "4.3.0", "the message could not be stored");
}

static void on_appended(struct spool_request *request)
{
    struct spool_chunk *chunk = (struct spool_chunk *)request;
    struct submission *submission = request->ctx;
    struct intake_shared *shared = submission->options.shared;
    struct user *user = user_ref(submission->options.user);
    size_t len = blob_len(chunk->data);

    if (!request->is_ok)
        refuse_for(submission, &request->error);
    spool_chunk_free(chunk);
    after_answer(submission);
    budget_give_back(&shared->budget, user, len);
    user_unref(user);
}

static void make_key(struct submission *submission)
{
    if (submission->key == 0)
        submission->key = spool_message_key_new(spool(submission));
}

/* The first len bytes leave as a blob. Returns, caller unreferences. */
static struct blob *cut_blob(struct submission *submission, size_t len)
{
    size_t whole = 0;
    char *data = strbuf_take(&submission->bytes, &whole);

    strbuf_append(&submission->bytes, data + len, whole - len);
    struct blob *blob = blob_new(xrealloc(data, len + 1, 1), len); /* gives the slack back */
    submission->stored_bytes += (int64_t)len;
    submission->chunk_count++;
    budget_take(&submission->options.shared->budget, submission->options.user, len);
    return blob;
}

static void post_chunk(struct submission *submission)
{
    uint32_t number = submission->chunk_count;

    make_key(submission);
    struct spool_chunk *chunk =
        spool_chunk_new(submission->key, number, cut_blob(submission, SPOOL_CHUNK_BYTES));
    chunk->request.reply_to = submission->options.shared->options.mailbox;
    chunk->request.done = on_appended;
    chunk->request.ctx = submission;
    submission->unanswered_count++;
    spool_chunk_append(spool(submission), chunk);
}

/* Nothing of it will be wanted. */
static void forget_message(struct submission *submission)
{
    if (submission->key != 0)
        spool_message_abandon(spool(submission), submission->key);
    submission->key = 0;
    strbuf_clear(&submission->bytes);
}

size_t submission_feed(struct submission *submission, const char *bytes, size_t len)
{
    struct budget *budget = &submission->options.shared->budget;
    struct data_reader *reader = &submission->reader;

    MUST(submission->state == SUBMISSION_READING);
    if (!refusal_is_set(&submission->refusal) &&
        budget_is_used_up(budget, submission->options.user)) {
        budget_wait(budget, &submission->waiter);
        return 0;
    }
    size_t used = data_reader_feed(reader, bytes, len, &submission->bytes);
    bool is_fine = data_reader_check(reader, &submission->refusal) &&
                   !refusal_is_set(&submission->refusal) && advance_header(submission);
    if (!is_fine) {
        forget_message(submission);
        return used;
    }
    /* The last piece, full or not, waits for the dot: it travels with the submission. */
    while (submission->is_header_done && submission->bytes.len > SPOOL_CHUNK_BYTES)
        post_chunk(submission);
    return used;
}

bool submission_is_held(const struct submission *submission)
{
    return submission->waiter.is_waiting;
}

bool submission_is_complete(const struct submission *submission)
{
    return data_reader_is_end(&submission->reader);
}

/* --- The end --- */

/* Says how it ended, to the session if it is still there. */
static void finish(struct submission *submission)
{
    bool is_refused = refusal_is_set(&submission->refusal);

    if (is_refused)
        forget_message(submission);
    if (!submission->is_detached)
        submission->options.done(submission->id, is_refused ? &submission->refusal : NULL,
                                 submission->options.ctx);
    submission_free(submission);
}

/* The answers to a whole group come together: all clients of it hear their 250 before the log and the dispatcher do. */
static void announce_later(struct intake_shared *shared, struct spool_submit *message)
{
    STAILQ_INSERT_TAIL(&shared->accepted, &message->request.mail, link);
    event_active(shared->announcer, 0, 0);
}

static void on_submitted(struct spool_request *request)
{
    struct spool_submit *message = (struct spool_submit *)request;
    struct submission *submission = request->ctx;
    struct intake_shared *shared = submission->options.shared;
    struct user *user = user_ref(submission->options.user);
    size_t len = blob_len(message->last_chunk);

    submission->unanswered_count--;
    if (request->is_ok) {
        shared->counts.accepted++;
        announce_later(shared, message);
    } else {
        refuse_for(submission, &request->error);
        spool_submit_free(message);
    }
    finish(submission);
    budget_give_back(&shared->budget, user, len);
    user_unref(user);
}

static void fill_recipients(struct submission *submission, struct spool_submit *message)
{
    const struct config *config = submission->options.config;
    struct route_question question = {
        .sender = message->sender,
        .user = message->user,
        .groups = submission->options.user->groups,
        .tag = message->tag,
    };

    for (size_t i = 0; i < message->recipient_count; i++) {
        struct spool_new_recipient *recipient = &message->recipients[i];
        recipient->address = TAKE(submission->envelope.recipients[i]);
        question.recipient = recipient->address;
        const struct route *route = route_choose(config->routes, config->route_count, &question);
        MUST(route != NULL && route->smarthost_count > 0);
        recipient->smarthost = xstrdup(config->smarthosts[route->smarthosts[0]].name);
        recipient->due_at_s = message->accepted_at_ms / 1000;
        recipient->waiting = WAITING_NOW;
    }
}

static void submit(struct submission *submission)
{
    struct spool_submit *message = spool_submit_new(submission->envelope.recipient_count);
    struct header_result *header = &submission->header;
    size_t last_len = submission->bytes.len;

    make_key(submission);
    message->request.reply_to = submission->options.shared->options.mailbox;
    message->request.done = on_submitted;
    message->request.ctx = submission;
    message->key = submission->key;
    (void)memcpy(message->id, submission->id, sizeof message->id);
    message->sender = TAKE(submission->envelope.sender);
    message->header_from = xstrdup(header->from_count > 0 ? header->from[0] : "");
    message->user = xstrdup(user_name(submission));
    message->uid = submission->options.user->uid;
    message->tag = TAKE(header->tag);
    message->accepted_at_ms = submission->accepted_at_ms;
    message->last_chunk = cut_blob(submission, last_len);
    message->size_bytes = submission->stored_bytes;
    message->chunk_count = submission->chunk_count;
    message->needs_smtputf8 = submission->envelope.has_8bit_address ||
                              (submission->envelope.is_smtputf8 && submission->has_8bit_header);
    message->is_8bit = submission->reader.is_8bit ||
                       (submission->has_8bit_header && !submission->envelope.is_smtputf8);
    fill_recipients(submission, message);
    submission->state = SUBMISSION_SUBMITTING;
    submission->unanswered_count++;
    spool_message_submit(spool(submission), message);
}

bool submission_commit(struct submission *submission, struct refusal *ret_refusal)
{
    MUST(submission_is_complete(submission));
    if (refusal_is_set(&submission->refusal)) {
        *ret_refusal = submission->refusal;
        submission_detach(submission);
        return false;
    }
    submission->accepted_at_ms = clock_wall_ms();
    if (submission->unanswered_count > 0)
        submission->state = SUBMISSION_APPENDING;
    else
        submit(submission);
    return true;
}

void submission_detach(struct submission *submission)
{
    if (submission == NULL)
        return;
    submission->is_detached = true;
    if (submission->state != SUBMISSION_READING)
        return; /* complete: accepted if the spool says so */
    forget_message(submission);
    submission->state = SUBMISSION_ABANDONED;
    budget_cancel(&submission->options.shared->budget, &submission->waiter);
    if (submission->unanswered_count == 0)
        submission_free(submission);
}
