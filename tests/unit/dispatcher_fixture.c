/* Starts, drives and stops the dispatcher for tests. Clock and timers pass through here. */
#include "dispatcher_fixture.h"

#include <stdarg.h>
#include <setjmp.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <dlfcn.h>
#include <event2/event.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blob.h"
#include "cleanup.h"
#include "strbuf.h"
#include "xalloc.h"

#include "clock.h"
#include "config.h"
#include "dispatcher_private.h"
#include "filter.h"
#include "log.h"
#include "mailbox.h"

enum {
    PATIENCE_MS = 60000,
    PAGE = 500,
    WAKES_FREE = 50, /* in one fixture_advance, beside one a second */
};

/* --- Time --- */

int64_t __real_clock_monotonic_ms(void);
int64_t __wrap_clock_wall_ms(void);
int64_t __wrap_clock_monotonic_ms(void);

static atomic_int_fast64_t clock_ms;
static _Thread_local bool is_test_thread;
static const struct event_base *timer_base;
static const struct mailbox *timer_mailbox; /* its timer is left alone */
static struct event *timer; /* the dispatcher's, while it is set */
static int64_t timer_at_ms;

int64_t __wrap_clock_wall_ms(void)
{
    return atomic_load(&clock_ms);
}

/* The spool's thread keeps its own: its upkeep is not what is tested here. */
int64_t __wrap_clock_monotonic_ms(void)
{
    return is_test_thread ? atomic_load(&clock_ms) : __real_clock_monotonic_ms();
}

int64_t fixture_now_s(void)
{
    return atomic_load(&clock_ms) / 1000;
}

static int (*event_function(const char *name))(struct event *, const struct timeval *)
{
    /* POSIX allows what ISO C does not: a function behind a void pointer. */
    union {
        void *address;
        int (*function)(struct event *, const struct timeval *);
    } found = { .address = dlsym(RTLD_NEXT, name) };

    assert_non_null(found.address);
    return found.function;
}

/* These stand before libevent's: --wrap does not reach into shared libraries. */
int event_add(struct event *event, const struct timeval *delay)
{
    if (delay == NULL || event_get_base(event) != timer_base ||
        event_get_callback_arg(event) == timer_mailbox)
        return event_function("event_add")(event, delay);
    timer = event;
    timer_at_ms = atomic_load(&clock_ms) + delay->tv_sec * 1000 + delay->tv_usec / 1000;
    return 0;
}

int event_del(struct event *event)
{
    if (event == timer)
        timer = NULL;
    return event_function("event_del")(event, NULL);
}

/* --- The loop --- */

static size_t submits_out;

static void on_guard(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
}

static void step(struct fixture *fixture, int64_t deadline_ms)
{
    if (__real_clock_monotonic_ms() > deadline_ms)
        fail_msg("nothing happened for too long");
    (void)event_base_loop(fixture->base, EVLOOP_ONCE);
}

static bool is_quiet(const struct fixture *fixture)
{
    size_t requests = fixture->dispatcher != NULL ? fixture->dispatcher->requests_out : 0;

    return submits_out == 0 && script_answers_out() == 0 && requests <= script_held();
}

void fixture_settle(struct fixture *fixture)
{
    int64_t deadline_ms = __real_clock_monotonic_ms() + PATIENCE_MS;

    (void)event_base_loop(fixture->base, EVLOOP_NONBLOCK);
    while (!is_quiet(fixture))
        step(fixture, deadline_ms);
}

void fixture_advance(struct fixture *fixture, int64_t seconds)
{
    int64_t until_ms = atomic_load(&clock_ms) + seconds * 1000;
    int64_t wakes = 0;

    for (fixture_settle(fixture); timer != NULL && timer_at_ms <= until_ms;
         fixture_settle(fixture)) {
        struct event *due = TAKE(timer);
        atomic_store(&clock_ms, timer_at_ms);
        event_active(due, EV_TIMEOUT, 0);
        if (++wakes > WAKES_FREE + seconds)
            fail_msg("the dispatcher does not sleep: %lld wakes", (long long)wakes);
    }
    atomic_store(&clock_ms, until_ms);
}

/* --- Configuration --- */

static void on_complaint(const char *text, bool is_warning, void *ctx)
{
    (void)ctx;
    if (!is_warning)
        print_error("%s\n", text);
}

static const struct config *load_config(const struct fixture *fixture, const char *sections)
{
    AUTO_FREE char *path = xasprintf("%s/outbox.conf", fixture->directory);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    (void)fprintf(file,
                  "hostname = \"host.example\";\nstate-directory = \"%s/state\";\n"
                  "runtime-directory = \"%s/run\";\nmessage-lifetime = \"5d\";\n"
                  "retry = { first = \"30s\"; factor = 2; max = \"1h\"; jitter = 0; };\n"
                  "%s\n",
                  fixture->directory, fixture->directory, sections);
    assert_int_equal(fclose(file), 0);
    const struct config *config = config_load(path, on_complaint, NULL);
    assert_non_null(config);
    return config;
}

