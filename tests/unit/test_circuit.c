/* The health of a smarthost over made-up time. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "circuit.h"
#include "cleanup.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

enum { NOW = 1000000 };

static const struct retry_policy policy = {
    .first_s = 30, .factor = 2, .max_s = 3600, .jitter_percent = 0
};

static const struct verdict refused = { .class = CLASS_CONNECT_FAILED,
                                        .scope = SCOPE_SMARTHOST,
                                        .action = ACTION_RETRY,
                                        .rule = "refused" };
static const struct verdict lost = { .class = CLASS_CONNECT_FAILED,
                                     .scope = SCOPE_CONNECTION,
                                     .action = ACTION_RECONNECT,
                                     .rule = "lost" };

static struct verdict slow(int64_t wait_s)
{
    return (struct verdict){ .class = CLASS_THROTTLED,
                             .scope = SCOPE_SMARTHOST,
                             .action = ACTION_SLOW,
                             .wait_s = wait_s,
                             .rule = "slow" };
}

static struct verdict park(int64_t wait_s)
{
    return (struct verdict){ .class = CLASS_AUTH_FAILED,
                             .scope = SCOPE_ACCOUNT,
                             .action = ACTION_PARK,
                             .wait_s = wait_s,
                             .rule = "park" };
}

static void test_trouble_opens_and_backs_off(void **state)
{
    struct circuit circuit;
    int64_t now_s = NOW;

    (void)state;
    circuit_init(&circuit);
    assert_true(circuit_may_start(&circuit, now_s));
    for (int64_t wait_s = 30; wait_s <= 240; wait_s *= 2) {
        assert_false(circuit_failed(&circuit, &refused, &policy, now_s, 0));
        assert_int_equal(circuit.state, CIRCUIT_OPEN);
        assert_int_equal(circuit.since_s, NOW);
        assert_string_equal(circuit.reason.rule, "refused");
        assert_false(circuit_may_start(&circuit, now_s + wait_s - 1));
        assert_true(circuit_may_start(&circuit, now_s + wait_s));
        now_s += wait_s;
        circuit_probe_started(&circuit);
        assert_false(circuit_may_start(&circuit, now_s + 9999));
    }
    circuit_succeeded(&circuit);
    assert_int_equal(circuit.state, CIRCUIT_CLOSED);
    assert_int_equal(circuit.failures, 0);
    assert_true(circuit_may_start(&circuit, now_s));
}

static void test_ten_connections_that_break_at_once_are_one_failure(void **state)
{
    struct circuit circuit;

    (void)state;
    circuit_init(&circuit);
    for (int i = 0; i < 10; i++)
        (void)circuit_failed(&circuit, &refused, &policy, NOW, 0);
    assert_int_equal(circuit.failures, 1);
    assert_true(circuit_may_start(&circuit, NOW + 30));
}

static void test_a_lost_connection_is_replaced_at_once_but_not_twice(void **state)
{
    struct circuit circuit;

    (void)state;
    circuit_init(&circuit);
    (void)circuit_failed(&circuit, &lost, &policy, NOW, 0);
    assert_true(circuit_may_start(&circuit, NOW));
    (void)circuit_failed(&circuit, &lost, &policy, NOW, 0);
    assert_false(circuit_may_start(&circuit, NOW));
    circuit_init(&circuit);
    (void)circuit_failed(&circuit, &lost, &policy, NOW, 0);
    circuit_succeeded(&circuit);
    (void)circuit_failed(&circuit, &lost, &policy, NOW, 0);
    assert_true(circuit_may_start(&circuit, NOW));
}

static void test_waits(void **state)
{
    static const struct {
        enum verdict_action action;
        int64_t wait_s;
        int64_t retry_after_s; /* 0: never by itself */
    } rows[] = {
        {ACTION_SLOW,  10,                10    },
        { ACTION_SLOW, WAIT_NONE,         30    },
        { ACTION_SLOW, WAIT_PRINTED_TIME, 30    },
        { ACTION_SLOW, INT64_MAX,         604800},
        { ACTION_PARK, 86400,             86400 },
        { ACTION_PARK, WAIT_NONE,         3600  },
        { ACTION_PARK, WAIT_PRINTED_TIME, 3600  },
        { ACTION_PARK, WAIT_HUMAN,        0     },
        { ACTION_PARK, INT64_MAX,         604800},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct circuit circuit;
        struct verdict verdict =
            rows[i].action == ACTION_PARK ? park(rows[i].wait_s) : slow(rows[i].wait_s);
        circuit_init(&circuit);
        assert_int_equal(circuit_failed(&circuit, &verdict, &policy, NOW, 0),
                         rows[i].action == ACTION_PARK);
        if (rows[i].retry_after_s == 0) {
            assert_int_equal(circuit.retry_at_s, 0);
            assert_false(circuit_may_start(&circuit, INT64_MAX));
        } else {
            assert_false(circuit_may_start(&circuit, NOW + rows[i].retry_after_s - 1));
            assert_true(circuit_may_start(&circuit, NOW + rows[i].retry_after_s));
        }
    }
}

