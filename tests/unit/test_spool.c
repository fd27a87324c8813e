/* The life of messages in the spool, asked and answered through spool.h only. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    int64_t first_event = log->events[0].number;
    spool_log_free(log);
    log = spool_log_new(id, SPOOL_ANYBODY, first_event, 1);
    fixture_expect(fixture, &log->request);
    spool_log_read(fixture->spool, log);
    fixture_wait(fixture);
    assert_int_equal(log->event_count, 1);
    assert_string_equal(log->events[0].state, "delivered");
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

/* One recipient; queued, then an administrator's word, then news from delivery. */
static enum spool_change_kind hold = CHANGE_HOLD;
static enum spool_change_kind cancel = CHANGE_DELETE;

static const struct {
    const char *name;
    const enum spool_change_kind *word;
    enum recipient_state news;
    enum recipient_state becomes;
} transitions[] = {
    { "queued, delivered", NULL, RECIPIENT_DELIVERED, RECIPIENT_DELIVERED },
    { "queued, failed", NULL, RECIPIENT_FAILED, RECIPIENT_FAILED },
    { "queued, in doubt", NULL, RECIPIENT_IN_DOUBT, RECIPIENT_IN_DOUBT },
    { "queued, expired", NULL, RECIPIENT_EXPIRED, RECIPIENT_EXPIRED },
    { "held, deferred", &hold, RECIPIENT_QUEUED, RECIPIENT_HELD },
    { "held, failed", &hold, RECIPIENT_FAILED, RECIPIENT_HELD },
    { "held, delivered", &hold, RECIPIENT_DELIVERED, RECIPIENT_DELIVERED },
    { "held, in doubt", &hold, RECIPIENT_IN_DOUBT, RECIPIENT_IN_DOUBT },
    { "cancelled, deferred", &cancel, RECIPIENT_QUEUED, RECIPIENT_CANCELLED },
    { "cancelled, expired", &cancel, RECIPIENT_EXPIRED, RECIPIENT_CANCELLED },
    { "cancelled, delivered", &cancel, RECIPIENT_DELIVERED, RECIPIENT_DELIVERED },
    { "cancelled, in doubt", &cancel, RECIPIENT_IN_DOUBT, RECIPIENT_IN_DOUBT },
};

static struct spool_change *change_with(struct fixture *fixture, struct filter *filter,
                                        enum spool_change_kind kind, int64_t uid, bool is_dry_run)
{
    struct spool_change *change = spool_change_new(filter, kind, uid, 1001);

    change->now_ms = (TEST_NOW_S + 20) * INT64_C(1000);
    change->is_dry_run = is_dry_run;
    fixture_expect(fixture, &change->request);
    spool_change_step(fixture->spool, change);
    fixture_wait(fixture);
    assert_true(change->request.is_ok);
    return change;
}

/* Messages matched, messages changed. */
static void assert_change(struct fixture *fixture, const char *terms, enum spool_change_kind kind,
                          uint64_t matched, uint64_t changed)
{
    CLEANUP(filter_free_p) struct filter *filter = filter_of(terms);
    struct spool_change *dry = change_with(fixture, filter, kind, SPOOL_ANYBODY, true);
    struct spool_change *change = change_with(fixture, filter, kind, SPOOL_ANYBODY, false);

    assert_int_equal(dry->message_count, matched);
    assert_int_equal(dry->changed_count, changed);
    assert_int_equal(change->message_count, matched);
    assert_int_equal(change->changed_count, changed);
    assert_int_equal(change->key_count, changed);
    assert_true(change->is_end);
    spool_change_free(dry);
    spool_change_free(change);
}

static struct spool_row state_of(struct fixture *fixture, int64_t key, uint16_t number)
{
    char id[QUEUE_ID_SIZE];

    message_id(id, key);
    CLEANUP(filter_free_p) struct filter *filter = filter_of(id);
    struct spool_list *list = list_of(fixture, filter);
    struct spool_row row = *row_of(list, number);
    spool_list_free(list);
    return row; /* its texts are gone */
}

static uint64_t commits_of(struct fixture *fixture)
{
    struct spool_summary *summary = summary_of(fixture);
    uint64_t commits = summary->commits_total;

    spool_summary_free(summary);
    return commits;
}

