/* What an outcome means for a recipient, row by row. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include "error.h" /* before cmocka.h, which has a macro fail() */

#include <cmocka.h>

#include "cleanup.h"
#include "settle.h"

enum { NOW = 1000000, LIFETIME = 5 * 86400 };

struct settle_case {
    const char *name;
    enum delivery_result result;
    struct verdict verdict;
    unsigned attempts;
    int64_t age_s;
    bool was_alone;
    enum recipient_state state;
    enum recipient_waiting waiting;
    int64_t delay_s; /* of due_at; -1: none */
    bool is_attempt;
};

#define RETRY(scope_)                                                                              \
    {                                                                                              \
        .scope = scope_, .action = ACTION_RETRY                                                    \
    }

static const struct settle_case cases[] = {
    {"delivered",
     DELIVERY_DONE,                                                      { .is_success = true },
     0,                                                                                                                                              0,
     true,                                                                                                                                                               RECIPIENT_DELIVERED,
     WAITING_NONE,                                                                                                                                                                                           -1,
     true                                                                                                                                                                                                                               },
    { "refused for good",
     DELIVERY_REFUSED,                                                   { .is_permanent = true, .action = ACTION_BOUNCE },
     0,                                                                                                                                              0,
     true,                                                                                                                                                               RECIPIENT_FAILED,
     WAITING_NONE,                                                                                                                                                                                           -1,
     true                                                                                                                                                                                                                               },
    { "first refusal for now",                         DELIVERY_REFUSED, RETRY(SCOPE_RECIPIENT),                                                 0,  0,            true,
     RECIPIENT_QUEUED,                                                                                                                                                                        WAITING_RETRY, 30,                    true},
    { "third refusal for now",                         DELIVERY_REFUSED, RETRY(SCOPE_MESSAGE),                                                   2,  0,            true, RECIPIENT_QUEUED,
     WAITING_RETRY,                                                                                                                                                                                          120,                   true},
    { "never beyond the maximum",                      DELIVERY_REFUSED, RETRY(SCOPE_MESSAGE),                                                   60, 0,            true,
     RECIPIENT_QUEUED,                                                                                                                                                                        WAITING_RETRY, 3600,                  true},
    { "the smarthost names a longer wait",
     DELIVERY_REFUSED,                                                   { .action = ACTION_RETRY, .wait_s = 14400 },
     0,                                                                                                                                              0,
     true,                                                                                                                                                               RECIPIENT_QUEUED,
     WAITING_RETRY,                                                                                                                                                                                          14400,
     true                                                                                                                                                                                                                               },
    { "too old for another try",                       DELIVERY_REFUSED, RETRY(SCOPE_RECIPIENT),                                                 9,  LIFETIME,     true,
     RECIPIENT_EXPIRED,                                                                                                                                                                       WAITING_NONE,  -1,                    true},
    { "a last try just in time",                       DELIVERY_REFUSED, RETRY(SCOPE_RECIPIENT),                                                 0,  LIFETIME - 1, true,
     RECIPIENT_QUEUED,                                                                                                                                                                        WAITING_RETRY, 30,                    true},
    { "a refused sender waits for a human",
     DELIVERY_REFUSED,                                                   { .scope = SCOPE_SENDER, .action = ACTION_PARK, .wait_s = WAIT_HUMAN },
     0,                                                                                                                                              0,
     true,                                                                                                                                                               RECIPIENT_QUEUED,
     WAITING_SENDER,                                                                                                                                                                                         SETTLE_SENDER_PROBE_S,
     true                                                                                                                                                                                                                               },
    { "a refused sender does age",
     DELIVERY_REFUSED,                                                   { .scope = SCOPE_SENDER, .action = ACTION_PARK },
     3,                                                                                                                                              LIFETIME + 1,
     true,                                                                                                                                                               RECIPIENT_EXPIRED,
     WAITING_NONE,                                                                                                                                                                                           -1,
     true                                                                                                                                                                                                                               },
    { "too many at once: again, without delay",
     DELIVERY_REFUSED,                                                   { .scope = SCOPE_MESSAGE, .action = ACTION_SPLIT },
     0,                                                                                                                                              0,
     false,                                                                                                                                                              RECIPIENT_QUEUED,
     WAITING_NOW,                                                                                                                                                                                            0,
     false                                                                                                                                                                                                                              },
    { "too many, but it was alone: an ordinary retry",
     DELIVERY_REFUSED,                                                   { .scope = SCOPE_MESSAGE, .action = ACTION_SPLIT },
     0,                                                                                                                                              0,
     true,                                                                                                                                                               RECIPIENT_QUEUED,
     WAITING_RETRY,                                                                                                                                                                                          30,
     true                                                                                                                                                                                                                               },
    { "in doubt",
     DELIVERY_IN_DOUBT,                                                  { .action = ACTION_RETRY },
     0,                                                                                                                                              0,
     true,                                                                                                                                                               RECIPIENT_IN_DOUBT,
     WAITING_NONE,                                                                                                                                                                                           600,
     true                                                                                                                                                                                                                               },
};

static void test_rows(void **state)
{
    static const struct settle_policy policy = {
        .retry = {.first_s = 30, .factor = 2, .max_s = 3600, .jitter_percent = 0},
        .lifetime_s = LIFETIME,
        .in_doubt_delay_s = 600,
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct settle_case *row = &cases[i];
        const struct delivery_recipient recipient = { .result = row->result,
                                                      .verdict = row->verdict,
                                                      .attempts = row->attempts };
        const struct settle_question question = {
            .recipient = &recipient, .age_s = row->age_s, .now_s = NOW, .was_alone = row->was_alone
        };
        struct settlement got = settle(&policy, &question);
        bool is_right = got.state == row->state && got.waiting == row->waiting &&
                        got.is_attempt == row->is_attempt &&
                        got.due_at_s == (row->delay_s < 0 ? 0 : NOW + row->delay_s);
        if (!is_right)
            fail_msg("%s: state %d waiting %d due %lld attempt %d", row->name, (int)got.state,
                     (int)got.waiting, (long long)got.due_at_s, got.is_attempt);
    }
}

static void test_in_doubt_can_be_held(void **state)
{
    const struct settle_policy policy = { .is_in_doubt_held = true, .in_doubt_delay_s = 600 };
    const struct delivery_recipient recipient = { .result = DELIVERY_IN_DOUBT };
    const struct settle_question question = { .recipient = &recipient, .now_s = NOW };

    (void)state;
    assert_int_equal(settle(&policy, &question).due_at_s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_in_doubt_can_be_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