static void test_a_hint_that_is_too_short_grows(void **state)
{
    struct circuit circuit;
    struct verdict verdict = slow(10);
    int64_t now_s = NOW;

    (void)state;
    circuit_init(&circuit);
    for (int i = 0; i < 4; i++) {
        (void)circuit_failed(&circuit, &verdict, &policy, now_s, 0);
        now_s = circuit.retry_at_s;
        circuit_probe_started(&circuit);
    }
    assert_int_equal(now_s, NOW + 10 + 60 + 120 + 240);
}

static void test_parked_is_announced_once_and_kept(void **state)
{
    struct circuit circuit;
    struct verdict parked = park(86400);

    (void)state;
    circuit_init(&circuit);
    assert_true(circuit_failed(&circuit, &parked, &policy, NOW, 0));
    /* What was under way ends somehow: that changes nothing. */
    assert_false(circuit_failed(&circuit, &parked, &policy, NOW + 1, 0));
    assert_false(circuit_failed(&circuit, &refused, &policy, NOW + 1, 0));
    circuit_succeeded(&circuit);
    assert_int_equal(circuit.state, CIRCUIT_PARKED);
    assert_int_equal(circuit.retry_at_s, NOW + 86400);
    /* The probe meets another trouble, then the old one, then success. */
    circuit_probe_started(&circuit);
    assert_false(circuit_failed(&circuit, &refused, &policy, NOW + 86400, 0));
    assert_int_equal(circuit.state, CIRCUIT_PARKED);
    assert_string_equal(circuit.reason.rule, "park");
    assert_true(circuit_may_start(&circuit, circuit.retry_at_s));
    circuit_probe_started(&circuit);
    assert_false(circuit_failed(&circuit, &parked, &policy, NOW + 90000, 0));
    assert_int_equal(circuit.since_s, NOW);
    circuit_probe_started(&circuit);
    circuit_succeeded(&circuit);
    assert_int_equal(circuit.state, CIRCUIT_CLOSED);
}

static void test_slowing_down_outlives_old_transactions(void **state)
{
    struct circuit circuit;
    struct verdict verdict = slow(60);

    (void)state;
    circuit_init(&circuit);
    (void)circuit_failed(&circuit, &verdict, &policy, NOW, 0);
    circuit_succeeded(&circuit);
    assert_int_equal(circuit.state, CIRCUIT_OPEN);
    circuit_init(&circuit);
    (void)circuit_failed(&circuit, &refused, &policy, NOW, 0);
    circuit_succeeded(&circuit);
    assert_int_equal(circuit.state, CIRCUIT_CLOSED);
}

static void test_by_hand(void **state)
{
    struct circuit circuit;

    (void)state;
    circuit_init(&circuit);
    circuit_park(&circuit, NOW);
    assert_string_equal(circuit.reason.rule, "operator");
    assert_false(circuit_may_start(&circuit, INT64_MAX));
    circuit_succeeded(&circuit);
    assert_int_equal(circuit.state, CIRCUIT_PARKED);
    circuit_unpark(&circuit);
    assert_true(circuit_may_start(&circuit, NOW));
}

static void test_the_end_of_time(void **state)
{
    struct circuit circuit;
    struct verdict parked = park(86400);

    (void)state;
    circuit_init(&circuit);
    (void)circuit_failed(&circuit, &refused, &policy, INT64_MAX - 1, UINT32_MAX);
    assert_int_equal(circuit.retry_at_s, INT64_MAX);
    (void)circuit_failed(&circuit, &parked, &policy, INT64_MAX - 1, UINT32_MAX);
    assert_int_equal(circuit.retry_at_s, INT64_MAX);
    assert_string_equal(circuit_state_name(CIRCUIT_CLOSED), "ok");
    assert_string_equal(circuit_state_name(CIRCUIT_OPEN), "backing-off");
    assert_string_equal(circuit_state_name(CIRCUIT_PARKED), "parked");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trouble_opens_and_backs_off),
        cmocka_unit_test(test_ten_connections_that_break_at_once_are_one_failure),
        cmocka_unit_test(test_a_lost_connection_is_replaced_at_once_but_not_twice),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_a_hint_that_is_too_short_grows),
        cmocka_unit_test(test_parked_is_announced_once_and_kept),
        cmocka_unit_test(test_slowing_down_outlives_old_transactions),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_the_end_of_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
