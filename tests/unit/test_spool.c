/* The life of messages in the spool, asked and answered through spool.h only. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "filter.h"
#include "spool_fixture.h"
#include "xalloc.h"

#include <cmocka.h> /* last: it defines fail() */

DEFINE_CLEANUP(struct filter, filter_free)

static int setup(void **state)
{
    struct fixture *fixture = NEW(struct fixture);

    fixture_init(fixture);
    fixture_start(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static void restart(struct fixture *fixture)
{
    fixture_stop(fixture);
    fixture_start(fixture);
}

static void test_round_trip(void **state)
{
    struct fixture *fixture = *state;
    char id[QUEUE_ID_SIZE];
    struct spool_submit *submit = message_new(fixture, 2, "relay", 4096);
    int64_t key = 0;

    submit->tag = xstrdup("bill");
    submit->is_8bit = true;
    submit->needs_smtputf8 = true;
    assert_true(submit_one(fixture, submit, &key));
    restart(fixture);

    struct spool_due *due = due_of(fixture, "relay", TEST_NOW_S);
    assert_true(due->is_end);
    assert_int_equal(due->next_due_at_s, 0);
    assert_int_equal(due->message_count, 1);
    const struct spool_due_message *message = &due->messages[0];
    message_id(id, key);
    assert_int_equal(message->key, key);
    assert_string_equal(message->id, id);
    assert_string_equal(message->sender, "sender@example.com");
    assert_string_equal(message->header_from, "from@example.com");
    assert_int_equal(message->accepted_at_s, TEST_NOW_S);
    assert_int_equal(message->size_bytes, 4096);
    assert_int_equal(message->chunk_count, 1);
    assert_true(message->is_8bit);
    assert_true(message->needs_smtputf8);
    assert_int_equal(message->recipient_count, 2);
    assert_int_equal(message->recipients[1].number, 1);
    assert_int_equal(message->recipients[1].attempts, 0);
    assert_int_equal(message->recipients[1].state, RECIPIENT_QUEUED);
    assert_string_equal(message->recipients[1].address, "rcpt1@example.com");
    spool_due_free(due);
    assert_int_equal(chunk_len_of(fixture, key, 0), 4096);

    due = due_of(fixture, "relay", TEST_NOW_S - 1);
    assert_int_equal(due->message_count, 0);
    assert_int_equal(due->next_due_at_s, TEST_NOW_S);
    spool_due_free(due);
    due = due_of(fixture, "other", TEST_NOW_S);
    assert_int_equal(due->message_count, 0);
    spool_due_free(due);
}

static const struct spool_row *row_of(const struct spool_list *list, uint16_t number)
{
    assert_true(number < list->row_count);
    assert_int_equal(list->rows[number].number, number);
    return &list->rows[number];
}

static void test_outcome(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(filter_free_p) struct filter *all = filter_of("all");
    char id[QUEUE_ID_SIZE];
    int64_t key = 0;

    assert_true(submit_one(fixture, message_new(fixture, 2, "relay", 100), &key));
    assert_true(record_one(fixture, outcome_new(key, 0, RECIPIENT_DELIVERED)));
    assert_true(record_one(fixture, outcome_new(key, 1, RECIPIENT_QUEUED)));

    struct spool_list *list = list_of(fixture, all);
    assert_true(list->is_end);
    assert_int_equal(list->row_count, 2);
    assert_int_equal(row_of(list, 0)->state, RECIPIENT_DELIVERED);
    assert_int_equal(row_of(list, 0)->waiting, WAITING_NONE);
    assert_int_equal(row_of(list, 0)->due_at_s, 0);
    assert_int_equal(row_of(list, 0)->code, 250);
    assert_null(row_of(list, 0)->class);
    const struct spool_row *row = row_of(list, 1);
    assert_int_equal(row->state, RECIPIENT_QUEUED);
    assert_int_equal(row->waiting, WAITING_RETRY);
    assert_int_equal(row->due_at_s, TEST_NOW_S + 60);
    assert_int_equal(row->attempts, 1);
    assert_int_equal(row->code, 451);
    assert_string_equal(row->class, "recipients-refused");
    assert_string_equal(row->enhanced, "4.2.1");
    assert_string_equal(row->reply, "come back");
    assert_string_equal(row->stage, "rcpt");
    assert_string_equal(row->user, "alice");
    assert_int_equal(row->uid, 1000);
    assert_null(row->tag);
    assert_true(row->has_body);
    spool_list_free(list);

    struct spool_due *due = due_of(fixture, "relay", TEST_NOW_S);
    assert_int_equal(due->message_count, 0);
    assert_int_equal(due->next_due_at_s, TEST_NOW_S + 60);
    spool_due_free(due);

    message_id(id, key);
    struct spool_log *log = log_of(fixture, id);
    assert_int_equal(log->event_count, 3);
    assert_string_equal(log->events[0].kind, "accepted");
    assert_null(log->events[0].recipient);
    assert_int_equal(log->events[0].uid, 1000);
    assert_string_equal(log->events[1].kind, "attempt");
    assert_string_equal(log->events[1].recipient, "rcpt0@example.com");
    assert_string_equal(log->events[1].state, "delivered");
    assert_string_equal(log->events[2].state, "queued");
    assert_string_equal(log->events[2].host, "mail.example.com [192.0.2.1]:587");
    assert_string_equal(log->events[2].rule, "rcpt-4xx");
    assert_int_equal(log->events[2].duration_ms, 120);
    assert_int_equal(log->events[2].uid, -1);
    assert_true(log->events[1].number < log->events[2].number);
    assert_string_equal(log->events[2].id, id);
    spool_log_free(log);

    /* The body is there until all have it. */
    assert_int_equal(chunk_len_of(fixture, key, 0), 100);
    assert_true(record_one(fixture, outcome_new(key, 1, RECIPIENT_DELIVERED)));
    assert_int_equal(chunk_len_of(fixture, key, 0), -1);
    list = list_of(fixture, all);
    assert_false(row_of(list, 0)->has_body);
    assert_int_equal(row_of(list, 1)->attempts, 2);
    spool_list_free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outcome, setup, teardown),
    };

    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
