/* Outcomes that cannot be stored, stops in the middle, and what a crash leaves behind. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include "dispatcher_fixture.h"

#define A "a@example.com"

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

static void assert_states(const char *expected)
{
    assert_string_equal(fixture_states(&f, "all"), expected);
}

/* --- The spool cannot store --- */

/* Slots go on with the next message until the first failure is known, and then no further. */
static void test_nothing_starts_while_an_outcome_is_missing(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 10);
    (void)fixture_submit_many(&f, "two", 1);
    assert_int_equal(script_orders_out(), 4);
    script_fail_next(FAULT_OUTCOME, 8);
    for (size_t i = 0; i < 4; i++)
        script_deliver(script_order(0));
    for (int i = 0; i < 4 && script_faults_left(FAULT_OUTCOME) > 0; i++) {
        fixture_advance(&f, 1);
        assert_int_equal(script_orders_started(), 4 + 3);
        assert_int_equal(script_uncommitted(), 4);
        fixture_advance(&f, 10);
    }
    fixture_advance(&f, 10);
    assert_int_equal(script_uncommitted(), 0);
    assert_int_equal(fixture_deliver_all(&f), 7);
    assert_states("delivered 11");
}

/* Not even between asking again and the answer. */
static void test_nothing_starts_while_an_outcome_is_stored_again(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 10);
    script_fail_next(FAULT_OUTCOME, 1);
    script_deliver(script_order(0));
    fixture_settle(&f);
    script_hold(FAULT_OUTCOME);
    fixture_advance(&f, 60);
    assert_int_equal(script_held(), 1);
    (void)fixture_submit_many(&f, "two", 1);
    assert_int_equal(script_orders_started(), 3 + 1);
    script_release(FAULT_OUTCOME);
    assert_int_equal(fixture_deliver_all(&f), 10);
}

/* News that come all the time do not put off the next try. */
static void test_stored_again_although_mail_keeps_coming(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    script_fail_next(FAULT_OUTCOME, 1);
    script_deliver(fixture_order(&f));
    for (int i = 0; i < 10; i++) {
        (void)fixture_submit(&f, A, "one", 1);
        fixture_advance(&f, 1);
    }
    assert_int_equal(script_uncommitted(), 0);
    assert_int_equal(fixture_deliver_all(&f), 10);
}

static void test_stored_at_the_stop(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    script_fail_next(FAULT_OUTCOME, 1);
    script_deliver(fixture_order(&f));
    fixture_stop(&f);
    fixture_start(&f);
    assert_states("delivered 1");
}

static void test_in_doubt_when_it_could_not_be_stored(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    script_fail_next(FAULT_OUTCOME, 1000);
    script_deliver(fixture_order(&f));
    fixture_advance(&f, 20);
    fixture_stop(&f);
    script_fail_next(FAULT_OUTCOME, 0);
    fixture_start(&f);
    assert_states("in-doubt 1");
    assert_int_equal(script_marks(), 0);
}

/* --- Stops --- */

static void test_stop_starts_nothing(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 10);
    dispatcher_stop(f.dispatcher);
    assert_false(dispatcher_is_idle(f.dispatcher));
    for (size_t i = 0; i < 3; i++)
        script_deliver(script_order(0));
    fixture_settle(&f);
    assert_int_equal(script_orders_started(), 3);
    assert_true(dispatcher_is_idle(f.dispatcher));
    fixture_stop(&f);
    fixture_start(&f);
    assert_int_equal(fixture_deliver_all(&f), 7);
    assert_states("delivered 10");
}

static void test_stop_of_a_probe(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    script_trouble(fixture_order(&f), STAGE_CONNECT, TROUBLE_CONNECT);
    script_answer(fixture_order(&f));
    fixture_advance(&f, 30);
    assert_int_equal(script_orders_out(), 1);
    fixture_stop(&f);
    fixture_start(&f);
    assert_int_equal(fixture_deliver_all(&f), 1);
}

static void test_stop_during_recovery(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 3);
    script_fail_next(FAULT_CRASHED, 1000);
    fixture_crash(&f);
    assert_int_equal(script_orders_out(), 0);
    fixture_stop(&f);
    assert_int_equal(script_marks(), 3);
    script_fail_next(FAULT_CRASHED, 0);
    fixture_start(&f);
    assert_int_equal(fixture_deliver_all(&f), 3);
}

/* --- Crashes --- */

static void test_crash_at_the_dot(void **state)
{
    (void)state;
    int64_t key = fixture_submit(&f, A, "one", 2);
    script_hold(FAULT_OUTCOME);
    script_refuse(fixture_order(&f), 1, STAGE_RCPT, "550 5.1.1 No such user");
    script_accept(fixture_order(&f), 0);
    script_answer(fixture_order(&f));
    fixture_crash(&f);
    assert_states("queued 1, in-doubt 1");
    assert_int_equal(script_doubted_count(key, 0), 1);
    assert_int_equal(fixture_order(&f)->recipients[0].number, 1);
    script_deliver(fixture_order(&f));
    fixture_advance(&f, 86400);
    assert_int_equal(fixture_deliver_all(&f), 1);
    assert_states("delivered 2");
}

static void test_three_crashes(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    for (int i = 0; i < 2; i++) {
        fixture_crash(&f);
        assert_states("queued 1");
        assert_int_equal(fixture_order(&f)->recipients[0].attempts, 0);
    }
    fixture_crash(&f);
    assert_states("held 1");
    assert_int_equal(script_orders_out(), 0);
    fixture_change(&f, CHANGE_RELEASE, "all");
    assert_int_equal(fixture_deliver_all(&f), 1);
}

/* What is in doubt must be on record before it can be sent again. */
static void test_crash_cannot_be_recorded(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    (void)fixture_submit(&f, A, "two", 1);
    script_fail_next(FAULT_OUTCOME, 1);
    script_deliver(script_order(0));
    fixture_settle(&f);
    script_fail_next(FAULT_CRASHED, 3);
    fixture_crash(&f);
    (void)fixture_submit(&f, A, "two", 1);
    assert_int_equal(script_orders_out(), 0);
    fixture_advance(&f, 60);
    assert_int_equal(script_faults_left(FAULT_CRASHED), 0);
    assert_states("queued 2, in-doubt 1");
    assert_int_equal(fixture_deliver_all(&f), 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_nothing_starts_while_an_outcome_is_missing),
        CASE(test_nothing_starts_while_an_outcome_is_stored_again),
        CASE(test_stored_again_although_mail_keeps_coming),
        CASE(test_stored_at_the_stop),
        CASE(test_in_doubt_when_it_could_not_be_stored),
        CASE(test_stop_starts_nothing),
        CASE(test_stop_of_a_probe),
        CASE(test_stop_during_recovery),
        CASE(test_crash_at_the_dot),
        CASE(test_three_crashes),
        CASE(test_crash_cannot_be_recorded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