void fixture_reload(struct fixture *fixture, const char *sections)
{
    config_unref(fixture->config);
    fixture->config = load_config(fixture, sections);
    dispatcher_reload(fixture->dispatcher, fixture->config);
    fixture_settle(fixture);
}

/* --- Start and stop --- */

void fixture_start(struct fixture *fixture)
{
    struct error err = { 0 };

    fixture->spool = spool_start(fixture->config->state_directory, &err);
    if (fixture->spool == NULL)
        fail_msg("%s", err.text);
    const struct dispatcher_options options = {
        .base = fixture->base,
        .mailbox = fixture->mailbox,
        .spool = fixture->spool,
        .config = fixture->config,
        .slots_max = 100,
        .marks_max = 100,
    };
    fixture->dispatcher = dispatcher_start(&options);
    fixture_settle(fixture);
}

static void take_down(struct fixture *fixture)
{
    spool_stop(TAKE(fixture->spool));
    (void)event_base_loop(fixture->base, EVLOOP_NONBLOCK);
    dispatcher_free(TAKE(fixture->dispatcher));
    script_end();
    timer = NULL;
}

void fixture_stop(struct fixture *fixture)
{
    fixture_settle(fixture);
    dispatcher_stop(fixture->dispatcher);
    while (script_orders_out() > 0) {
        struct delivery_order *order = script_order(0);
        script_trouble(order, STAGE_CONNECT, TROUBLE_STOPPED);
        script_answer(order);
    }
    fixture_settle(fixture);
    assert_true(dispatcher_is_idle(fixture->dispatcher));
    take_down(fixture);
}

void fixture_crash(struct fixture *fixture)
{
    fixture_settle(fixture);
    take_down(fixture);
    fixture_start(fixture);
}

