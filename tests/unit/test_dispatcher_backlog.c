/* Nothing that is due is forgotten: backlog bigger than memory, reads that cross with changes, due times that pass
   while something else is going on, reloads. */
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

static struct fixture f;

static int set_up(void **state)
{
    (void)state;
    fixture_open(&f, "");
    return 0;
}

static int set_up_slow(void **state)
{
    (void)state;
    fixture_open(&f, "rate = \"10/h\";");
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

static void assert_taken_once(int64_t first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(script_taken_count(first + (int64_t)i, 0), 1);
}

static void change_recipient(enum spool_change_kind kind, int64_t key, unsigned number)
{
    char terms[80];

    (void)snprintf(terms, sizeof terms, "recipient=r%u-%lld@example.com", number, (long long)key);
    fixture_change(&f, kind, terms);
}

/* --- More than memory holds --- */

static void test_more_than_the_window(void **state)
{
    (void)state;
    int64_t first = fixture_submit_many(&f, "one", 5000);
    assert_true(fixture_lane(&f, "one").active <= 2000);
    assert_int_equal(fixture_deliver_all(&f), 5000);
    assert_states("all", "delivered 5000");
    assert_taken_once(first, 5000);
    assert_int_equal(fixture_lane(&f, "one").active, 0);
}

static void test_backlog_of_an_earlier_life(void **state)
{
    (void)state;
    int64_t first = fixture_submit_many(&f, "one", 3000);
    fixture_stop(&f);
    fixture_start(&f);
    assert_true(fixture_lane(&f, "one").active <= 2000);
    assert_int_equal(fixture_deliver_all(&f), 3000);
    assert_taken_once(first, 3000);
}

/* The spool gives 500 recipients at a time: the message comes in pieces. */
static void test_message_with_more_recipients_than_a_read(void **state)
{
    (void)state;
    int64_t key = fixture_submit(&f, A, "one", 1300);
    fixture_stop(&f);
    fixture_start(&f);
    (void)fixture_deliver_all(&f);
    assert_states("all", "delivered 1300");
    for (uint16_t i = 0; i < 1300; i++)
        assert_int_equal(script_taken_count(key, i), 1);
}

/* While more is in the spool than in memory, somebody waits for his turn behind a message that began earlier. */
static void test_accepted_behind_the_cursor(void **state)
{
    static const int64_t now[] = { 0 };

    (void)state;
    int64_t slow = spool_message_key_new(f.spool);
    (void)fixture_submit_many(&f, "one", 2500);
    fixture_stop(&f);
    fixture_start(&f);
    fixture_submit_later(&f, slow, "one", now, 1);
    assert_int_equal(fixture_deliver_all(&f), 2501);
    assert_states("all", "delivered 2501");
}

/* --- Crossings --- */

/* r0 is held while it is in memory, so the message is forgotten and read again for the sake of r1: which must not be
   prevented by a read that was under way. */
static void test_change_during_a_read(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 100);
    int64_t key = fixture_submit(&f, A, "one", 2);
    (void)fixture_submit_many(&f, "one", 600);
    fixture_stop(&f);
    script_hold(FAULT_DUE);
    fixture_start(&f);
    script_release(FAULT_DUE);
    script_hold(FAULT_DUE); /* the first 500 come, the rest does not yet */
    fixture_settle(&f);
    change_recipient(CHANGE_HOLD, key, 0);
    script_release(FAULT_DUE);
    (void)fixture_deliver_all(&f);
    assert_states("all", "held 1, delivered 701");
}

/* r0 has failed and is retried while r1 is in flight; before that lands, the backlog has been read past the two. */
static void test_retried_behind_the_cursor(void **state)
{
    (void)state;
    int64_t key = fixture_submit(&f, A, "one", 2);
    struct delivery_order *order = fixture_order(&f);
    script_refuse(order, 0, STAGE_RCPT, "550 5.1.1 No such user");
    script_refuse(order, 1, STAGE_RCPT, "450 4.2.1 Mailbox busy");
    script_answer(order);
    fixture_settle(&f);
    fixture_advance(&f, 30);
    order = fixture_order(&f);
    change_recipient(CHANGE_RETRY, key, 0);
    (void)fixture_submit_many(&f, "one", 3500);
    for (int i = 0; i < 1200; i++) { /* the backlog has been read, but not to its end */
        script_deliver(script_order(1));
        fixture_settle(&f);
    }
    script_deliver(order);
    (void)fixture_deliver_all(&f);
    assert_states("all", "delivered 3502");
    assert_int_equal(script_taken_count(key, 0), 1);
    assert_int_equal(script_taken_count(key, 1), 1);
}

