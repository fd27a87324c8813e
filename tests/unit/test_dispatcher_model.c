/* Hundreds of random steps: mail comes, smarthosts answer as they like, people interfere, the disk is full, the daemon
   stops and crashes. In the end every recipient is in one final state, what was delivered was delivered once (but for
   what a start found in doubt), and nothing is left in memory. OUTBOX_TEST_SEED repeats one run. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "dispatcher_fixture.h"
#include "dispatcher_private.h"

enum { RUNS = 12, STEPS = 250, RECIPIENTS_MAX = 25, DRAINS_MAX = 400 };

static struct fixture f;
static uint32_t random_state;
static size_t recipients_submitted;
static int64_t key_newest;

static uint32_t any(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % below;
}

static const char *any_of(const char *const *texts, uint32_t count)
{
    return texts[any(count)];
}

/* --- Steps --- */

static const char *any_smarthost(void)
{
    static const char *const names[] = { "one", "two" };

    return any_of(names, 2);
}

static void submit(void)
{
    static const char *const senders[] = { "a@example.com", "b@example.com", "" };
    size_t count = any(2) == 0 ? 1 : 1 + any(RECIPIENTS_MAX);

    key_newest = fixture_submit(&f, any_of(senders, 3), any_smarthost(), count);
    recipients_submitted += count;
}

static void submit_many(void)
{
    size_t count = 200 + any(500);

    (void)fixture_submit_many(&f, any_smarthost(), count);
    recipients_submitted += count;
}

/* Some outcome for each recipient; the transaction is lost if asked, and what was accepted then is untried. */
static void answer_mixed(struct delivery_order *order, bool is_lost)
{
    static const char *const refusals[] = { "550 5.1.1 No such user", "450 4.2.1 Mailbox busy",
                                            "452 4.5.3 Too many recipients" };

    for (size_t i = 0; i < order->recipient_count; i++) {
        if (any(3) == 0)
            script_refuse(order, i, STAGE_RCPT, any_of(refusals, 3));
        else if (!is_lost)
            script_accept(order, i);
    }
    if (is_lost)
        script_trouble(order, STAGE_DATA, TROUBLE_LOST);
}

static void answer(void)
{
    if (script_orders_out() == 0)
        return;
    struct delivery_order *order = script_order(any((uint32_t)script_orders_out()));
    switch (any(16)) {
    case 0:
        script_doubt(order);
        break;
    case 1:
        script_trouble(order, STAGE_CONNECT, TROUBLE_CONNECT);
        break;
    case 2:
        script_trouble_reply(order, STAGE_MAIL, "421 4.7.0 Too busy");
        break;
    case 3:
        if (any(4) == 0)
            script_trouble_reply(order, STAGE_AUTH, "535 5.7.8 Authentication failed");
        break;
    case 4:
        script_refuse_all(order, STAGE_MAIL, "550 5.7.60 Not allowed to send as this sender");
        break;
    case 5:
        script_trouble(order, STAGE_END_OF_DATA, TROUBLE_LOST);
        break;
    default:
        answer_mixed(order, any(5) == 0);
        break;
    }
    script_answer(order);
}

static void answer_some(void)
{
    for (uint32_t i = any(6); i > 0; i--) {
        answer();
        if (any(3) == 0)
            fixture_settle(&f);
    }
}

static void change(void)
{
    static const char *const terms[] = { "recipient=r0-*", "sender=a@example.com", "smarthost=one",
                                         "state=failed",   "attempts>1",           "all" };
    static const enum spool_change_kind kinds[] = { CHANGE_HOLD,    CHANGE_HOLD,  CHANGE_RELEASE,
                                                    CHANGE_RELEASE, CHANGE_RETRY, CHANGE_RETRY,
                                                    CHANGE_RETRY,   CHANGE_DELETE };
    char newest[80];
    enum spool_change_kind kind = kinds[any(8)];

    (void)snprintf(newest, sizeof newest, "id=TEST%018lld", (long long)key_newest);
    fixture_change(&f, kind, kind == CHANGE_DELETE ? newest : any_of(terms, 6));
}

static void advance(void)
{
    fixture_advance(&f, any(3) == 0 ? any(4000) : any(40));
}

static void park(void)
{
    if (any(3) == 0)
        (void)dispatcher_park(f.dispatcher, any_smarthost(), 0);
    else
        (void)dispatcher_unpark(f.dispatcher, any_smarthost(), 0);
}

