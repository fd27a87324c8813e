/* Trials: the main thread's side of deliveries, as small as it can be. */
#include "delivery_fixture.h"

#include <event2/event.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob.h"
#include "cleanup.h"
#include "config.h"
#include "error.h"
#include "inflight.h"
#include "invariant.h"
#include "resolver.h"
#include "strbuf.h"
#include "xalloc.h"

#include <setjmp.h>
#include <cmocka.h> /* last: it makes a macro of fail() */

enum { ORDERS_MAX = 64, LONG_MS = 60 * 1000 };

static char directory[96];
static struct event_base *base;
static struct mailbox *mailbox;

struct trial {
    struct fake_smarthost *fake;
    const char *host;
    struct config *config;
    struct resolver *resolver;
    struct delivery *delivery;
    bool is_stopped;
    struct session_timing timing;
    struct trial_message message; /* of the last order; for chunks */
    struct delivery_order *done[ORDERS_MAX];
    size_t done_count;
    size_t waited_for;
};

int delivery_fixture_set_up(void **state)
{
    const char *parent = getenv("TMPDIR");

    (void)state;
    (void)snprintf(directory, sizeof directory, "%s/delivery-XXXXXX",
                   parent != NULL && strlen(parent) < 60 ? parent : "/tmp");
    MUST(mkdtemp(directory) != NULL);
    fake_certificates_make(directory);
    MUST(setenv("TRIAL_PASSWORD", "S3cr3t-canary", 1) == 0);
    MUST(setenv("TRIAL_PASSWORD_2", "another", 1) == 0);
    base = event_base_new();
    mailbox = mailbox_new(base, NULL, NULL);
    MUST(mailbox != NULL);
    return 0;
}

static void remove_file(const char *name)
{
    AUTO_FREE char *path = xasprintf("%s/%s", directory, name);

    (void)unlink(path);
}

int delivery_fixture_tear_down(void **state)
{
    (void)state;
    mailbox_free(mailbox);
    event_base_free(base);
    for (enum fake_certificate kind = 0; kind < CERTIFICATE_COUNT; kind++) {
        AUTO_FREE char *certificate = fake_certificate_path(directory, kind);
        AUTO_FREE char *key = fake_certificate_key_path(directory, kind);
        (void)unlink(certificate);
        (void)unlink(key);
    }
    remove_file("ca.pem");
    remove_file("anchors.pem");
    remove_file("outbox.conf");
    remove_file("inflight");
    MUST(rmdir(directory) == 0);
    return 0;
}

const char *delivery_fixture_directory(void)
{
    return directory;
}

/* --- Begin and end --- */

static void print_complaint(const char *text, bool is_warning, void *ctx)
{
    (void)is_warning;
    (void)ctx;
    print_error("%s\n", text);
}

static struct config *configure(unsigned port, const char *host, const char *settings)
{
    AUTO_FREE char *path = xasprintf("%s/outbox.conf", directory);
    FILE *file = fopen(path, "w");

    MUST(file != NULL);
    MUST(fprintf(file,
                 "hostname = \"app1.example.com\";\n"
                 "default-domain = \"example.com\";\n"
                 "state-directory = \"%s\";\n"
                 "runtime-directory = \"%s\";\n"
                 "smarthosts = { relay = { host = \"%s\"; port = %u; %s }; };\n",
                 directory, directory, host != NULL ? host : "localhost", port, settings) > 0);
    MUST(fclose(file) == 0);
    struct config *config = config_load(path, print_complaint, NULL);
    MUST(config != NULL);
    return config;
}

static void on_chunk_wanted(struct delivery_chunk *chunk, void *ctx)
{
    const struct trial_message *message = &((struct trial *)ctx)->message;

    if (message->is_spool_dead) {
        free(chunk);
        return;
    }
    size_t len = strlen(message->body);
    size_t from = chunk->index * message->chunk_size;
    size_t piece = len - from < message->chunk_size ? len - from : message->chunk_size;
    MUST(from < len);
    delivery_chunk_answer(chunk, chunk->index + 1 == message->missing_chunk
                                     ? NULL
                                     : blob_copy(message->body + from, piece));
}

static struct session_timing timing_of(const struct trial_options *options)
{
    struct session_timing timing;
    unsigned step_ms = options->step_ms > 0 ? options->step_ms : LONG_MS;

    session_timing_default(&timing);
    for (size_t i = 0; i < STEP_COUNT; i++)
        timing.step_ms[i] = step_ms;
    /* Unless asked for, idle sessions, and their ends, are not what runs out of time. */
    timing.step_ms[STEP_READY] = options->idle_ms > 0 ? options->idle_ms : LONG_MS;
    timing.step_ms[STEP_QUIT] = LONG_MS;
    timing.deadline_ms = options->deadline_ms > 0 ? options->deadline_ms : LONG_MS;
    return timing;
}

struct trial *trial_new(const struct trial_options *options)
{
    struct trial *trial = NEW(struct trial);
    struct error err;

    trial->fake = fake_smarthost_start(&options->fake);
    trial->host = options->host;
    trial->config = configure(fake_smarthost_port(trial->fake), options->host, options->settings);
    trial->resolver = resolver_start(1, &err);
    MUST(trial->resolver != NULL);
    trial->timing = timing_of(options);
    struct delivery_options with = {
        .threads = options->threads > 0 ? options->threads : 1,
        .slots_max = 8,
        .marks_max = 8,
        .state_directory = directory,
        .resolver = trial->resolver,
        .chunk_wanted = on_chunk_wanted,
        .chunk_ctx = trial,
    };
    trial->delivery = delivery_start_with(&with, &trial->timing, &err);
    MUST(trial->delivery != NULL);
    return trial;
}

