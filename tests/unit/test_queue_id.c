/* Queue ids: order, time, and what could be one. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "queue_id.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

static void test_known_ids(void **state)
{
    char id[QUEUE_ID_SIZE];
    int64_t time_ms = -1;

    (void)state;
    queue_id_format(id, 0, 0);
    assert_string_equal(id, "0000000000000000000000");
    queue_id_format(id, 31, UINT64_MAX);
    assert_string_equal(id, "00000000ZFZZZZZZZZZZZZ");
    queue_id_format(id, INT64_C(1795458600123), 32);
    assert_string_equal(id, "1M84TR35V0000000000010");
    assert_true(queue_id_time(id, &time_ms));
    assert_int_equal(time_ms, INT64_C(1795458600123));
}

static void test_later_ids_sort_later(void **state)
{
    char before[QUEUE_ID_SIZE];
    char after[QUEUE_ID_SIZE];

    (void)state;
    for (int64_t time_ms = 0; time_ms < INT64_C(1) << 44; time_ms = time_ms * 3 + 1) {
        queue_id_format(before, time_ms, UINT64_MAX);
        queue_id_format(after, time_ms + 1, 0);
        assert_true(strcmp(before, after) < 0);
    }
}

/* More than there are random numbers fetched at once. */
static void test_new_ids_differ(void **state)
{
    char ids[100][QUEUE_ID_SIZE];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        queue_id_new(ids[i], 1000);
        assert_true(queue_id_is_plausible(ids[i]));
        assert_memory_equal(ids[i], ids[0], 9);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(ids[i], ids[j]);
    }
}

static void test_plausible_ids(void **state)
{
    static const struct {
        const char *text;
        bool is_plausible;
    } rows[] = {
        {"0123456789",                   true },
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZ",  true },
        { "012345678",                   false},
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZ0", false},
        { "",                            false},
        { "01234567a9",                  false},
        { "0123456789 ",                 false},
        { "01234-6789",                  false},
    };
    int64_t time_ms = 7;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_int_equal(queue_id_is_plausible(rows[i].text), rows[i].is_plausible);
    assert_false(queue_id_time("0123456789", &time_ms));
    assert_false(queue_id_time("000000000000000000000U", &time_ms));
    assert_int_equal(time_ms, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_ids),
        cmocka_unit_test(test_later_ids_sort_later),
        cmocka_unit_test(test_new_ids_differ),
        cmocka_unit_test(test_plausible_ids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
