/* What becomes of messages: outcomes, retries, splitting, troubles of smarthosts and senders, changes by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "dispatcher_fixture.h"

#define A "a@example.com"
#define B "b@example.com"

static struct fixture f;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&f, "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fixture_close(&f);
    return 0;
}

static void assert_states(const char *terms, const char *expected)
{
    assert_string_equal(fixture_states(&f, terms), expected);
}

static char *terms_of(const char *key, int64_t message)
{
    static char terms[80];

    (void)snprintf(terms, sizeof terms, "%sTEST%018lld", key, (long long)message);
    return terms;
}

/* --- Outcomes --- */

static void test_delivered(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    struct delivery_order *order = fixture_order(&f);
    assert_string_equal(order->sender, A);
    assert_string_equal(order->smarthost->name, "one");
    assert_non_null(order->body);
    script_deliver(order);
    fixture_settle(&f);
    assert_states("all", "delivered 1");
    assert_int_equal(script_marks(), 0);
    fixture_advance(&f, 86400);
    assert_int_equal(script_orders_started(), 1);
}

static void test_failed(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    script_refuse(fixture_order(&f), 0, STAGE_RCPT, "550 5.1.1 No such user");
    script_answer(fixture_order(&f));
    fixture_settle(&f);
    assert_states("all", "failed 1");
}

static void test_retries_back_off(void **state)
{
    static const int64_t delays_s[] = { 30, 60, 120, 240 };

    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    for (size_t i = 0; i < sizeof delays_s / sizeof delays_s[0]; i++) {
        struct delivery_order *order = fixture_order(&f);
        assert_int_equal(order->recipients[0].attempts, i);
        script_refuse(order, 0, STAGE_RCPT, "450 4.2.1 Mailbox busy");
        script_answer(order);
        fixture_advance(&f, delays_s[i] - 1);
        assert_int_equal(script_orders_out(), 0);
        fixture_advance(&f, 1);
    }
    script_deliver(fixture_order(&f));
    fixture_settle(&f);
    assert_states("all", "delivered 1");
}

static void test_each_recipient_has_its_own_outcome(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 4);
    struct delivery_order *order = fixture_order(&f);
    script_accept(order, 0);
    script_refuse(order, 1, STAGE_RCPT, "550 5.1.1 No such user");
    script_refuse(order, 2, STAGE_RCPT, "450 4.2.1 Mailbox busy");
    script_accept(order, 3);
    script_answer(order);
    fixture_settle(&f);
    assert_states("all", "queued 1, delivered 2, failed 1");
    fixture_advance(&f, 30);
    order = fixture_order(&f);
    assert_int_equal(order->recipient_count, 1);
    assert_int_equal(order->recipients[0].number, 2);
    script_deliver(order);
    fixture_settle(&f);
    assert_states("all", "delivered 3, failed 1");
}

static void test_in_doubt_is_tried_again(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 2);
    script_doubt(fixture_order(&f));
    script_answer(fixture_order(&f));
    fixture_settle(&f);
    assert_states("all", "in-doubt 2");
    fixture_advance(&f, 86400);
    script_deliver(fixture_order(&f));
    fixture_settle(&f);
    assert_states("all", "delivered 2");
}

static void test_too_old(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    for (int i = 0; i < 200 && script_orders_out() > 0; i++) {
        script_refuse(fixture_order(&f), 0, STAGE_RCPT, "450 4.2.1 Mailbox busy");
        script_answer(fixture_order(&f));
        fixture_advance(&f, 3600);
    }
    assert_states("all", "expired 1");
}

/* --- More recipients than fit --- */

static void test_many_recipients_go_in_slices(void **state)
{
    static const size_t counts[] = { 10, 10, 5 };

    (void)state;
    int64_t key = fixture_submit(&f, A, "one", 25);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        assert_int_equal(fixture_order(&f)->recipient_count, counts[i]);
        script_deliver(fixture_order(&f));
    }
    fixture_settle(&f);
    assert_states("all", "delivered 25");
    for (uint16_t i = 0; i < 25; i++)
        assert_int_equal(script_taken_count(key, i), 1);
}

/* Takes at most limit recipients of each order. */
static void answer_with_limit(struct delivery_order *order, size_t limit)
{
    for (size_t i = 0; i < order->recipient_count; i++) {
        if (i < limit)
            script_accept(order, i);
        else
            script_refuse(order, i, STAGE_RCPT, "452 4.5.3 Too many recipients");
    }
    script_answer(order);
}

