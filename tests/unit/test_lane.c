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
    struct spool_due_message first = message_of(7, 2);
    struct spool_due_message again = message_of(7, 4);

    (void)state;
    struct work *work = lane_work_add(lane, &first, NULL);
    assert_non_null(work);
    lane_work_take(lane, work);
    assert_null(lane_work_add(lane, &again, NULL));
    assert_int_equal(lane->work_count, 1);
    /* It takes what it did not have, behind the recipients that are on their way. */
    assert_int_equal(work->message.recipient_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(work->message.recipients[i].number, i);
    assert_null(again.recipients);
    lane_free(lane);
}

static void read_ends(struct lane *lane, bool is_end, int64_t cursor_s, int64_t next_s)
{
    const struct spool_due due = {
        .is_end = is_end, .cursor_due_s = cursor_s, .cursor_recipient = 9, .next_due_at_s = next_s
    };

    lane_backlog_advance(lane, &due);
}

static void test_a_read_goes_on_to_the_end(void **state)
{
    struct lane *lane = lane_new("relay", 0);

    (void)state;
    assert_true(lane->has_backlog);
    lane->is_reading = true;
    read_ends(lane, false, 100, 0);
    assert_false(lane->is_reading);
    assert_true(lane->has_backlog);
    assert_int_equal(lane->cursor_due_s, 100);
    assert_int_equal(lane->cursor_recipient, 9);
    read_ends(lane, true, 200, 300);
    assert_false(lane->has_backlog);
    assert_int_equal(lane->cursor_due_s, 0);
    assert_int_equal(lane->cursor_recipient, 0);
    assert_int_equal(lane->next_due_at_s, 300);
    lane_free(lane);
}

static void test_what_comes_up_behind_the_cursor(void **state)
{
    struct lane *lane = lane_new("relay", 0);

    (void)state;
    read_ends(lane, false, 100, 0);
    lane_backlog_note(lane, 101); /* will be met */
    lane_backlog_note(lane, 80);
    lane_backlog_note(lane, 90);
    read_ends(lane, true, 200, 0);
    assert_true(lane->has_backlog);
    assert_true(lane->cursor_due_s < 80);
    read_ends(lane, true, 200, 0);
    assert_false(lane->has_backlog);
    lane_backlog_note(lane, 50);
    assert_true(lane->has_backlog);
    assert_int_equal(lane->cursor_due_s, 0);
    read_ends(lane, true, 200, 0);
    assert_false(lane->has_backlog);
    lane_free(lane);
}

static void test_set_back_during_a_read(void **state)
{
    struct lane *lane = lane_new("relay", 0);

    (void)state;
    read_ends(lane, false, 100, 0);
    lane->is_reading = true;
    lane_backlog_restart(lane);
    read_ends(lane, true, 200, 300);
    assert_true(lane->has_backlog);
    assert_int_equal(lane->cursor_due_s, 0);
    assert_int_equal(lane->next_due_at_s, 300);
    lane->is_reading = true;
    read_ends(lane, true, 200, 0);
    assert_false(lane->has_backlog);
    lane_free(lane);
}

static void test_a_read_that_fails(void **state)
{
    struct lane *lane = lane_new("relay", 0);

    (void)state;
    read_ends(lane, false, 100, 0);
    lane_backlog_fail(lane, 500);
    assert_false(lane->has_backlog);
    assert_int_equal(lane->cursor_due_s, 0);
    assert_int_equal(lane->next_due_at_s, 500);
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
        cmocka_unit_test(test_a_read_goes_on_to_the_end),
        cmocka_unit_test(test_what_comes_up_behind_the_cursor),
        cmocka_unit_test(test_set_back_during_a_read),
        cmocka_unit_test(test_a_read_that_fails),
        cmocka_unit_test(test_settled_recipients_leave_the_others),
        cmocka_unit_test(test_a_broken_transaction_goes_to_the_end),
        cmocka_unit_test(test_no_ageing_while_parked),
        cmocka_unit_test(test_parked_senders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