void trial_reload(struct trial *trial, const char *settings)
{
    config_unref(trial->config);
    trial->config = configure(fake_smarthost_port(trial->fake), trial->host, settings);
}

void trial_stop(struct trial *trial, unsigned grace_ms)
{
    if (!trial->is_stopped)
        delivery_stop(trial->delivery, grace_ms);
    trial->is_stopped = true;
}

void trial_end_whatever(struct trial *trial)
{
    trial_stop(trial, 1000);
    resolver_stop(trial->resolver, 10000);
    delivery_free(trial->delivery);
    (void)event_base_loop(base, EVLOOP_NONBLOCK); /* orders that nobody waited for */
    for (size_t i = 0; i < trial->done_count; i++)
        delivery_order_free(trial->done[i]);
    config_unref(trial->config);
    fake_smarthost_free(trial->fake);
    free(trial);
}

void trial_end(struct trial *trial)
{
    trial_stop(trial, 1000);
    fake_smarthost_stop(trial->fake);
    const char *problem = fake_smarthost_problem(trial->fake);
    if (problem != NULL)
        print_error("the smarthost: %s\n", problem);
    bool is_surprised = problem != NULL;
    trial_end_whatever(trial);
    assert_false(is_surprised);
}

struct fake_smarthost *trial_fake(struct trial *trial)
{
    return trial->fake;
}

struct delivery *trial_delivery(struct trial *trial)
{
    return trial->delivery;
}

/* --- Orders --- */

static void on_done(struct delivery_order *order)
{
    struct trial *trial = order->ctx;

    MUST(trial->done_count < ORDERS_MAX);
    trial->done[trial->done_count++] = order;
}

static size_t count_words(const char *text)
{
    size_t count = 0;

    for (const char *p = text; *p != '\0'; p += strcspn(p, " "), p += strspn(p, " "))
        count++;
    return count;
}

void trial_start(struct trial *trial, const struct trial_message *message)
{
    const char *recipients = message->recipients != NULL ? message->recipients : "a@x";
    struct delivery_order *order =
        delivery_order_new(trial->config, &trial->config->smarthosts[0], count_words(recipients));
    const char *p = recipients;

    trial->message = *message;
    if (message->body == NULL)
        trial->message.body = "Subject: test\r\n\r\n.dot\r\n..\r\n.\r\nend\r\n";
    size_t len = strlen(trial->message.body);
    order->reply_to = mailbox;
    order->done = on_done;
    order->ctx = trial;
    order->slot = message->slot;
    order->mark = message->slot;
    order->key = 1000 + (int64_t)trial->done_count;
    (void)strcpy(order->id, "0123456789ABCDEFGHJKMN");
    order->sender = xstrdup(message->sender != NULL ? message->sender : "s@x");
    order->size_bytes = message->size_bytes > 0 ? message->size_bytes : (int64_t)len;
    order->is_8bit = message->is_8bit;
    order->needs_smtputf8 = message->needs_smtputf8;
    order->chunk_count = 1;
    if (message->chunk_size > 0)
        order->chunk_count = (uint32_t)((len + message->chunk_size - 1) / message->chunk_size);
    else
        order->body = blob_copy(trial->message.body, len);
    for (size_t i = 0; i < order->recipient_count; i++) {
        size_t word = strcspn(p, " ");
        order->recipients[i].number = (uint16_t)(i + 1);
        order->recipients[i].address = xstrndup(p, word);
        p += word + strspn(p + word, " ");
    }
    delivery_order_start(trial->delivery, order);
}

struct delivery_order *trial_wait(struct trial *trial)
{
    while (trial->done_count == trial->waited_for)
        MUST(event_base_loop(base, EVLOOP_ONCE) == 0);
    return trial->done[trial->waited_for++];
}

struct delivery_order *trial_run(struct trial *trial, const struct trial_message *message)
{
    trial_start(trial, message);
    return trial_wait(trial);
}

/* --- What came of them --- */

static const char *const result_names[] = {
    [DELIVERY_DONE] = "done",
    [DELIVERY_REFUSED] = "refused",
    [DELIVERY_IN_DOUBT] = "in-doubt",
    [DELIVERY_UNTRIED] = "untried",
};

char *outcome_text(const struct delivery_order *order)
{
    AUTO_STRBUF struct strbuf text;

    strbuf_init(&text);
    for (size_t i = 0; i < order->recipient_count; i++) {
        const struct delivery_recipient *recipient = &order->recipients[i];
        strbuf_append_format(&text, "%s%s %s", i > 0 ? ", " : "", recipient->address,
                             result_names[recipient->result]);
        if (recipient->code > 0)
            strbuf_append_format(&text, " %d", recipient->code);
        if (recipient->result == DELIVERY_REFUSED)
            strbuf_append_format(&text, " %s", verdict_class_name(recipient->verdict.class));
    }
    if (order->has_trouble) {
        strbuf_append_format(&text, "; trouble %s at %s", verdict_class_name(order->trouble.class),
                             verdict_stage_name(order->trouble_stage));
        if (order->trouble_code > 0)
            strbuf_append_format(&text, " %d", order->trouble_code);
    }
    size_t len = 0;
    return strbuf_take(&text, &len);
}

void check_outcome(const struct delivery_order *order, const char *expected)
{
    AUTO_FREE char *text = outcome_text(order);

    if (strcmp(text, expected) != 0) {
        print_error("got:      %s\nexpected: %s\ntrouble:  %s\n", text, expected,
                    order->trouble_text != NULL ? order->trouble_text : "-");
        fail();
    }
}

int trial_mark_phase(struct trial *trial)
{
    struct inflight_mark mark;
    unsigned number = 0;

    while (delivery_inflight_next(trial->delivery, &number, &mark))
        if (number == 1)
            return (int)mark.phase;
    return INFLIGHT_NONE;
}