static void test_split(void **state)
{
    (void)state;
    for (size_t limit = 1; limit < 10; limit += 2) {
        int64_t key = fixture_submit(&f, A, "one", 25);
        size_t before = script_orders_started();
        while (script_orders_out() > 0) {
            answer_with_limit(fixture_order(&f), limit);
            fixture_settle(&f);
        }
        for (uint16_t i = 0; i < 25; i++)
            assert_int_equal(script_taken_count(key, i), 1);
        assert_int_equal(script_orders_started() - before + 1, (25 + limit - 1) / limit);
    }
    assert_states("all", "delivered 125");
}

/* A smarthost that says so to everybody: smaller and smaller, then a normal retry each. */
static void test_split_ends(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 5);
    for (int i = 0; i < 20 && script_orders_out() > 0; i++) {
        answer_with_limit(fixture_order(&f), 0);
        fixture_settle(&f);
    }
    assert_int_equal(script_orders_out(), 0);
    assert_int_equal(script_orders_started(), 3 + 5); /* of 5, of 3, of 2, then each alone */
    assert_states("all", "queued 5");
    fixture_advance(&f, 30);
    assert_int_equal(fixture_deliver_all(&f), 1);
    assert_states("all", "delivered 5");
}

static void test_split_and_lost(void **state)
{
    (void)state;
    int64_t key = fixture_submit(&f, A, "one", 8);
    struct delivery_order *order = fixture_order(&f);
    script_refuse(order, 7, STAGE_RCPT, "452 4.5.3 Too many recipients");
    script_refuse(order, 6, STAGE_RCPT, "550 5.1.1 No such user");
    script_trouble(order, STAGE_DATA, TROUBLE_LOST);
    script_answer(order);
    fixture_advance(&f, 120);
    (void)fixture_deliver_all(&f);
    assert_states("all", "delivered 7, failed 1");
    for (uint16_t i = 0; i < 8; i++)
        assert_int_equal(script_taken_count(key, i), i != 6);
}

/* --- Trouble of the smarthost --- */

static void test_one_probe_while_in_trouble(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 20);
    assert_int_equal(script_orders_out(), 3);
    while (script_orders_out() > 0) {
        script_trouble(script_order(0), STAGE_CONNECT, TROUBLE_CONNECT);
        script_answer(script_order(0));
    }
    fixture_advance(&f, 29);
    assert_int_equal(script_orders_out(), 0);
    fixture_advance(&f, 1);
    script_trouble(fixture_order(&f), STAGE_CONNECT, TROUBLE_CONNECT);
    script_answer(fixture_order(&f));
    fixture_advance(&f, 59);
    assert_int_equal(script_orders_out(), 0);
    fixture_advance(&f, 600);
    script_deliver(fixture_order(&f));
    fixture_settle(&f);
    assert_int_equal(script_orders_out(), 3);
    assert_int_equal(fixture_deliver_all(&f), 19);
    assert_states("all", "delivered 20");
    assert_states("attempts>1", "");
}

/* The other smarthost goes on. */
static void test_trouble_stays_in_its_lane(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    script_trouble(fixture_order(&f), STAGE_CONNECT, TROUBLE_CONNECT);
    script_answer(fixture_order(&f));
    (void)fixture_submit(&f, A, "two", 1);
    assert_string_equal(fixture_order(&f)->smarthost->name, "two");
    script_deliver(fixture_order(&f));
    fixture_advance(&f, 30);
    script_deliver(fixture_order(&f));
    fixture_settle(&f);
    assert_states("all", "delivered 2");
}

/* What was under way when the probe began says nothing about the probe. */
static void test_late_answers_are_no_probe(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 10);
    struct delivery_order *first = script_order(0);
    struct delivery_order *late = script_order(1);
    script_trouble(first, STAGE_CONNECT, TROUBLE_CONNECT);
    script_answer(first);
    fixture_advance(&f, 30);
    assert_int_equal(script_orders_out(), 3); /* two from before, and the probe */
    script_deliver(late);
    fixture_advance(&f, 300);
    assert_int_equal(script_orders_out(), 2);
    assert_int_equal(fixture_lane(&f, "one").circuit.state, CIRCUIT_OPEN);
    assert_int_equal(fixture_deliver_all(&f), 9);
}

