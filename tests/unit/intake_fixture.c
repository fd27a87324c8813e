/* Starts and drives the intake for tests. Requests to the spool pass through here (linked with --wrap). */
#include "intake_fixture.h"

#include <stdarg.h>
#include <setjmp.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <event2/event.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "blob.h"
#include "cleanup.h"
#include "strbuf.h"
#include "xalloc.h"

#include "clock.h"
#include "config.h"
#include "intake.h"
#include "log.h"
#include "mailbox.h"
#include "resolver.h"
#include "spool.h"

/* --- Between intake and spool --- */

void __real_spool_message_submit(struct spool *spool, struct spool_submit *submit);
void __real_spool_chunk_append(struct spool *spool, struct spool_chunk *chunk);
void __wrap_spool_message_submit(struct spool *spool, struct spool_submit *submit);
void __wrap_spool_chunk_append(struct spool *spool, struct spool_chunk *chunk);

static struct {
    unsigned count;
    int error_code;
} faults[2];

struct held {
    STAILQ_ENTRY(held) link;
    struct spool *spool;
    struct spool_submit *submit; /* or */
    struct spool_chunk *chunk;
};

static STAILQ_HEAD(, held) held_requests = STAILQ_HEAD_INITIALIZER(held_requests);
static bool is_held;
static size_t held_count;

static void on_fault(struct mail *mail)
{
    struct spool_request *request = (struct spool_request *)mail;

    request->done(request);
}

static bool strike(enum fixture_fault fault, struct spool_request *request)
{
    if (faults[fault].count == 0)
        return false;
    faults[fault].count--;
    request->is_ok = false;
    request->error =
        (struct error){ .code = (enum error_code)faults[fault].error_code, .text = "by the test" };
    request->mail.on_arrival = on_fault;
    mailbox_post(request->reply_to, &request->mail);
    return true;
}

static void hold(struct spool *spool, struct spool_submit *submit, struct spool_chunk *chunk)
{
    struct held *held = NEW(struct held);

    held->spool = spool;
    held->submit = submit;
    held->chunk = chunk;
    held_count++;
    STAILQ_INSERT_TAIL(&held_requests, held, link);
}

void __wrap_spool_message_submit(struct spool *spool, struct spool_submit *submit)
{
    if (strike(FAULT_SUBMIT, &submit->request))
        return;
    if (is_held)
        hold(spool, submit, NULL);
    else
        __real_spool_message_submit(spool, submit);
}

void __wrap_spool_chunk_append(struct spool *spool, struct spool_chunk *chunk)
{
    if (strike(FAULT_CHUNK, &chunk->request))
        return;
    if (is_held)
        hold(spool, NULL, chunk);
    else
        __real_spool_chunk_append(spool, chunk);
}

void fixture_fail_next(enum fixture_fault fault, unsigned count, int error_code)
{
    faults[fault].count = count;
    faults[fault].error_code = error_code;
}

void fixture_hold_spool(void)
{
    is_held = true;
}

size_t fixture_held_count(void)
{
    return held_count;
}

void fixture_release_spool(void)
{
    is_held = false;
    held_count = 0;
    while (!STAILQ_EMPTY(&held_requests)) {
        AUTO_FREE struct held *held = STAILQ_FIRST(&held_requests);
        STAILQ_REMOVE_HEAD(&held_requests, link);
        if (held->submit != NULL)
            __real_spool_message_submit(held->spool, held->submit);
        else
            __real_spool_chunk_append(held->spool, held->chunk);
    }
}

/* --- Between intake and resolver --- */

void __real_resolver_user(struct resolver *resolver, uid_t uid, struct mailbox *reply_to,
                          resolver_user_fn *done, void *ctx);
void __wrap_resolver_user(struct resolver *resolver, uid_t uid, struct mailbox *reply_to,
                          resolver_user_fn *done, void *ctx);

static bool is_resolver_held;
static struct { /* one is enough: a user is asked for once at a time */
    struct resolver *resolver;
    uid_t uid;
    struct mailbox *reply_to;
    resolver_user_fn *done;
    void *ctx;
} held_question;

void __wrap_resolver_user(struct resolver *resolver, uid_t uid, struct mailbox *reply_to,
                          resolver_user_fn *done, void *ctx)
{
    if (!is_resolver_held) {
        __real_resolver_user(resolver, uid, reply_to, done, ctx);
        return;
    }
    assert_null(held_question.resolver);
    held_question.resolver = resolver;
    held_question.uid = uid;
    held_question.reply_to = reply_to;
    held_question.done = done;
    held_question.ctx = ctx;
}