static struct spool_outcome *outcome_post(struct fixture *fixture, int64_t key, uint16_t number)
{
    struct spool_outcome *outcome = outcome_new(key, number, RECIPIENT_DELIVERED);

    fixture_expect(fixture, &outcome->request);
    spool_outcome_record(fixture->spool, outcome);
    return outcome;
}

static void on_body_read(struct spool_request *request)
{
    *(bool *)request->ctx = true;
}

/* Waits for this answer alone. */
static void body_read(struct fixture *fixture, int64_t key)
{
    bool is_done = false;
    struct spool_chunk *chunk = spool_chunk_new(key, 0, NULL);

    chunk->request.reply_to = fixture->mailbox;
    chunk->request.done = on_body_read;
    chunk->request.ctx = &is_done;
    spool_chunk_read(fixture->spool, chunk);
    while (!is_done)
        assert_int_not_equal(event_base_loop(fixture->base, EVLOOP_ONCE), -1);
    assert_true(chunk->request.is_ok);
    spool_chunk_free(chunk);
}

/* While bodies are read; what is asked about after them (the count of commits) sees them all. */
static void test_outcomes_share_commits(void **state)
{
    enum { OUTCOMES = 20, TRIALS = 20 }; /* a trial may be too slow for it, not all of them */
    struct fixture *fixture = *state;
    struct spool_outcome *outcomes[OUTCOMES];
    uint64_t least = UINT64_MAX;

    for (int trial = 0; trial < TRIALS && least >= OUTCOMES; trial++) {
        int64_t key = 0;
        assert_true(submit_one(fixture, message_new(fixture, OUTCOMES + 1, "relay", 10), &key));
        uint64_t before = commits_of(fixture);
        for (uint16_t i = 0; i < OUTCOMES; i++) {
            outcomes[i] = outcome_post(fixture, key, i);
            body_read(fixture, key);
        }
        uint64_t commits = commits_of(fixture) - before;
        least = commits < least ? commits : least;
        fixture_wait(fixture);
        for (uint16_t i = 0; i < OUTCOMES; i++) {
            assert_true(outcomes[i]->request.is_ok);
            spool_outcome_free(outcomes[i]);
        }
    }
    assert_true(least < OUTCOMES);
}

static void test_gathered_outcomes_are_stored_at_the_stop(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP(filter_free_p) struct filter *delivered = filter_of("state=delivered");
    struct spool_outcome *outcomes[3];
    int64_t key = 0;

    assert_true(submit_one(fixture, message_new(fixture, 3, "relay", 10), &key));
    for (uint16_t i = 0; i < COUNT_OF(outcomes); i++)
        outcomes[i] = outcome_post(fixture, key, i);
    fixture_stop(fixture);
    fixture_wait(fixture);
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        assert_true(outcomes[i]->request.is_ok);
        spool_outcome_free(outcomes[i]);
    }
    fixture_start(fixture);
    struct spool_list *list = list_of(fixture, delivered);
    assert_int_equal(list->row_count, 3);
    spool_list_free(list);
}

static void test_transitions(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT_OF(transitions); i++) {
        int64_t key = accept_one(fixture);
        char id[QUEUE_ID_SIZE];
        message_id(id, key);
        if (transitions[i].word != NULL)
            assert_change(fixture, id, *transitions[i].word, 1, 1);
        assert_true(record_one(fixture, outcome_new(key, 0, transitions[i].news)));
        struct spool_row row = state_of(fixture, key, 0);
        if (row.state != transitions[i].becomes || row.attempts != 1)
            fail_msg("%s: %s", transitions[i].name, recipient_state_name(row.state));
        assert_int_equal(row.due_at_s != 0,
                         row.state == RECIPIENT_QUEUED || row.state == RECIPIENT_IN_DOUBT);
        assert_int_equal(chunk_len_of(fixture, key, 0), row.state == RECIPIENT_DELIVERED ? -1 : 10);
    }
}