/* Unparked while the probe is out, broken again: the next probe is alone although the old one is still out. */
static void test_never_two_probes(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 10);
    while (script_orders_out() > 0) {
        script_trouble(script_order(0), STAGE_CONNECT, TROUBLE_CONNECT);
        script_answer(script_order(0));
    }
    fixture_advance(&f, 30);
    struct delivery_order *old_probe = fixture_order(&f);
    assert_true(dispatcher_unpark(f.dispatcher, "one", 0));
    fixture_settle(&f);
    assert_int_equal(script_orders_out(), 3);
    for (int i = 0; i < 2; i++) {
        script_trouble(script_order(1), STAGE_CONNECT, TROUBLE_CONNECT);
        script_answer(script_order(1));
    }
    fixture_advance(&f, 30);
    assert_int_equal(script_orders_out(), 2);
    script_trouble(old_probe, STAGE_CONNECT, TROUBLE_CONNECT);
    script_answer(old_probe);
    fixture_advance(&f, 3600);
    assert_int_equal(script_orders_out(), 1);
    assert_int_equal(fixture_deliver_all(&f), 10);
}

/* Its message did not even get as far as MAIL: the next one is the probe. */
static void test_a_probe_that_proves_nothing(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    script_trouble(fixture_order(&f), STAGE_CONNECT, TROUBLE_CONNECT);
    script_answer(fixture_order(&f));
    (void)fixture_submit(&f, B, "one", 1);
    fixture_advance(&f, 30);
    script_object(fixture_order(&f), TROUBLE_TOO_LARGE);
    script_answer(fixture_order(&f));
    script_deliver(fixture_order(&f));
    fixture_settle(&f);
    assert_states("all", "delivered 1, failed 1");
    assert_int_equal(fixture_lane(&f, "one").circuit.state, CIRCUIT_CLOSED);
}

static void test_behind_a_dead_smarthost_mail_expires(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 20);
    for (int i = 0; i < 300; i++) {
        while (script_orders_out() > 0) {
            script_trouble(script_order(0), STAGE_CONNECT, TROUBLE_CONNECT);
            script_answer(script_order(0));
        }
        fixture_advance(&f, 3600);
    }
    assert_states("all", "expired 20");
}

/* A message that makes the smarthost hang up each time is put off, so that it does not keep its lane in trouble. */
static void test_poison_is_charged(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_lane(&f, "one").deferred, 0);
        script_trouble(fixture_order(&f), STAGE_END_OF_DATA, TROUBLE_LOST);
        script_answer(fixture_order(&f));
        fixture_advance(&f, i > 0 ? 600 : 0);
    }
    assert_int_equal(fixture_lane(&f, "one").deferred, 1);
    assert_int_equal(fixture_order(&f)->recipients[0].attempts, 1);
}

/* --- Parking --- */

static void park_by_auth(void)
{
    (void)fixture_submit_many(&f, "one", 5);
    while (script_orders_out() > 0) {
        script_trouble_reply(script_order(0), STAGE_AUTH, "535 5.7.8 Authentication failed");
        script_answer(script_order(0));
    }
    fixture_settle(&f);
    assert_int_equal(fixture_lane(&f, "one").circuit.state, CIRCUIT_PARKED);
}

static void test_parked_over_restarts(void **state)
{
    (void)state;
    park_by_auth();
    fixture_advance(&f, 20 * 86400);
    assert_int_equal(script_orders_out(), 0);
    fixture_stop(&f);
    fixture_start(&f);
    struct lane_view lane = fixture_lane(&f, "one");
    assert_int_equal(lane.circuit.state, CIRCUIT_PARKED);
    assert_int_equal(lane.circuit.reason.class, CLASS_AUTH_FAILED);
    assert_string_not_equal(lane.circuit.reason.rule, "operator");
    assert_int_equal(lane.reason_code, 535);
    fixture_advance(&f, 20 * 86400);
    assert_int_equal(script_orders_out(), 0);
    assert_states("all", "queued 5"); /* no mail has aged */
    assert_true(dispatcher_unpark(f.dispatcher, "one", 0));
    assert_int_equal(fixture_deliver_all(&f), 5);
    assert_states("all", "delivered 5");
}

static void test_parked_by_hand(void **state)
{
    (void)state;
    assert_false(dispatcher_park(f.dispatcher, "three", 0));
    assert_true(dispatcher_park(f.dispatcher, "one", 0));
    (void)fixture_submit_many(&f, "one", 5);
    fixture_advance(&f, 86400);
    assert_int_equal(script_orders_out(), 0);
    fixture_stop(&f);
    fixture_start(&f);
    assert_string_equal(fixture_lane(&f, "one").circuit.reason.rule, "operator");
    fixture_advance(&f, 86400);
    assert_int_equal(script_orders_out(), 0);
    assert_true(dispatcher_unpark(f.dispatcher, "one", 0));
    assert_int_equal(fixture_deliver_all(&f), 5);
}