static void fail_some(void)
{
    script_fail_next((enum script_fault)any(FAULT_COUNT), 1 + any(3));
}

static void hold_some(void)
{
    script_hold(any(2) == 0 ? FAULT_OUTCOME : FAULT_DUE);
}

static void release_all(void)
{
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        script_release((enum script_fault)kind);
}

static void reload(void)
{
    if (any(3) == 0)
        fixture_reload(&f, "smarthosts = { one = { " FIXTURE_SMARTHOST " }; };");
    else
        fixture_reload(&f, "smarthosts = { one = { " FIXTURE_SMARTHOST " };"
                           " two = { " FIXTURE_SMARTHOST " }; };");
}

static void restart(void)
{
    release_all();
    fixture_stop(&f);
    fixture_start(&f);
}

static void crash(void)
{
    script_release(FAULT_DUE);
    fixture_crash(&f);
}

static const struct {
    void (*act)(void);
    uint32_t weight;
} steps[] = {
    { answer_some, 120 }, { submit, 50 },    { advance, 40 },   { release_all, 20 },
    { change, 12 },       { fail_some, 10 }, { hold_some, 10 }, { park, 6 },
    { reload, 4 },        { restart, 4 },    { crash, 4 },      { submit_many, 2 },
};

static void any_step(void)
{
    uint32_t total = 0;
    size_t i = 0;

    for (size_t j = 0; j < sizeof steps / sizeof steps[0]; j++)
        total += steps[j].weight;
    uint32_t left = any(total);
    for (; left >= steps[i].weight; i++)
        left -= steps[i].weight;
    steps[i].act();
    fixture_settle(&f);
}

/* --- The end --- */

struct tally {
    size_t rows;
    size_t counts[RECIPIENT_STATE_COUNT];
};

static void count_row(const struct spool_row *row, void *ctx)
{
    struct tally *tally = ctx;

    tally->rows++;
    tally->counts[row->state]++;
}

/* What waits ends by itself: nobody asks to look again, so what is forgotten stays forgotten. */
static void drain(void)
{
    for (int i = 0; i < DRAINS_MAX; i++) {
        struct tally tally = { 0 };
        fixture_rows(&f, "all", count_row, &tally);
        assert_int_equal(tally.rows, recipients_submitted);
        if (tally.counts[RECIPIENT_QUEUED] + tally.counts[RECIPIENT_IN_DOUBT] == 0)
            return;
        (void)fixture_deliver_all(&f);
        fixture_advance(&f, 3600);
    }
    fail_msg("forgotten: %s", fixture_states(&f, "all"));
}

static void end(void)
{
    release_all();
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        script_fail_next((enum script_fault)kind, 0);
    fixture_reload(&f, "smarthosts = { one = { " FIXTURE_SMARTHOST " };"
                       " two = { " FIXTURE_SMARTHOST " }; };");
    (void)dispatcher_unpark(f.dispatcher, "one", 0);
    (void)dispatcher_unpark(f.dispatcher, "two", 0);
    drain();
    fixture_change(&f, CHANGE_RELEASE, "state=held");
    drain();
}

static void check(const struct spool_row *row, void *ctx)
{
    unsigned taken = script_taken_count(row->key, row->number);
    unsigned doubted = script_doubted_count(row->key, row->number);

    (void)ctx;
    assert_true(recipient_state_is_final(row->state));
    if (row->state == RECIPIENT_DELIVERED)
        assert_in_range(taken, 1, 1 + doubted);
    else
        assert_in_range(taken, 0, doubted);
}

static void run(uint32_t seed)
{
    print_message("seed %u\n", seed);
    random_state = seed * 2654435761U + 1;
    recipients_submitted = 0;
    fixture_open(&f, "");
    submit();
    for (int i = 0; i < STEPS; i++)
        any_step();
    end();
    fixture_rows(&f, "all", check, NULL);
    assert_int_equal(script_marks(), 0);
    assert_int_equal(f.dispatcher->body_bytes, 0);
    for (size_t i = 0; i < dispatcher_lane_count(f.dispatcher); i++)
        assert_int_equal(dispatcher_lane(f.dispatcher, i).active, 0);
    fixture_close(&f);
}

static void test_random_lives(void **state)
{
    const char *wanted = getenv("OUTBOX_TEST_SEED");

    (void)state;
    if (wanted != NULL) {
        run((uint32_t)strtoul(wanted, NULL, 10));
        return;
    }
    for (uint32_t seed = 1; seed <= RUNS; seed++)
        run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