/* Two slices of one message become due at different times; the second while the first is in flight. */
static void test_rest_becomes_due_in_flight(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 11);
    script_refuse_all(fixture_order(&f), STAGE_RCPT, "450 4.2.1 Mailbox busy");
    script_answer(fixture_order(&f));
    fixture_advance(&f, 20);
    script_refuse_all(fixture_order(&f), STAGE_RCPT, "450 4.2.1 Mailbox busy");
    script_answer(fixture_order(&f));
    fixture_advance(&f, 10);
    assert_int_equal(fixture_order(&f)->recipient_count, 10);
    fixture_advance(&f, 60);
    assert_int_equal(script_orders_out(), 1);
    (void)fixture_deliver_all(&f);
    assert_states("all", "delivered 11");
    assert_int_equal(script_orders_started(), 4);
}

/* The retry is due before its outcome has been stored, because the spool had no room for it. */
static void test_due_before_it_is_recorded(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    script_hold(FAULT_OUTCOME);
    script_refuse(fixture_order(&f), 0, STAGE_RCPT, "450 4.2.1 Mailbox busy");
    script_answer(fixture_order(&f));
    fixture_advance(&f, 40);
    script_fail_next(FAULT_OUTCOME, 1);
    script_release(FAULT_OUTCOME);
    fixture_advance(&f, 20);
    script_deliver(fixture_order(&f));
    fixture_settle(&f);
    assert_states("all", "delivered 1");
}

static void test_backlog_cannot_be_read(void **state)
{
    (void)state;
    (void)fixture_submit(&f, A, "one", 1);
    fixture_stop(&f);
    script_fail_next(FAULT_DUE, 3);
    fixture_start(&f);
    assert_int_equal(script_orders_out(), 0);
    fixture_advance(&f, 30);
    assert_int_equal(fixture_deliver_all(&f), 1);
}

static void test_sent_later(void **state)
{
    static const int64_t delays_s[] = { 100, 0, 50, 200 };

    (void)state;
    fixture_submit_later(&f, spool_message_key_new(f.spool), "one", delays_s, 4);
    assert_int_equal(fixture_deliver_all(&f), 1);
    for (int64_t at_s = 50; at_s <= 200; at_s += at_s == 50 ? 50 : 100) {
        fixture_advance(&f, at_s == 200 ? 99 : 49);
        assert_int_equal(script_orders_out(), 0);
        fixture_advance(&f, 1);
        assert_int_equal(fixture_deliver_all(&f), 1);
    }
    assert_states("all", "delivered 4");
}

/* --- Limits --- */

static void test_rate(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 4);
    assert_int_equal(fixture_deliver_all(&f), 1);
    assert_true(fixture_lane(&f, "one").is_rate_limited);
    fixture_advance(&f, 359);
    assert_int_equal(script_orders_out(), 0);
    fixture_advance(&f, 1);
    assert_int_equal(fixture_deliver_all(&f), 1);
    fixture_advance(&f, 720);
    assert_int_equal(fixture_deliver_all(&f), 2);
    assert_false(fixture_lane(&f, "one").is_rate_limited);
    fixture_advance(&f, 7200);
    (void)fixture_submit_many(&f, "one", 4);
    assert_int_equal(fixture_deliver_all(&f), 1); /* what was not used does not pile up */
}

/* Waits for the token and for the smarthost, whichever is later, without waking up in between. */
static void test_rate_and_trouble(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 3);
    script_trouble(fixture_order(&f), STAGE_CONNECT, TROUBLE_CONNECT);
    script_answer(fixture_order(&f));
    for (int i = 0; i < 10; i++) {
        fixture_advance(&f, 7200);
        script_trouble(fixture_order(&f), STAGE_CONNECT, TROUBLE_CONNECT);
        script_answer(fixture_order(&f));
    }
    fixture_advance(&f, 7200);
    script_deliver(fixture_order(&f));
    fixture_advance(&f, 7200);
    assert_int_equal(fixture_deliver_all(&f), 2);
}

/* --- Reloads --- */

#define ONLY_TWO "smarthosts = { two = { " FIXTURE_SMARTHOST " }; };"

static void test_smarthost_vanishes(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 10);
    fixture_reload(&f, ONLY_TWO);
    for (size_t i = 0; i < 3; i++) { /* those that were out come back as they like */
        assert_string_equal(script_order(0)->smarthost->name, "one");
        script_refuse(script_order(0), 0, STAGE_RCPT, "450 4.2.1 Mailbox busy");
        script_answer(script_order(0));
    }
    fixture_settle(&f);
    assert_int_equal(script_orders_out(), 3);
    assert_string_equal(script_order(0)->smarthost->name, "two");
    assert_int_equal(fixture_deliver_all(&f), 7);
    fixture_advance(&f, 30);
    assert_int_equal(fixture_deliver_all(&f), 3);
    assert_states("smarthost=two", "delivered 10");
}

static void test_smarthost_vanishes_over_a_restart(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 1000);
    fixture_reload(&f, ONLY_TWO);
    fixture_stop(&f);
    fixture_start(&f);
    (void)fixture_deliver_all(&f);
    assert_states("smarthost=two", "delivered 1000");
}