void fixture_hold_resolver(void)
{
    is_resolver_held = true;
}

void fixture_release_resolver(void)
{
    is_resolver_held = false;
    if (held_question.resolver != NULL)
        __real_resolver_user(TAKE(held_question.resolver), held_question.uid,
                             held_question.reply_to, held_question.done, held_question.ctx);
}

/* --- The server --- */

static void forget_last(struct fixture *fixture)
{
    struct accepted_message *last = &fixture->last;

    free(last->sender);
    free(last->header_from);
    free(last->tag);
    for (size_t i = 0; i < last->recipient_count; i++) {
        free(last->recipients[i]);
        free(last->smarthosts[i]);
    }
    free(last->recipients);
    free(last->smarthosts);
    free(last->body);
    *last = (struct accepted_message){ 0 };
}

static void on_accepted(const struct spool_submit *submit, void *ctx)
{
    struct fixture *fixture = ctx;
    struct accepted_message *last = &fixture->last;

    if (fixture->accepted_hook != NULL)
        fixture->accepted_hook(fixture->accepted_ctx);
    forget_last(fixture);
    fixture->accepted_count++;
    (void)snprintf(last->id, sizeof last->id, "%s", submit->id);
    last->sender = xstrdup(submit->sender);
    last->header_from = xstrdup(submit->header_from);
    last->tag = xstrdup_or_null(submit->tag);
    last->recipient_count = submit->recipient_count;
    last->recipients = xcalloc(submit->recipient_count, sizeof *last->recipients);
    last->smarthosts = xcalloc(submit->recipient_count, sizeof *last->smarthosts);
    for (size_t i = 0; i < submit->recipient_count; i++) {
        last->recipients[i] = xstrdup(submit->recipients[i].address);
        last->smarthosts[i] = xstrdup(submit->recipients[i].smarthost);
    }
    last->body_len = blob_len(submit->last_chunk);
    last->body = xcalloc(last->body_len + 1, 1);
    (void)memcpy(last->body, blob_data(submit->last_chunk), last->body_len);
    last->key = submit->key;
    last->size_bytes = submit->size_bytes;
    last->chunk_count = submit->chunk_count;
    last->is_8bit = submit->is_8bit;
    last->needs_smtputf8 = submit->needs_smtputf8;
}

static void on_complaint(const char *text, bool is_warning, void *ctx)
{
    (void)ctx;
    if (!is_warning)
        print_error("%s\n", text);
}

static const struct config *load_config(const struct fixture *fixture, const char *more)
{
    AUTO_FREE char *path = xasprintf("%s/outbox.conf", fixture->directory);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    (void)fprintf(file,
                  "hostname = \"host.example\";\ndefault-domain = \"default.example\";\n"
                  "state-directory = \"%s/state\";\nruntime-directory = \"%s/run\";\n"
                  "smarthosts = { one = { host = \"127.0.0.1\"; tls = \"none\"; };"
                  " two = { host = \"127.0.0.1\"; tls = \"none\"; }; };\n%s\n",
                  fixture->directory, fixture->directory, more);
    assert_int_equal(fclose(file), 0);
    const struct config *config = config_load(path, on_complaint, NULL);
    assert_non_null(config);
    return config;
}

static void on_guard(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
}

void fixture_open(struct fixture *fixture, const char *config, int64_t idle_ms)
{
    struct error err = { 0 };

    *fixture = (struct fixture){ .directory = "/tmp/outbox-intake-XXXXXX" };
    fixture->warnings_before = log_warning_count();
    assert_non_null(mkdtemp(fixture->directory));
    fixture->config = load_config(fixture, config);
    fixture->base = event_base_new();
    fixture->guard = event_new(fixture->base, -1, EV_PERSIST, on_guard, NULL);
    (void)event_add(fixture->guard, &(struct timeval){ .tv_usec = 100 * 1000 });
    fixture->mailbox = mailbox_new(fixture->base, NULL, NULL);
    assert_non_null(fixture->mailbox);
    fixture->aside_base = event_base_new();
    fixture->aside_mailbox = mailbox_new(fixture->aside_base, NULL, NULL);
    assert_non_null(fixture->aside_mailbox);
    fixture->spool = spool_start(fixture->config->state_directory, &err);
    if (fixture->spool == NULL)
        fail_msg("%s", err.text);
    fixture->resolver = resolver_start(1, &err);
    assert_non_null(fixture->resolver);
    const struct intake_options options = {
        .base = fixture->base,
        .mailbox = fixture->mailbox,
        .spool = fixture->spool,
        .resolver = fixture->resolver,
        .config = fixture->config,
        .accepted = on_accepted,
        .ctx = fixture,
        .idle_ms = idle_ms,
    };
    fixture->intake = intake_start(&options, &err);
    if (fixture->intake == NULL)
        fail_msg("%s", err.text);
}

