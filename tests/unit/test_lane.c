/* The bookkeeping of a lane: its window of work, ageing while parked, parked senders. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include "error.h" /* before cmocka.h, which has a macro fail() */

#include <cmocka.h>

#include <string.h>

#include "blob.h"
#include "lane.h"
#include "xalloc.h"

static struct spool_due_message message_of(int64_t key, size_t recipient_count)
{
    struct spool_due_message message = { .key = key, .sender = xstrdup("a@example.com") };

    message.recipients = xcalloc(recipient_count, sizeof *message.recipients);
    message.recipient_count = recipient_count;
    for (size_t i = 0; i < recipient_count; i++) {
        message.recipients[i].number = (uint16_t)i;
        message.recipients[i].address = xasprintf("r%zu@example.com", i);
    }
    return message;
}

static void test_a_message_is_in_the_window_once(void **state)
{
    struct lane *lane = lane_new("relay", 0);
    struct spool_due_message first = message_of(7, 1);
    struct spool_due_message again = message_of(7, 1);

    (void)state;
    lane->has_backlog = false;
    struct work *work = lane_work_add(lane, &first, NULL);
    assert_non_null(work);
    assert_null(lane_work_add(lane, &again, NULL));
    assert_int_equal(lane->work_count, 1);
    /* The second sight of it means that the spool has to be read once more. */
    lane_work_take(lane, work);
    lane_work_drop(lane, work);
    assert_true(lane->has_backlog);
    lane_due_message_clear(&again);
    lane_free(lane);
}

static void test_settled_recipients_leave_the_others(void **state)
{
    static const bool is_kept[] = { false, true, false };
    struct lane *lane = lane_new("relay", 0);
    struct spool_due_message message = message_of(7, 5);
    struct blob *body = blob_copy("x", 1);

    (void)state;
    struct work *work = lane_work_add(lane, &message, body);
    lane_work_settle(work, 3, is_kept);
    assert_int_equal(work->message.recipient_count, 3);
    assert_int_equal(work->message.recipients[0].number, 1);
    assert_int_equal(work->message.recipients[1].number, 3);
    assert_int_equal(work->message.recipients[2].number, 4);
    blob_unref(body);
    lane_free(lane);
}

static void test_a_broken_transaction_goes_to_the_end(void **state)
{
    struct lane *lane = lane_new("relay", 0);
    struct spool_due_message first = message_of(1, 1);
    struct spool_due_message second = message_of(2, 1);

    (void)state;
    struct work *poison = lane_work_add(lane, &first, NULL);
    (void)lane_work_add(lane, &second, NULL);
    lane_work_take(lane, poison);
    lane_work_requeue(lane, poison);
    assert_int_equal(TAILQ_FIRST(&lane->ready)->message.key, 2);
    lane_free(lane);
}

static void test_no_ageing_while_parked(void **state)
{
    struct lane *lane = lane_new("relay", 0);

    (void)state;
    lane_parked(lane, 1000);
    lane_unparked(lane, 2000);
    lane_parked(lane, 5000);
    assert_int_equal(lane_age_s(lane, 0, 900), 900);
    assert_int_equal(lane_age_s(lane, 0, 1500), 1000);
    assert_int_equal(lane_age_s(lane, 1500, 3000), 1000);
    assert_int_equal(lane_age_s(lane, 4000, 999999), 1000);
    assert_int_equal(lane_age_s(lane, 6000, 7000), 0);
    lane_free(lane);
}

static void test_parked_senders(void **state)
{
    struct lane *lane = lane_new("relay", 0);

    (void)state;
    lane_sender_park(lane, "a@example.com", 100);
    lane_sender_park(lane, "a@example.com", 200);
    lane_sender_park(lane, "b@example.com", 300);
    assert_int_equal(lane_sender_parked_until(lane, "a@example.com", 150), 200);
    assert_int_equal(lane_sender_parked_until(lane, "c@example.com", 150), 0);
    assert_int_equal(lane_sender_parked_until(lane, "a@example.com", 200), 0);
    lane_senders_unpark(lane);
    assert_int_equal(lane_sender_parked_until(lane, "b@example.com", 150), 0);
    lane_free(lane);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_is_in_the_window_once),
        cmocka_unit_test(test_settled_recipients_leave_the_others),
        cmocka_unit_test(test_a_broken_transaction_goes_to_the_end),
        cmocka_unit_test(test_no_ageing_while_parked),
        cmocka_unit_test(test_parked_senders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