static void test_parked_smarthost_vanishes(void **state)
{
    (void)state;
    assert_true(dispatcher_park(f.dispatcher, "one", 0));
    (void)fixture_submit_many(&f, "one", 10);
    fixture_reload(&f, ONLY_TWO);
    assert_int_equal(fixture_deliver_all(&f), 10);
    assert_states("smarthost=two", "delivered 10");
}

/* The spool has no room for the move at first. */
static void test_moved_late(void **state)
{
    (void)state;
    assert_true(dispatcher_park(f.dispatcher, "one", 0));
    (void)fixture_submit_many(&f, "one", 3);
    script_fail_next(FAULT_OUTCOME, 5);
    fixture_reload(&f, ONLY_TWO);
    fixture_advance(&f, 60);
    assert_int_equal(fixture_deliver_all(&f), 3);
}

/* Each recipient goes where the routes send it now. */
static void test_recipients_part(void **state)
{
    (void)state;
    assert_true(dispatcher_park(f.dispatcher, "one", 0));
    int64_t key = fixture_submit(&f, A, "one", 3);
    fixture_reload(&f, "smarthosts = { two = { " FIXTURE_SMARTHOST " };"
                       " three = { " FIXTURE_SMARTHOST " }; };"
                       "routes = ( { recipient = \"r1-*\"; smarthosts = [ \"three\" ]; },"
                       " { smarthosts = [ \"two\" ]; } );");
    assert_int_equal(fixture_deliver_all(&f), 2);
    for (uint16_t i = 0; i < 3; i++)
        assert_int_equal(script_taken_count(key, i), 1);
    assert_int_equal(fixture_lane(&f, "three").delivered, 1);
    assert_int_equal(fixture_lane(&f, "two").delivered, 2);
}

#define ONE_WITH(variable)                                                                         \
    "smarthosts = { one = { " FIXTURE_SMARTHOST "username = \"u\"; password-env = \"" variable     \
    "\"; }; };"

/* A new password is tried by itself, and it is the new one. */
static void test_new_password(void **state)
{
    (void)state;
    (void)setenv("OUTBOX_TEST_OLD", "old", 1);
    (void)setenv("OUTBOX_TEST_NEW", "new", 1);
    fixture_reload(&f, ONE_WITH("OUTBOX_TEST_OLD"));
    (void)fixture_submit_many(&f, "one", 4);
    assert_string_equal(script_order(0)->smarthost->password, "old");
    for (size_t i = 0; i < 2; i++) {
        script_trouble_reply(script_order(0), STAGE_AUTH, "535 5.7.8 Authentication failed");
        script_answer(script_order(0));
    }
    fixture_settle(&f);
    fixture_reload(&f, ONE_WITH("OUTBOX_TEST_OLD"));
    assert_int_equal(script_orders_out(), 1);
    fixture_reload(&f, ONE_WITH("OUTBOX_TEST_NEW"));
    assert_int_equal(script_orders_out(), 3);
    assert_string_equal(script_order(1)->smarthost->password, "new");
    /* The one that was still out with the old password proves nothing. */
    script_trouble_reply(script_order(0), STAGE_AUTH, "535 5.7.8 Authentication failed");
    script_answer(script_order(0));
    fixture_settle(&f);
    assert_int_equal(fixture_lane(&f, "one").circuit.state, CIRCUIT_CLOSED);
    assert_int_equal(fixture_deliver_all(&f), 4);
}

static void test_fewer_and_more_connections(void **state)
{
    (void)state;
    (void)fixture_submit_many(&f, "one", 40);
    fixture_reload(&f, "smarthosts = { one = { host = \"127.0.0.1\"; tls = \"none\";"
                       " connections-max = 1; }; };");
    for (size_t i = 0; i < 3; i++)
        script_deliver(script_order(0));
    fixture_settle(&f);
    assert_int_equal(script_orders_out(), 1);
    fixture_reload(&f, "smarthosts = { one = { host = \"127.0.0.1\"; tls = \"none\";"
                       " connections-max = 7; }; };");
    assert_int_equal(script_orders_out(), 7);
    assert_int_equal(fixture_deliver_all(&f), 37);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SLOW(name) cmocka_unit_test_setup_teardown(name, set_up_slow, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_more_than_the_window),
        CASE(test_backlog_of_an_earlier_life),
        CASE(test_message_with_more_recipients_than_a_read),
        CASE(test_accepted_behind_the_cursor),
        CASE(test_change_during_a_read),
        CASE(test_retried_behind_the_cursor),
        CASE(test_rest_becomes_due_in_flight),
        CASE(test_due_before_it_is_recorded),
        CASE(test_backlog_cannot_be_read),
        CASE(test_sent_later),
        SLOW(test_rate),
        SLOW(test_rate_and_trouble),
        CASE(test_smarthost_vanishes),
        CASE(test_smarthost_vanishes_over_a_restart),
        CASE(test_parked_smarthost_vanishes),
        CASE(test_moved_late),
        CASE(test_recipients_part),
        CASE(test_new_password),
        CASE(test_fewer_and_more_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