void fixture_open(struct fixture *fixture, const char *one)
{
    AUTO_FREE char *sections = xasprintf("smarthosts = { one = { " FIXTURE_SMARTHOST "%s };"
                                         " two = { " FIXTURE_SMARTHOST " }; };",
                                         one);

    *fixture = (struct fixture){ .directory = "/tmp/outbox-dispatcher-XXXXXX" };
    is_test_thread = true;
    submits_out = 0;
    script_reset();
    atomic_store(&clock_ms, INT64_C(1800000000000));
    assert_non_null(mkdtemp(fixture->directory));
    fixture->config = load_config(fixture, sections);
    fixture->base = event_base_new();
    fixture->guard = event_new(fixture->base, -1, EV_PERSIST, on_guard, NULL);
    (void)event_add(fixture->guard, &(struct timeval){ .tv_usec = 100 * 1000 });
    fixture->mailbox = mailbox_new(fixture->base, NULL, NULL);
    assert_non_null(fixture->mailbox);
    timer_base = fixture->base;
    timer_mailbox = fixture->mailbox;
    fixture_start(fixture);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

void fixture_close(struct fixture *fixture)
{
    if (fixture->dispatcher != NULL)
        fixture_stop(fixture);
    mailbox_free(fixture->mailbox);
    event_free(fixture->guard);
    timer_base = NULL;
    timer_mailbox = NULL;
    event_base_free(fixture->base);
    config_unref(fixture->config);
    (void)nftw(fixture->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- Mail --- */

static void on_submitted(struct spool_request *request)
{
    struct fixture *fixture = request->ctx;
    struct spool_submit *submit = (struct spool_submit *)request;

    assert_true(request->is_ok);
    submits_out--;
    dispatcher_message_accepted(submit, fixture->dispatcher);
    spool_submit_free(submit);
}

static struct spool_submit *message_new(struct fixture *fixture, int64_t key, const char *sender,
                                        const char *smarthost, size_t recipient_count)
{
    struct spool_submit *submit = spool_submit_new(recipient_count);

    submit->request.reply_to = fixture->mailbox;
    submit->request.done = on_submitted;
    submit->request.ctx = fixture;
    submit->key = key;
    (void)snprintf(submit->id, sizeof submit->id, "TEST%018lld", (long long)key);
    submit->sender = xstrdup(sender);
    submit->header_from = xstrdup(sender);
    submit->user = xstrdup("alice");
    submit->uid = 1000;
    submit->accepted_at_ms = atomic_load(&clock_ms);
    submit->size_bytes = 3;
    submit->chunk_count = 1;
    submit->last_chunk = blob_copy("x\r\n", 3);
    for (size_t i = 0; i < recipient_count; i++)
        submit->recipients[i] = (struct spool_new_recipient){
            .address = xasprintf("r%zu-%lld@example.com", i, (long long)key),
            .smarthost = xstrdup(smarthost),
            .due_at_s = fixture_now_s(),
            .waiting = WAITING_NOW,
        };
    return submit;
}

static void post(struct fixture *fixture, struct spool_submit *submit)
{
    submits_out++;
    spool_message_submit(fixture->spool, submit);
}

int64_t fixture_submit(struct fixture *fixture, const char *sender, const char *smarthost,
                       size_t recipient_count)
{
    int64_t key = spool_message_key_new(fixture->spool);

    post(fixture, message_new(fixture, key, sender, smarthost, recipient_count));
    fixture_settle(fixture);
    return key;
}

void fixture_submit_later(struct fixture *fixture, int64_t key, const char *smarthost,
                          const int64_t *delays_s, size_t recipient_count)
{
    struct spool_submit *submit =
        message_new(fixture, key, "app@example.com", smarthost, recipient_count);

    for (size_t i = 0; i < recipient_count; i++)
        submit->recipients[i].due_at_s += delays_s[i];
    post(fixture, submit);
    fixture_settle(fixture);
}

int64_t fixture_submit_many(struct fixture *fixture, const char *smarthost, size_t message_count)
{
    int64_t first = 0;

    for (size_t i = 0; i < message_count; i++) {
        int64_t key = spool_message_key_new(fixture->spool);
        post(fixture, message_new(fixture, key, "app@example.com", smarthost, 1));
        first = i == 0 ? key : first;
    }
    fixture_settle(fixture);
    return first;
}

struct delivery_order *fixture_order(struct fixture *fixture)
{
    fixture_settle(fixture);
    assert_int_equal(script_orders_out(), 1);
    return script_order(0);
}

size_t fixture_deliver_all(struct fixture *fixture)
{
    size_t count = 0;

    for (fixture_settle(fixture); script_orders_out() > 0; fixture_settle(fixture)) {
        for (; script_orders_out() > 0; count++)
            script_deliver(script_order(0));
    }
    return count;
}

/* --- People --- */

struct asked {
    bool is_done;
};

static void on_answer(struct spool_request *request)
{
    ((struct asked *)request->ctx)->is_done = true;
}

static void expect(struct fixture *fixture, struct spool_request *request, struct asked *asked)
{
    asked->is_done = false;
    request->reply_to = fixture->mailbox;
    request->done = on_answer;
    request->ctx = asked;
}

static void await(struct fixture *fixture, const struct spool_request *request,
                  const struct asked *asked)
{
    int64_t deadline_ms = __real_clock_monotonic_ms() + PATIENCE_MS;

    while (!asked->is_done)
        step(fixture, deadline_ms);
    assert_true(request->is_ok);
}

static struct filter *filter_of(const char *terms)
{
    AUTO_FREE char *copy = xstrdup(terms);
    const char *words[8];
    char *rest = NULL;
    size_t count = 0;
    struct error err = { 0 };

    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    struct filter *filter = filter_new(words, count, &err);
    if (filter == NULL)
        fail_msg("%s", err.text);
    return filter;
}

void fixture_change(struct fixture *fixture, enum spool_change_kind kind, const char *terms)
{
    struct filter *filter = filter_of(terms);
    struct spool_change *change = spool_change_new(filter, kind, SPOOL_ANYBODY, 0);
    struct asked asked;

    change->now_ms = atomic_load(&clock_ms);
    do {
        expect(fixture, &change->request, &asked);
        spool_change_step(fixture->spool, change);
        await(fixture, &change->request, &asked);
        if (change->key_count > 0)
            dispatcher_messages_changed(fixture->dispatcher, change->keys, change->key_count);
    } while (!change->is_end);
    spool_change_free(change);
    filter_free(filter);
    fixture_settle(fixture);
}

void fixture_rows(struct fixture *fixture, const char *terms, fixture_row_fn *each, void *ctx)
{
    struct filter *filter = filter_of(terms);
    struct spool_list *list = spool_list_new(filter, SPOOL_ANYBODY, fixture_now_s(), PAGE);
    struct asked asked;

    do {
        spool_list_clear(list);
        expect(fixture, &list->request, &asked);
        spool_list_read(fixture->spool, list);
        await(fixture, &list->request, &asked);
        for (size_t i = 0; i < list->row_count; i++)
            each(&list->rows[i], ctx);
    } while (!list->is_end);
    spool_list_free(list);
    filter_free(filter);
}

static void count_row(const struct spool_row *row, void *ctx)
{
    unsigned *counts = ctx;

    counts[row->state]++;
}

const char *fixture_states(struct fixture *fixture, const char *terms)
{
    static char text[256];
    unsigned counts[RECIPIENT_STATE_COUNT] = { 0 };
    size_t len = 0;

    text[0] = '\0';
    fixture_rows(fixture, terms, count_row, counts);
    for (int state = 0; state < RECIPIENT_STATE_COUNT; state++) {
        if (counts[state] == 0)
            continue;
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s %u", len > 0 ? ", " : "",
                                recipient_state_name((enum recipient_state)state), counts[state]);
    }
    return text;
}

struct lane_view fixture_lane(const struct fixture *fixture, const char *smarthost)
{
    struct lane_view view = { 0 };

    (void)dispatcher_lane_find(fixture->dispatcher, smarthost, &view);
    return view;
}