static void test_parked_during_its_probe(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    script_trouble(fixture_order(&f), STAGE_CONNECT, TROUBLE_CONNECT);
    script_answer(fixture_order(&f));
    fixture_advance(&f, 30);
    assert_true(dispatcher_park(f.dispatcher, "one", 0));
    script_deliver(fixture_order(&f));
    (void)fixture_submit(&f, A, "one", 1);
    assert_int_equal(script_orders_out(), 0);
    assert_true(dispatcher_unpark(f.dispatcher, "one", 0));
    assert_int_equal(fixture_deliver_all(&f), 1);
    assert_states("all", "delivered 2");
}

static void test_parked_sender(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 2);
    script_refuse_all(fixture_order(&f), STAGE_MAIL,
                      "550 5.7.60 Not allowed to send as this sender");
    script_answer(fixture_order(&f));
    fixture_settle(&f);
    assert_states("all", "queued 2");
    /* Others go on; the sender's own wait with it. */
    (void)fixture_submit(&f, A, "one", 1);
    assert_int_equal(script_orders_out(), 0);
    (void)fixture_submit(&f, B, "one", 1);
    script_deliver(fixture_order(&f));
    fixture_advance(&f, 3599);
    assert_int_equal(script_orders_out(), 0);
    fixture_advance(&f, 1);
    assert_int_equal(fixture_deliver_all(&f), 2);
    assert_states("all", "delivered 4");
}

static void test_parked_sender_is_released_by_hand(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    script_refuse_all(fixture_order(&f), STAGE_MAIL,
                      "550 5.7.60 Not allowed to send as this sender");
    script_answer(fixture_order(&f));
    (void)fixture_submit(&f, A, "one", 1);
    assert_int_equal(script_orders_out(), 0);
    fixture_change(&f, CHANGE_RETRY, "sender=" A);
    assert_int_equal(fixture_deliver_all(&f), 2);
    assert_states("all", "delivered 2");
}

/* --- Changes by hand --- */

enum moment { WHEN_READY, WHEN_IN_FLIGHT, WHEN_SETTLING, MOMENT_COUNT };

/* Two messages; the change concerns one recipient of the first, which has two. Its transaction is refused later on, or
   accepted. */
static int64_t change_at(enum moment moment, enum spool_change_kind kind, bool is_accepted)
{
    struct delivery_order *blockers[3];
    char terms[80];

    (void)fixture_submit_many(&f, "one", 3);
    for (size_t i = 0; i < 3; i++)
        blockers[i] = script_order(i);
    int64_t key = fixture_submit(&f, A, "one", 2);
    (void)snprintf(terms, sizeof terms, "recipient=r0-%lld@example.com", (long long)key);
    if (moment == WHEN_READY)
        fixture_change(&f, kind, terms);
    for (size_t i = 0; i < 3; i++)
        script_deliver(blockers[i]);
    fixture_settle(&f);
    if (script_orders_out() == 0)
        return key;
    struct delivery_order *order = fixture_order(&f);
    if (moment == WHEN_IN_FLIGHT)
        fixture_change(&f, kind, terms);
    if (moment == WHEN_SETTLING)
        script_hold(FAULT_OUTCOME);
    if (is_accepted)
        script_deliver(order);
    else {
        script_refuse_all(order, STAGE_RCPT, "450 4.2.1 Mailbox busy");
        script_answer(order);
    }
    fixture_settle(&f);
    if (moment == WHEN_SETTLING) {
        fixture_change(&f, kind, terms);
        script_release(FAULT_OUTCOME);
    }
    fixture_settle(&f);
    return key;
}

