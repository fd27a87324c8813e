/* Token buckets: what may pass in a span of time, with time as a parameter. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bucket.h"

/* Takes whatever is there as soon as it is there. */
static unsigned passed_within(struct rate rate, int64_t span_ms)
{
    struct bucket bucket;
    unsigned passed = 0;
    int64_t now_ms = 1;

    bucket_init(&bucket, rate, now_ms);
    for (int64_t end_ms = now_ms + span_ms; now_ms < end_ms;) {
        int64_t wait_ms = bucket_wait_ms(&bucket, now_ms);
        if (wait_ms == 0) {
            bucket_take(&bucket);
            passed++;
        }
        now_ms += wait_ms;
    }
    return passed;
}

static void test_fourteen_per_second(void **state)
{
    (void)state;
    assert_in_range(passed_within((struct rate){ 14, 1 }, 10000), 138, 142);
}

static void test_daily(void **state)
{
    (void)state;
    assert_in_range(passed_within((struct rate){ 50, 86400 }, 86400 * 1000LL), 50, 55);
}

static void test_no_limit(void **state)
{
    struct bucket bucket;

    (void)state;
    bucket_init(&bucket, (struct rate){ 0 }, 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(bucket_wait_ms(&bucket, 0), 0);
        bucket_take(&bucket);
    }
}

static void test_clock_going_back_gives_nothing(void **state)
{
    struct bucket bucket;

    (void)state;
    bucket_init(&bucket, (struct rate){ 1, 60 }, 1000000);
    bucket_take(&bucket);
    assert_true(bucket_wait_ms(&bucket, 0) > 0);
    assert_true(bucket_wait_ms(&bucket, 1000) > 0);
    assert_int_equal(bucket_wait_ms(&bucket, 60001), 0);
}

static void test_another_limit_keeps_what_was_used(void **state)
{
    struct bucket bucket;

    (void)state;
    bucket_init(&bucket, (struct rate){ 1, 60 }, 0);
    bucket_take(&bucket);
    bucket_change(&bucket, (struct rate){ 1, 1 }, 0);
    assert_in_range(bucket_wait_ms(&bucket, 0), 999, 1001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fourteen_per_second),
        cmocka_unit_test(test_daily),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_clock_going_back_gives_nothing),
        cmocka_unit_test(test_another_limit_keeps_what_was_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
