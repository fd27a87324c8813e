/* The retry schedule: its growth, its bounds, its jitter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "cleanup.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

static const struct retry_policy steady = {
    .first_s = 30, .factor = 2, .max_s = 3600, .jitter_percent = 0
};

static void test_growth(void **state)
{
    static const struct {
        unsigned failures;
        int64_t delay_s;
    } rows[] = {
        {0,           30  },
        { 1,          30  },
        { 2,          60  },
        { 3,          120 },
        { 7,          1920},
        { 8,          3600},
        { 9,          3600},
        { 5000,       3600},
        { UINT32_MAX, 3600},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(backoff_delay_s(&steady, rows[i].failures, 77), rows[i].delay_s);
}

static void test_odd_policies(void **state)
{
    static const struct {
        struct retry_policy policy;
        unsigned failures;
        int64_t delay_s;
    } rows[] = {
        {{ .first_s = 0, .factor = 2, .max_s = 10 },                       3,  1                  },
        { { .first_s = 100, .factor = 2, .max_s = 10 },                    1,  10                 },
        { { .first_s = 5, .factor = 1, .max_s = 10 },                      99, 5                  },
        { { .first_s = 0, .factor = 1e300, .max_s = 10 },                  99, 10                 }, /* 0 x infinity is no number */
        { { .first_s = 1, .factor = 1e300, .max_s = INT64_C(3155760000) },
         99,                                                                   INT64_C(3155760000)},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(backoff_delay_s(&rows[i].policy, rows[i].failures, 0), rows[i].delay_s);
}

static void test_jitter(void **state)
{
    struct retry_policy policy = {
        .first_s = 100, .factor = 1, .max_s = 100, .jitter_percent = 20
    };

    (void)state;
    assert_int_equal(backoff_delay_s(&policy, 1, 0), 80);
    assert_int_equal(backoff_delay_s(&policy, 1, UINT32_MAX), 120);
    assert_int_equal(backoff_delay_s(&policy, 1, UINT32_MAX / 2), 100);
    assert_int_equal(backoff_delay_s(&policy, 1, 12345), backoff_delay_s(&policy, 1, 12345));
    policy.jitter_percent = 100;
    assert_int_equal(backoff_delay_s(&policy, 1, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_odd_policies),
        cmocka_unit_test(test_jitter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