void fixture_reload(struct fixture *fixture, const char *config)
{
    config_unref(fixture->config);
    fixture->config = load_config(fixture, config);
    intake_reload(fixture->intake, fixture->config);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void fixture_step(struct fixture *fixture, int64_t deadline_ms)
{
    if (clock_monotonic_ms() > deadline_ms)
        fail_msg("nothing happened for too long");
    (void)event_base_loop(fixture->base, EVLOOP_ONCE);
}

/* More than once, because reading may make somebody write. */
void fixture_run(struct fixture *fixture)
{
    for (unsigned i = 0; i < 3; i++)
        (void)event_base_loop(fixture->base, EVLOOP_NONBLOCK);
}

void fixture_settle(struct fixture *fixture)
{
    int64_t deadline_ms = clock_monotonic_ms() + FIXTURE_PATIENCE_MS;

    fixture_run(fixture);
    while (!intake_is_idle(fixture->intake))
        fixture_step(fixture, deadline_ms);
}

void fixture_close(struct fixture *fixture)
{
    fixture_settle(fixture);
    intake_stop(fixture->intake);
    fixture_settle(fixture);
    intake_free(fixture->intake);
    resolver_stop(fixture->resolver, 1000);
    spool_stop(fixture->spool);
    mailbox_free(fixture->mailbox);
    mailbox_free(fixture->aside_mailbox);
    event_base_free(fixture->aside_base);
    event_free(fixture->guard);
    event_base_free(fixture->base);
    config_unref(fixture->config);
    forget_last(fixture);
    assert_int_equal(log_warning_count() - fixture->warnings_before, fixture->warnings_expected);
    (void)nftw(fixture->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- Questions to the spool --- */

static void on_answer(struct spool_request *request)
{
    *(bool *)request->ctx = true;
}

static void await(struct fixture *fixture, const bool *is_done)
{
    int64_t deadline_ms = clock_monotonic_ms() + FIXTURE_PATIENCE_MS;

    while (!*is_done)
        fixture_step(fixture, deadline_ms);
}

uint64_t fixture_stored_count(struct fixture *fixture)
{
    struct spool_summary *summary = spool_summary_new();
    bool is_done = false;

    summary->request.reply_to = fixture->mailbox;
    summary->request.done = on_answer;
    summary->request.ctx = &is_done;
    spool_summary_read(fixture->spool, summary);
    await(fixture, &is_done);
    assert_true(summary->request.is_ok);
    uint64_t count = summary->accepted_total;
    spool_summary_free(summary);
    return count;
}

/* Answers keep the order of questions. */
void fixture_await_spool(struct fixture *fixture)
{
    struct spool_summary *summary = spool_summary_new();
    bool is_done = false;

    summary->request.reply_to = fixture->aside_mailbox;
    summary->request.done = on_answer;
    summary->request.ctx = &is_done;
    spool_summary_read(fixture->spool, summary);
    while (!is_done)
        (void)event_base_loop(fixture->aside_base, EVLOOP_ONCE);
    spool_summary_free(summary);
}

char *fixture_read_body(struct fixture *fixture, const struct accepted_message *message,
                        size_t *ret_len)
{
    struct strbuf body;

    strbuf_init(&body);
    for (uint32_t i = 0; i < message->chunk_count; i++) {
        struct spool_chunk *chunk = spool_chunk_new(message->key, i, NULL);
        bool is_done = false;
        chunk->request.reply_to = fixture->mailbox;
        chunk->request.done = on_answer;
        chunk->request.ctx = &is_done;
        spool_chunk_read(fixture->spool, chunk);
        await(fixture, &is_done);
        assert_true(chunk->request.is_ok);
        if (i + 1 < message->chunk_count)
            assert_int_equal(blob_len(chunk->data), SPOOL_CHUNK_BYTES);
        strbuf_append(&body, blob_data(chunk->data), blob_len(chunk->data));
        spool_chunk_free(chunk);
    }
    char *bytes = strbuf_take(&body, ret_len);
    strbuf_done(&body);
    return bytes;
}