static void test_changes(void **state)
{
    struct fixture *fixture = *state;
    int64_t keys[4];

    for (size_t i = 0; i < COUNT_OF(keys); i++)
        assert_true(
            submit_one(fixture, message_new(fixture, 2, i < 2 ? "relay" : "ses", 10), &keys[i]));
    assert_change(fixture, "smarthost=ses", CHANGE_HOLD, 2, 2);
    assert_change(fixture, "smarthost=ses", CHANGE_HOLD, 2, 0);
    assert_change(fixture, "recipient=rcpt0*", CHANGE_DELETE, 4, 4);
    assert_change(fixture, "state=held", CHANGE_RELEASE, 2, 2);
    assert_change(fixture, "user=nobody", CHANGE_DELETE, 0, 0);
    assert_int_equal(state_of(fixture, keys[3], 0).state, RECIPIENT_CANCELLED);
    struct spool_row row = state_of(fixture, keys[3], 1);
    assert_int_equal(row.state, RECIPIENT_QUEUED);
    assert_int_equal(row.waiting, WAITING_NOW);
    assert_int_equal(row.due_at_s, TEST_NOW_S + 20);

    assert_true(record_one(fixture, outcome_new(keys[0], 1, RECIPIENT_FAILED)));
    assert_true(record_one(fixture, outcome_new(keys[1], 1, RECIPIENT_DELIVERED)));
    assert_change(fixture, "all", CHANGE_RETRY, 4, 3); /* delivered and cancelled stay */
    assert_int_equal(state_of(fixture, keys[0], 1).state, RECIPIENT_QUEUED);
    assert_int_equal(state_of(fixture, keys[0], 1).attempts, 1);

    char id[QUEUE_ID_SIZE];
    message_id(id, keys[3]);
    static const char *const kinds[] = { "accepted", "held", "cancelled", "released", "retried" };
    struct spool_log *log = log_of(fixture, id);
    assert_int_equal(log->event_count, COUNT_OF(kinds));
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        assert_string_equal(log->events[i].kind, kinds[i]);
    assert_null(log->events[1].recipient); /* all of them */
    assert_string_equal(log->events[2].recipient, "rcpt0@example.com");
    assert_int_equal(log->events[2].uid, 1001);
    spool_log_free(log);
}

/* Message 0 is queued twice, 1 held, 2 delivered twice, 3 queued and failed at another smarthost. A message that matches
   is listed with all its recipients. */
static const struct {
    const char *terms;
    size_t rows;
} listings[] = {
    { "", 5 },
    { "all", 7 },
    { "state=queued", 4 },
    { "state=delivered", 2 },
    { "state=failed", 2 },
    { "state=held", 1 },
    { "state=cancelled", 0 },
    { "smarthost=relay", 5 },
    { "smarthost=ses", 2 },
    { "smarthost=none", 0 },
    { "recipient=rcpt1*", 6 },
    { "user=alice", 7 },
    { "user=bob", 0 },
    { "older=1d", 0 },
    { "attempts>0", 4 },
};

static void test_listings(void **state)
{
    struct fixture *fixture = *state;
    int64_t keys[4];

    assert_true(submit_one(fixture, message_new(fixture, 2, "relay", 10), &keys[0]));
    assert_true(submit_one(fixture, message_new(fixture, 1, "relay", 10), &keys[1]));
    assert_true(submit_one(fixture, message_new(fixture, 2, "relay", 10), &keys[2]));
    assert_true(submit_one(fixture, message_new(fixture, 2, "ses", 10), &keys[3]));
    char id[QUEUE_ID_SIZE];
    message_id(id, keys[1]);
    assert_change(fixture, id, CHANGE_HOLD, 1, 1);
    assert_true(record_one(fixture, outcome_new(keys[2], 0, RECIPIENT_DELIVERED)));
    assert_true(record_one(fixture, outcome_new(keys[2], 1, RECIPIENT_DELIVERED)));
    assert_true(record_one(fixture, outcome_new(keys[3], 1, RECIPIENT_FAILED)));
    for (size_t i = 0; i < COUNT_OF(listings); i++) {
        CLEANUP(filter_free_p) struct filter *filter = filter_of(listings[i].terms);
        struct spool_list *list = list_of(fixture, filter);
        if (list->row_count != listings[i].rows || !list->is_end)
            fail_msg("%s: %zu rows", listings[i].terms, list->row_count);
        for (size_t n = 1; n < list->row_count; n++)
            assert_true(list->rows[n].key > list->rows[n - 1].key ||
                        list->rows[n].number > list->rows[n - 1].number);
        spool_list_free(list);
    }
}