static void test_changes_at_any_moment(void **state)
{
    static const struct {
        const char *name;
        enum spool_change_kind kind;
        bool is_accepted;
        const char *states[MOMENT_COUNT]; /* right afterwards */
        const char *end;                  /* when the rest has been delivered; NULL: the same */
    } rows[] = {
        /* clang-format off */
        { "hold, accepted", CHANGE_HOLD, true,
          { "held 1, delivered 1", "delivered 2", "delivered 2" }, NULL },
        { "hold, refused", CHANGE_HOLD, false,
          { "queued 1, held 1", "queued 1, held 1", "queued 1, held 1" }, "held 1, delivered 1" },
        { "delete, accepted", CHANGE_DELETE, true,
          { "delivered 1, cancelled 1", "delivered 2", "delivered 2" }, NULL },
        { "delete, refused", CHANGE_DELETE, false,
          { "queued 1, cancelled 1", "queued 1, cancelled 1", "queued 1, cancelled 1" },
          "delivered 1, cancelled 1" },
        { "retry, accepted", CHANGE_RETRY, true,
          { "delivered 2", "delivered 2", "delivered 2" }, NULL },
        { "retry, refused", CHANGE_RETRY, false,
          { "queued 2", "queued 2", "queued 2" }, "delivered 2" },
        /* clang-format on */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int moment = 0; moment < MOMENT_COUNT; moment++) {
            print_message("%s, moment %d\n", rows[i].name, moment);
            const char *then = rows[i].states[moment];
            int64_t key = change_at((enum moment)moment, rows[i].kind, rows[i].is_accepted);
            assert_states(terms_of("id=", key), then);
            fixture_advance(&f, 30);
            (void)fixture_deliver_all(&f);
            assert_states(terms_of("id=", key), rows[i].end != NULL ? rows[i].end : then);
            for (uint16_t number = 0; number < 2; number++)
                assert_true(script_taken_count(key, number) <= 1);
        }
    }
}

static void test_hold_and_release(void **state)
{
    (void)state;
    int64_t key = fixture_submit(&f, A, "one", 3);
    script_refuse_all(fixture_order(&f), STAGE_RCPT, "450 4.2.1 Mailbox busy");
    script_answer(fixture_order(&f));
    fixture_settle(&f);
    fixture_change(&f, CHANGE_HOLD, terms_of("id=", key));
    fixture_advance(&f, 86400);
    assert_int_equal(script_orders_out(), 0);
    fixture_change(&f, CHANGE_RELEASE, terms_of("id=", key));
    assert_int_equal(fixture_deliver_all(&f), 1);
    assert_states("all", "delivered 3");
}

/* Only the first slice is under way: the others must stay. */
static void test_held_between_slices(void **state)
{
    (void)state;
    int64_t key = fixture_submit(&f, A, "one", 25);
    fixture_change(&f, CHANGE_HOLD, terms_of("id=", key));
    script_deliver(fixture_order(&f));
    fixture_settle(&f);
    assert_int_equal(script_orders_out(), 0);
    assert_states("all", "held 15, delivered 10");
    fixture_change(&f, CHANGE_RELEASE, terms_of("id=", key));
    assert_int_equal(fixture_deliver_all(&f), 2);
    assert_states("all", "delivered 25");
}

/* One recipient has failed, the other is in flight: retry brings back the first without disturbing the second. */
static void test_retry_of_one_while_another_is_in_flight(void **state)
{
    char terms[80];

    (void)state;
    int64_t key = fixture_submit(&f, A, "one", 2);
    struct delivery_order *order = fixture_order(&f);
    script_refuse(order, 0, STAGE_RCPT, "550 5.1.1 No such user");
    script_refuse(order, 1, STAGE_RCPT, "450 4.2.1 Mailbox busy");
    script_answer(order);
    fixture_advance(&f, 30);
    order = fixture_order(&f);
    (void)snprintf(terms, sizeof terms, "recipient=r0-%lld@example.com", (long long)key);
    fixture_change(&f, CHANGE_RETRY, terms);
    script_deliver(order);
    fixture_settle(&f);
    assert_int_equal(fixture_deliver_all(&f), 1);
    assert_states("all", "delivered 2");
    assert_int_equal(script_taken_count(key, 0), 1);
    assert_int_equal(script_taken_count(key, 1), 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_delivered),
        CASE(test_failed),
        CASE(test_retries_back_off),
        CASE(test_each_recipient_has_its_own_outcome),
        CASE(test_in_doubt_is_tried_again),
        CASE(test_too_old),
        CASE(test_many_recipients_go_in_slices),
        CASE(test_split),
        CASE(test_split_ends),
        CASE(test_split_and_lost),
        CASE(test_one_probe_while_in_trouble),
        CASE(test_trouble_stays_in_its_lane),
        CASE(test_late_answers_are_no_probe),
        CASE(test_never_two_probes),
        CASE(test_a_probe_that_proves_nothing),
        CASE(test_behind_a_dead_smarthost_mail_expires),
        CASE(test_poison_is_charged),
        CASE(test_parked_over_restarts),
        CASE(test_parked_by_hand),
        CASE(test_parked_during_its_probe),
        CASE(test_parked_sender),
        CASE(test_parked_sender_is_released_by_hand),
        CASE(test_changes_at_any_moment),
        CASE(test_hold_and_release),
        CASE(test_held_between_slices),
        CASE(test_retry_of_one_while_another_is_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
