/* States, their words, and the state of a whole message. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "recipient_state.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

static void test_words(void **state)
{
    static const char *const names[] = { "queued", "held",    "in-doubt", "delivered",
                                         "failed", "expired", "cancelled" };
    enum recipient_state parsed = RECIPIENT_QUEUED;

    (void)state;
    for (enum recipient_state i = 0; i < RECIPIENT_STATE_COUNT; i++) {
        assert_string_equal(recipient_state_name(i), names[i]);
        assert_true(recipient_state_parse(names[i], &parsed));
        assert_int_equal(parsed, i);
    }
    assert_false(recipient_state_parse("Queued", &parsed));
    assert_false(recipient_state_parse("", &parsed));
    assert_null(recipient_waiting_name(WAITING_NONE));
    for (enum recipient_waiting i = WAITING_NOW; i < WAITING_COUNT; i++)
        assert_non_null(recipient_waiting_name(i));
}

static void test_what_is_final(void **state)
{
    (void)state;
    assert_false(recipient_state_is_final(RECIPIENT_QUEUED));
    assert_false(recipient_state_is_final(RECIPIENT_HELD));
    assert_false(recipient_state_is_final(RECIPIENT_IN_DOUBT));
    assert_true(recipient_state_is_final(RECIPIENT_DELIVERED));
    assert_true(recipient_state_is_final(RECIPIENT_FAILED));
    assert_true(recipient_state_is_final(RECIPIENT_EXPIRED));
    assert_true(recipient_state_is_final(RECIPIENT_CANCELLED));
}

/* Every set of states: the first in the contract's order decides. */
static void test_a_message_has_the_first_state_of_its_recipients(void **state)
{
    static const enum recipient_state order[] = {
        RECIPIENT_IN_DOUBT, RECIPIENT_HELD,      RECIPIENT_QUEUED,    RECIPIENT_FAILED,
        RECIPIENT_EXPIRED,  RECIPIENT_CANCELLED, RECIPIENT_DELIVERED,
    };

    (void)state;
    for (unsigned set = 1; set < 1u << RECIPIENT_STATE_COUNT; set++) {
        unsigned counts[RECIPIENT_STATE_COUNT] = { 0 };
        size_t first = COUNT_OF(order);
        for (size_t i = COUNT_OF(order); i-- > 0;) {
            if ((set & (1u << i)) != 0) {
                counts[order[i]] = 3;
                first = i;
            }
        }
        assert_int_equal(message_state(counts), order[first]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_what_is_final),
        cmocka_unit_test(test_a_message_has_the_first_state_of_its_recipients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