/* Others' mail does not exist. */
static void test_owner(void **state)
{
    struct fixture *fixture = *state;
    struct spool_submit *submit = message_new(fixture, 1, "relay", 10);
    char id[QUEUE_ID_SIZE];
    CLEANUP(filter_free_p) struct filter *all = filter_of("all");
    int64_t key = accept_one(fixture);

    submit->uid = 2000;
    assert_true(submit_one(fixture, submit, NULL));
    message_id(id, key);
    struct spool_list *list = spool_list_new(all, 2000, TEST_NOW_S, 100);
    fixture_expect(fixture, &list->request);
    spool_list_read(fixture->spool, list);
    fixture_wait(fixture);
    assert_int_equal(list->row_count, 1);
    assert_int_equal(list->rows[0].uid, 2000);
    spool_list_free(list);

    struct spool_log *log = spool_log_new(id, 2000, 0, 100);
    fixture_expect(fixture, &log->request);
    spool_log_read(fixture->spool, log);
    fixture_wait(fixture);
    assert_int_equal(log->request.error.code, ERROR_MISSING);
    spool_log_free(log);
    log = spool_log_new("", 2000, 0, 100);
    fixture_expect(fixture, &log->request);
    spool_log_read(fixture->spool, log);
    fixture_wait(fixture);
    assert_int_equal(log->event_count, 1);
    spool_log_free(log);

    struct spool_change *change = change_with(fixture, all, CHANGE_DELETE, 2000, false);
    assert_int_equal(change->changed_count, 1);
    spool_change_free(change);
    assert_int_equal(state_of(fixture, key, 0).state, RECIPIENT_QUEUED);
}

static void test_log_newest(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 5; i++)
        (void)accept_one(fixture);
    struct spool_log *log = spool_log_new("", SPOOL_ANYBODY, 0, 2);
    log->is_newest = true;
    fixture_expect(fixture, &log->request);
    spool_log_read(fixture->spool, log);
    fixture_wait(fixture);
    assert_int_equal(log->event_count, 2);
    assert_int_equal(log->events[1].number, 5);
    assert_int_equal(log->events[0].number, 4);
    spool_log_free(log);
    log = spool_log_new("", SPOOL_ANYBODY, 3, 100);
    fixture_expect(fixture, &log->request);
    spool_log_read(fixture->spool, log);
    fixture_wait(fixture);
    assert_int_equal(log->event_count, 2);
    spool_log_free(log);
}

static void test_streamed(void **state)
{
    struct fixture *fixture = *state;
    struct spool_submit *submit = message_new(fixture, 1, "relay", 77);
    int64_t key = submit->key;

    submit->chunk_count = 3;
    assert_true(append_one(fixture, key, 0, SPOOL_CHUNK_BYTES));
    assert_true(append_one(fixture, key, 1, SPOOL_CHUNK_BYTES));
    assert_false(append_one(fixture, key, 1, SPOOL_CHUNK_BYTES));
    assert_true(submit_one(fixture, submit, NULL));
    restart(fixture);
    assert_int_equal(chunk_len_of(fixture, key, 0), SPOOL_CHUNK_BYTES);
    assert_int_equal(chunk_len_of(fixture, key, 1), SPOOL_CHUNK_BYTES);
    assert_int_equal(chunk_len_of(fixture, key, 2), 77);
    assert_int_equal(chunk_len_of(fixture, key, 3), -1);
    assert_true(record_one(fixture, outcome_new(key, 0, RECIPIENT_DELIVERED)));
    assert_int_equal(chunk_len_of(fixture, key, 0), -1);
    assert_int_equal(chunk_len_of(fixture, key, 2), -1);
}

/* A message with a hole is not accepted, nor a piece without a beginning. */
static void test_streamed_incomplete(void **state)
{
    struct fixture *fixture = *state;
    struct spool_submit *submit = message_new(fixture, 1, "relay", 77);

    submit->chunk_count = 3;
    assert_true(append_one(fixture, submit->key, 0, SPOOL_CHUNK_BYTES));
    assert_false(submit_one(fixture, submit, NULL));
    assert_int_equal(fixture->error.code, ERROR_DAMAGED);
    assert_false(append_one(fixture, spool_message_key_new(fixture->spool), 1, 10));
    struct spool_due *due = due_of(fixture, "relay", TEST_NOW_S);
    assert_int_equal(due->message_count, 0);
    spool_due_free(due);
}

/* What was never completed goes away, after a restart as well as when the client goes away; its key does not return. */
static void test_abandoned(void **state)
{
    struct fixture *fixture = *state;
    int64_t first = spool_message_key_new(fixture->spool);
    int64_t second = spool_message_key_new(fixture->spool);

    assert_true(append_one(fixture, first, 0, SPOOL_CHUNK_BYTES));
    spool_message_abandon(fixture->spool, first);
    assert_true(append_one(fixture, second, 0, SPOOL_CHUNK_BYTES));
    while (chunk_len_of(fixture, first, 0) >= 0)
        ; /* upkeep comes every second */
    assert_int_equal(chunk_len_of(fixture, second, 0), SPOOL_CHUNK_BYTES);
    restart(fixture);
    while (chunk_len_of(fixture, second, 0) >= 0)
        ;
    restart(fixture);
    assert_true(spool_message_key_new(fixture->spool) > second);
}

static void test_twice(void **state)
{
    struct fixture *fixture = *state;
    int64_t key = accept_one(fixture);
    struct spool_submit *again = message_new(fixture, 1, "relay", 10);

    message_id(again->id, key);
    assert_false(submit_one(fixture, again, NULL));
    assert_int_equal(fixture->error.code, ERROR_USAGE);
    assert_false(record_one(fixture, outcome_new(key + 50, 0, RECIPIENT_DELIVERED)));
    assert_int_equal(fixture->error.code, ERROR_MISSING);
}

static bool park(struct fixture *fixture, bool is_parked, int64_t at_s, int code)
{
    struct spool_parking *parking = spool_parking_new("relay", is_parked);

    parking->at_ms = at_s * 1000;
    parking->retry_at_s = is_parked ? at_s + 3600 : 0;
    parking->class = "auth-failed";
    parking->stage = "auth";
    parking->code = code;
    parking->reply = xstrdup("wrong password");
    parking->rule = "auth-5xx";
    (void)strcpy(parking->enhanced, "5.7.8");
    fixture_expect(fixture, &parking->request);
    spool_parking_record(fixture->spool, parking);
    fixture_wait(fixture);
    bool is_ok = parking->request.is_ok;
    spool_parking_free(parking);
    return is_ok;
}

static void test_parking(void **state)
{
    struct fixture *fixture = *state;
    int64_t now_s = (int64_t)time(NULL);

    assert_true(park(fixture, true, now_s - 1000, 535));
    assert_true(park(fixture, true, now_s - 900, 535)); /* the probe failed likewise: no news */
    restart(fixture);
    struct spool_summary *summary = summary_of(fixture);
    assert_int_equal(summary->smarthost_count, 1);
    assert_true(summary->smarthosts[0].is_parked);
    assert_int_equal(summary->smarthosts[0].parked_since_s, now_s - 1000);
    assert_int_equal(summary->smarthosts[0].retry_at_s, now_s + 2700);
    assert_string_equal(summary->smarthosts[0].class, "auth-failed");
    assert_string_equal(summary->smarthosts[0].reply, "wrong password");
    assert_int_equal(summary->smarthosts[0].code, 535);
    assert_int_equal(summary->smarthosts[0].span_count, 1);
    assert_int_equal(summary->smarthosts[0].spans[0].until_s, 0);
    spool_summary_free(summary);

    assert_true(park(fixture, false, now_s - 500, 0));
    assert_true(park(fixture, true, now_s - 100, 530));
    summary = summary_of(fixture);
    assert_int_equal(summary->smarthosts[0].span_count, 2);
    assert_int_equal(summary->smarthosts[0].spans[0].from_s, now_s - 1000);
    assert_int_equal(summary->smarthosts[0].spans[0].until_s, now_s - 500);
    assert_int_equal(summary->smarthosts[0].spans[1].from_s, now_s - 100);
    spool_summary_free(summary);

    struct spool_log *log = log_of(fixture, "");
    assert_int_equal(log->event_count, 3);
    assert_string_equal(log->events[0].kind, "parked");
    assert_string_equal(log->events[1].kind, "unparked");
    assert_int_equal(log->events[2].code, 530);
    assert_int_equal(log->events[2].key, 0);
    spool_log_free(log);
}

static void test_summary(void **state)
{
    struct fixture *fixture = *state;
    int64_t key = 0;

    struct spool_summary *summary = summary_of(fixture);
    assert_int_equal(summary->smarthost_count, 0);
    assert_int_equal(summary->oldest_queued_at_s, 0);
    spool_summary_free(summary);
    assert_true(submit_one(fixture, message_new(fixture, 3, "relay", 10), &key));
    assert_true(submit_one(fixture, message_new(fixture, 1, "ses", 10), NULL));
    struct spool_outcome *outcome = outcome_new(key, 2, RECIPIENT_QUEUED);
    outcome->recipients[0].smarthost = xstrdup("ses"); /* it moves there */
    assert_true(record_one(fixture, outcome));
    assert_true(record_one(fixture, outcome_new(key, 0, RECIPIENT_DELIVERED)));
    for (int i = 0; i < 2; i++) {
        summary = summary_of(fixture);
        assert_int_equal(summary->smarthost_count, 2);
        assert_string_equal(summary->smarthosts[0].name, "relay");
        assert_int_equal(summary->smarthosts[0].counts[RECIPIENT_QUEUED], 1);
        assert_int_equal(summary->smarthosts[0].counts[RECIPIENT_DELIVERED], 1);
        assert_int_equal(summary->smarthosts[1].counts[RECIPIENT_QUEUED], 2);
        assert_int_equal(summary->oldest_queued_at_s, TEST_NOW_S);
        assert_int_equal(summary->accepted_total, i == 0 ? 2 : 0);
        assert_false(summary->is_full);
        spool_summary_free(summary);
        restart(fixture);
    }
}

static void crash(struct fixture *fixture, int64_t key, bool was_at_dot, size_t number_count)
{
    struct spool_crashed *crashed = spool_crashed_new(key, number_count);

    crashed->was_at_dot = was_at_dot;
    crashed->now_ms = TEST_NOW_S * INT64_C(1000);
    crashed->due_at_s = TEST_NOW_S + 300;
    crashed->smarthost = xstrdup("relay");
    fixture_expect(fixture, &crashed->request);
    spool_crashed_record(fixture->spool, crashed);
    fixture_wait(fixture);
    assert_true(crashed->request.is_ok);
    spool_crashed_free(crashed);
}

static void test_crashed(void **state)
{
    struct fixture *fixture = *state;
    int64_t key = accept_one(fixture);

    crash(fixture, key, false, 1);
    crash(fixture, key, false, 1);
    assert_int_equal(state_of(fixture, key, 0).state, RECIPIENT_QUEUED);
    crash(fixture, key, false, 1);
    assert_int_equal(state_of(fixture, key, 0).state, RECIPIENT_HELD);

    assert_true(submit_one(fixture, message_new(fixture, 2, "relay", 10), &key));
    assert_true(record_one(fixture, outcome_new(key, 0, RECIPIENT_DELIVERED)));
    crash(fixture, key, true, 0);
    assert_int_equal(state_of(fixture, key, 0).state, RECIPIENT_DELIVERED);
    assert_int_equal(state_of(fixture, key, 1).state, RECIPIENT_IN_DOUBT);
    struct spool_due *due = due_of(fixture, "relay", TEST_NOW_S + 300);
    assert_int_equal(due->message_count, 1);
    assert_int_equal(due->messages[0].recipients[0].state, RECIPIENT_IN_DOUBT);
    spool_due_free(due);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outcome, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outcomes_share_commits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gathered_outcomes_are_stored_at_the_stop, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_transitions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_newest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_streamed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_streamed_incomplete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abandoned, setup, teardown),
        cmocka_unit_test_setup_teardown(test_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parking, setup, teardown),
        cmocka_unit_test_setup_teardown(test_summary, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crashed, setup, teardown),
    };

    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
