/* The store behind the spool: its SQL, upkeep with a clock of the test's, and large queues. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "cleanup.h"
#include "error.h"
#include "filter.h"
#include "group.h"
#include "query.h"
#include "spool_fixture.h"
#include "store.h"
#include "xalloc.h"

#include <cmocka.h> /* last: it defines fail() */

DEFINE_CLEANUP(struct filter, filter_free)

enum { DAY_S = 24 * 3600 };

struct bench {
    struct fixture fixture;
    struct store store;
    struct ballast ballast;
};

static int setup(void **state)
{
    struct bench *bench = NEW(struct bench);
    struct error err = { 0 };

    fixture_init(&bench->fixture);
    bench->store.database.directory_fd = -1;
    if (!store_open(&bench->store, bench->fixture.directory, &err))
        fail_msg("%s", err.text);
    ballast_init(&bench->ballast, bench->store.database.directory_fd);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;

    store_close(&bench->store);
    fixture_done(&bench->fixture);
    free(bench);
    return 0;
}

/* One group of one, as the spool thread does it. */
static void run(struct bench *bench, struct spool_request *request, store_fn *function,
                bool is_write)
{
    const struct spool_operation operation = { "test", function, NULL, is_write, false };

    request->operation = &operation;
    request->is_settled = false;
    do {
        group_run(&bench->store, &bench->ballast, &request, 1);
    } while (request->is_unfinished);
    if (!request->is_ok)
        fail_msg("%s", request->error.text);
}

static int64_t number_of(struct bench *bench, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_prepare_v2(bench->store.database.handle, sql, -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    return number;
}

static void execute_in(struct store *store, const char *sql)
{
    char *text = NULL;

    if (sqlite3_exec(store->database.handle, sql, NULL, NULL, &text) != SQLITE_OK)
        fail_msg("%s", text);
}

static void execute(struct bench *bench, const char *sql)
{
    execute_in(&bench->store, sql);
}

/* --- SQL --- */

/* Tables that grow with the queue. No query may sort, or walk through one of them. */
static const char *const growing[] = { "SCAN message", "SCAN recipient", "SCAN chunk",
                                       "SCAN event" };
/* These walk in the order of an index and stop by a LIMIT. */
static const char *const limited[] = { "event_trim", "message_oldest_open" };
/* This one sorts, and is asked only for a smarthost that has few. */
static const char *const sorting = "walk_backlog";

static bool is_walk(const char *query, const char *step)
{
    for (size_t i = 0; i < COUNT_OF(limited); i++)
        if (strcmp(query, limited[i]) == 0)
            return false;
    for (size_t i = 0; i < COUNT_OF(growing); i++)
        if (strncmp(step, growing[i], strlen(growing[i])) == 0)
            return true;
    return strstr(step, "TEMP B-TREE") != NULL && strcmp(query, sorting) != 0;
}

static void test_plans(void **state)
{
    struct bench *bench = *state;

    for (size_t i = 0; i < SQL_QUERY_COUNT; i++) {
        AUTO_FREE char *sql = xasprintf("EXPLAIN QUERY PLAN %s", sql_queries[i].text);
        sqlite3_stmt *plan = NULL;
        if (strstr(sql_queries[i].text, "PRAGMA") != NULL)
            continue;
        assert_int_equal(sqlite3_prepare_v2(bench->store.database.handle, sql, -1, &plan, NULL),
                         SQLITE_OK);
        while (sqlite3_step(plan) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(plan, 3);
            if (is_walk(sql_queries[i].name, step))
                fail_msg("%s: %s", sql_queries[i].name, step);
        }
        (void)sqlite3_finalize(plan);
    }
}

/* The words of recipient_state.h are those of the CHECKs. */
static void test_words(void **state)
{
    struct bench *bench = *state;

    for (int i = 0; i < RECIPIENT_STATE_COUNT; i++) {
        AUTO_FREE char *sql =
            xasprintf("INSERT INTO recipient (id, address, smarthost, state, attempts, crashes, "
                      "changed_at_ms) VALUES (%d, 'a', 'b', '%s', 0, 0, 0)",
                      100 + i, recipient_state_name((enum recipient_state)i));
        execute(bench, sql);
    }
    for (int i = WAITING_NONE + 1; i < WAITING_COUNT; i++) {
        AUTO_FREE char *sql = xasprintf("UPDATE recipient SET waiting = '%s' WHERE id = 100",
                                        recipient_waiting_name((enum recipient_waiting)i));
        execute(bench, sql);
    }
}

/* --- Groups --- */

static enum error_code member_error;

/* The table stands for half of a statement's work, which SQLite does not count. */
static bool do_half(struct store *store, struct spool_request *request, struct error *err)
{
    (void)request;
    execute_in(store, "CREATE TABLE half (a)");
    err->code = member_error;
    return false;
}

static bool do_nothing(struct store *store, struct spool_request *request, struct error *err)
{
    (void)store;
    (void)request;
    (void)err;
    return true;
}

/* Damage, or a page that cannot be read, concerns the request that meets it: nothing of it stays, the others go on. */
static void test_bad_page(void **state)
{
    static const enum error_code errors[] = { ERROR_DAMAGED, ERROR_IO };
    static const struct spool_operation half = { "half", do_half, NULL, true, false };
    static const struct spool_operation nothing = { "nothing", do_nothing, NULL, true, false };
    struct bench *bench = *state;

    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct spool_request bad = { .operation = &half };
        struct spool_request before = { .operation = &nothing };
        struct spool_request behind = { .operation = &nothing };
        struct spool_request *const members[] = { &before, &bad, &behind };
        member_error = errors[i];
        group_run(&bench->store, &bench->ballast, members, COUNT_OF(members));
        assert_true(before.is_ok);
        assert_false(bad.is_ok);
        assert_true(behind.is_ok);
        assert_int_equal(number_of(bench, "SELECT count(*) FROM sqlite_schema WHERE name = 'half'"),
                         0);
    }
}

/* --- Upkeep --- */

static void accept_message(struct bench *bench, int64_t key, size_t recipient_count,
                           uint32_t chunk_count)
{
    struct spool_submit *submit = spool_submit_new(recipient_count);

    submit->key = key;
    message_id(submit->id, key);
    submit->sender = xstrdup("");
    submit->header_from = xstrdup("");
    submit->user = xstrdup("alice");
    submit->accepted_at_ms = TEST_NOW_S * INT64_C(1000);
    submit->chunk_count = chunk_count;
    submit->last_chunk = blob_copy("end", 3);
    for (size_t i = 0; i < recipient_count; i++)
        submit->recipients[i] =
            (struct spool_new_recipient){ xasprintf("rcpt%zu@example.com", i), xstrdup("relay"),
                                          TEST_NOW_S, WAITING_NOW };
    for (uint32_t i = 0; i + 1 < chunk_count; i++) {
        struct spool_chunk *chunk = spool_chunk_new(key, i, blob_copy("piece", 5));
        run(bench, &chunk->request, store_chunk_append, true);
        spool_chunk_free(chunk);
    }
    run(bench, &submit->request, store_submit, true);
    spool_submit_free(submit);
}

static void settle(struct bench *bench, int64_t key, uint16_t number, enum recipient_state state)
{
    struct spool_outcome *outcome = outcome_new(key, number, state);

    run(bench, &outcome->request, store_outcome, true);
    spool_outcome_free(outcome);
}

/* Until there is nothing left to do at that time. Returns the number of steps. */
static unsigned keep_up(struct bench *bench, int64_t now_s)
{
    struct spool_upkeep upkeep = { .now_s = now_s, .is_idle = true };

    for (unsigned steps = 1;; steps++) {
        run(bench, &upkeep.request, store_upkeep, true);
        if (!upkeep.has_more)
            return steps;
        assert_true(steps < 10000);
    }
}

static void test_body_expires(void **state)
{
    struct bench *bench = *state;

    accept_message(bench, 1, 1, 100);
    accept_message(bench, 2, 1, 1);
    settle(bench, 1, 0, RECIPIENT_FAILED);
    (void)keep_up(bench, TEST_NOW_S + DAY_S - 10);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM chunk"), 101);
    /* Many pieces go in several steps. */
    assert_true(keep_up(bench, TEST_NOW_S + DAY_S + 10) > 3);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM chunk"), 1);
    assert_int_equal(number_of(bench, "SELECT has_body FROM message WHERE key = 1"), 0);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM loose_body"), 0);
    /* Without a body it cannot be sent again. */
    CLEANUP(filter_free_p) struct filter *all = filter_of("all");
    struct spool_change *change = spool_change_new(all, CHANGE_RETRY, SPOOL_ANYBODY, 0);
    run(bench, &change->request, store_change, true);
    assert_int_equal(change->message_count, 2);
    assert_int_equal(change->changed_count, 1);
    spool_change_free(change);
}

/* A large body that all have got goes in steps, too. */
static void test_large_body_goes(void **state)
{
    struct bench *bench = *state;

    accept_message(bench, 1, 1, 100);
    settle(bench, 1, 0, RECIPIENT_DELIVERED);
    assert_int_equal(number_of(bench, "SELECT has_body FROM message"), 0);
    (void)keep_up(bench, TEST_NOW_S);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM chunk"), 0);
}

/* A step is as large as it may be: with one message a step, a busy spool would only ever grow. */
static void test_history_keeps_pace(void **state)
{
    enum { MESSAGES = 200 };
    struct bench *bench = *state;

    for (int64_t key = 1; key <= MESSAGES; key++) {
        accept_message(bench, key, 1, 1);
        settle(bench, key, 0, key % 2 == 0 ? RECIPIENT_DELIVERED : RECIPIENT_FAILED);
    }
    assert_true(keep_up(bench, TEST_NOW_S + 2 * DAY_S) < 10);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM chunk"), 0);
    assert_true(keep_up(bench, TEST_NOW_S + 31 * DAY_S) < 10);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM message"), 0);
}

static void test_history(void **state)
{
    struct bench *bench = *state;
    int64_t highest = 0;
    struct error err = { 0 };

    accept_message(bench, 1, 1200, 1);
    for (unsigned i = 0; i < 1200; i++)
        settle(bench, 1, (uint16_t)i, i % 2 == 0 ? RECIPIENT_DELIVERED : RECIPIENT_FAILED);
    accept_message(bench, 2, 1, 1); /* is never done */
    accept_message(bench, 3, 1, 1);
    settle(bench, 3, 0, RECIPIENT_DELIVERED);
    (void)keep_up(bench, TEST_NOW_S + 29 * DAY_S);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM message"), 3);
    (void)keep_up(bench, TEST_NOW_S + 31 * DAY_S);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM message"), 1);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM recipient"), 1);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM event"), 1);
    assert_int_equal(tally_total(&bench->store.tally, "relay", ~0U), 1);
    assert_int_equal(number_of(bench, "SELECT sum(count) FROM smarthost_count"), 1);
    assert_true(store_key_highest(&bench->store, &highest, &err));
    assert_int_equal(highest, 3);
}

/* Clocks are set wrong and put right again. */
static void test_history_of_the_future(void **state)
{
    struct bench *bench = *state;

    accept_message(bench, 1, 1, 1);
    accept_message(bench, 2, 1, 1);
    execute(bench, "UPDATE message SET accepted_at_ms = accepted_at_ms * 2 WHERE key = 1");
    /* Some came before: age alone removes no event behind them. */
    execute(bench, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) "
                   "INSERT INTO event (number, at_ms, kind) SELECT -i, 1 << 50, 'parked' FROM n");
    settle(bench, 2, 0, RECIPIENT_DELIVERED);
    (void)keep_up(bench, TEST_NOW_S * INT64_C(2));
    (void)keep_up(bench, TEST_NOW_S + 31 * DAY_S);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM message"), 1);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM event WHERE key = 2"), 0);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM event WHERE key = 1"), 1);
}

static size_t events_of(struct bench *bench, int64_t key)
{
    char id[QUEUE_ID_SIZE];

    message_id(id, key);
    struct spool_log *log = spool_log_new(id, SPOOL_ANYBODY, 0, 10);
    run(bench, &log->request, store_log, false);
    size_t count = log->event_count;
    spool_log_free(log);
    return count;
}

/* Once the table is empty its numbers begin anew, and a message that is still open may outlive its own event. */
static void test_number_of_another(void **state)
{
    struct bench *bench = *state;

    accept_message(bench, 1, 1, 1); /* is open for long */
    accept_message(bench, 2, 1, 1);
    /* The first event goes by its age: there are newer ones. Then all that is left goes with its message. */
    (void)keep_up(bench, TEST_NOW_S + 31 * DAY_S);
    settle(bench, 2, 0, RECIPIENT_DELIVERED);
    (void)keep_up(bench, TEST_NOW_S + 33 * DAY_S);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM event"), 0);
    accept_message(bench, 3, 1, 1);
    execute(bench, "UPDATE event SET at_ms = at_ms * 2 WHERE key = 3");
    assert_int_equal(number_of(bench, "SELECT number FROM event"),
                     number_of(bench, "SELECT accepted_event FROM message WHERE key = 1"));
    assert_int_equal(events_of(bench, 1), 0);
    assert_int_equal(events_of(bench, 3), 1);
    settle(bench, 1, 0, RECIPIENT_DELIVERED);
    (void)keep_up(bench, TEST_NOW_S + 35 * DAY_S);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM message WHERE key = 1"), 0);
    assert_int_equal(events_of(bench, 3), 1);
}

/* --- Large queues --- */

/* Every second message is held, every hundredth failed; all are due at the same time. */
static void fill(struct bench *bench, unsigned messages)
{
    AUTO_FREE char *sql = xasprintf(
        "BEGIN;"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u) "
        "INSERT INTO message SELECT i, printf('TEST%%018d', i), 's@example.com', '', 'u' || (i %% "
        "10), i %% 10, NULL, (%d + i * 100) * 1000, 100, 0, 0, 1, 1, 1, i %% 100 != 0, 0, CASE "
        "WHEN i "
        "%% 100 = 0 THEN %d END, i FROM n;"
        "INSERT INTO recipient SELECT key * 65536, 'r' || key || '@example.com', 'relay', CASE "
        "WHEN key %% 100 = 0 THEN 'failed' WHEN key %% 2 = 0 THEN 'held' ELSE 'queued' END, NULL, "
        "CASE WHEN key %% 2 = 1 THEN %d END, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL FROM "
        "message;"
        "INSERT INTO event SELECT key, 0, key, NULL, 'accepted', NULL, NULL, NULL, NULL, NULL, "
        "NULL, NULL, NULL, NULL, NULL, NULL FROM message;"
        "INSERT INTO smarthost_count SELECT smarthost, state, count(*) FROM recipient GROUP BY "
        "1, 2;"
        "COMMIT",
        messages, TEST_NOW_S, TEST_NOW_S, TEST_NOW_S);
    struct error err = { 0 };

    execute(bench, sql);
    assert_true(tally_load(&bench->store.tally, &bench->store.database, &err));
}

/* Steps of the virtual machine of SQLite: what a page costs, whatever the machine. */
static int steps_of(struct bench *bench)
{
    int steps = 0;

    for (size_t i = 0; i < SQL_QUERY_COUNT; i++)
        steps +=
            sqlite3_stmt_status(bench->store.database.statements[i], SQLITE_STMTSTATUS_VM_STEP, 1);
    return steps;
}

enum {
    MESSAGES = 40000,
    /* A message of one recipient costs about 40 steps, found by its state 80. */
    STEPS_MAX = 100 * ROWS_EXAMINED,
};

/* The messages came in at one in 100 seconds; asked when the last one came. */
static const struct {
    const char *terms;
    int64_t uid;
    size_t rows;
    unsigned pages_max; /* 0: as many as it takes */
} large_lists[] = {
    { "", SPOOL_ANYBODY, MESSAGES - MESSAGES / 100, 0 },
    { "all", SPOOL_ANYBODY, MESSAGES, 0 },
    { "all", 7, MESSAGES / 10, 0 },
    { "state=held", SPOOL_ANYBODY, MESSAGES / 2 - MESSAGES / 100, 0 },
    { "state=failed", SPOOL_ANYBODY, MESSAGES / 100, 0 },
    { "state=delivered", SPOOL_ANYBODY, 0, 1 },
    { "smarthost=rare", SPOOL_ANYBODY, 4, 1 },
    { "smarthost=rare user=u7", SPOOL_ANYBODY, 1, 1 },
    { "recipient=nobody@example.com", SPOOL_ANYBODY, 0, 7 },
    { "smarthost=other", SPOOL_ANYBODY, 0, 0 },
    { "recipient=r39999@example.com", SPOOL_ANYBODY, 1, 0 },
    { "TEST000000000000020000", SPOOL_ANYBODY, 1, 0 },
    { "newer=1d", SPOOL_ANYBODY, 864, 2 },
    { "older=45d", SPOOL_ANYBODY, 1119, 2 },
    { "state=held newer=1d", SPOOL_ANYBODY, 432 - 9, 2 },
    { "sender=nobody@example.com", SPOOL_ANYBODY, 0, 0 },
};

/* Another smarthost has a few: all queued but the last, which failed. */
static void make_rare(struct bench *bench)
{
    struct error err = { 0 };

    execute(bench,
            "UPDATE recipient SET smarthost = 'rare' WHERE id >> 16 IN (21, 107, 30009, 39900);"
            "DELETE FROM smarthost_count;"
            "INSERT INTO smarthost_count SELECT smarthost, state, count(*) FROM recipient GROUP BY "
            "1, 2");
    tally_done(&bench->store.tally);
    assert_true(tally_load(&bench->store.tally, &bench->store.database, &err));
}

static void test_large_lists(void **state)
{
    struct bench *bench = *state;

    fill(bench, MESSAGES);
    make_rare(bench);
    for (size_t i = 0; i < COUNT_OF(large_lists); i++) {
        CLEANUP(filter_free_p) struct filter *filter = filter_of(large_lists[i].terms);
        struct spool_list *list =
            spool_list_new(filter, large_lists[i].uid, TEST_NOW_S + MESSAGES * 100, 5000);
        size_t rows = 0;
        int64_t last_key = 0;
        unsigned pages = 0;
        for (; !list->is_end; pages++) {
            (void)steps_of(bench);
            run(bench, &list->request, store_list, false);
            int steps = steps_of(bench);
            if (steps > STEPS_MAX || list->row_count > ROWS_EXAMINED)
                fail_msg("%s: %d steps for %zu rows", large_lists[i].terms, steps, list->row_count);
            for (size_t n = 0; n < list->row_count; n++) {
                assert_true(list->rows[n].key > last_key);
                last_key = list->rows[n].key;
            }
            rows += list->row_count;
        }
        if (rows != large_lists[i].rows ||
            (large_lists[i].pages_max > 0 && pages > large_lists[i].pages_max))
            fail_msg("%s: %zu rows in %u pages", large_lists[i].terms, rows, pages);
        spool_list_free(list);
    }
}

/* All due at the same second: the last page costs as much as the first. */
static void test_large_backlog(void **state)
{
    struct bench *bench = *state;
    size_t count = 0;
    struct spool_due *cursor = spool_due_new("relay", TEST_NOW_S, 0);

    fill(bench, MESSAGES);
    while (!cursor->is_end) {
        struct spool_due *due = spool_due_new("relay", TEST_NOW_S, 500);
        due->cursor_due_s = cursor->cursor_due_s;
        due->cursor_recipient = cursor->cursor_recipient;
        (void)steps_of(bench);
        run(bench, &due->request, store_due, false);
        assert_in_range(steps_of(bench), 1, 500 * 60);
        assert_true(due->message_count <= 500);
        count += due->message_count;
        spool_due_free(cursor);
        cursor = due;
    }
    assert_int_equal(count, MESSAGES / 2);
    spool_due_free(cursor);
}

static void test_large_change(void **state)
{
    struct bench *bench = *state;
    CLEANUP(filter_free_p) struct filter *all = filter_of("all");
    struct spool_change *change = spool_change_new(all, CHANGE_DELETE, SPOOL_ANYBODY, 0);
    uint64_t changed = 0;

    fill(bench, 5000);
    while (!change->is_end) {
        run(bench, &change->request, store_change, true);
        change->cursor_key = change->next_cursor_key; /* as the spool does after the commit */
        assert_true(change->key_count <= ROWS_AT_ONCE);
        changed += change->changed_count;
    }
    assert_int_equal(changed, 4950);
    assert_int_equal(number_of(bench, "SELECT count(*) FROM message WHERE open_count > 0"), 0);
    assert_int_equal(tally_total(&bench->store.tally, "relay", 1U << RECIPIENT_CANCELLED), 4950);
    assert_int_equal(number_of(bench,
                               "SELECT count(*) FROM (SELECT smarthost, state, count(*) AS n FROM "
                               "recipient GROUP BY 1, 2) AS real LEFT JOIN smarthost_count USING "
                               "(smarthost, state) WHERE n IS NOT count"),
                     0);
    spool_change_free(change);
}

/* Somebody else's events are passed over in bounded steps, and none of one's own is missed. */
static void test_large_log(void **state)
{
    struct bench *bench = *state;
    struct spool_log *log = spool_log_new("", 7, 0, 100000);

    fill(bench, MESSAGES);
    run(bench, &log->request, store_log, false);
    assert_int_equal(log->event_count, MESSAGES / 10);
    spool_log_free(log);
    log = spool_log_new("", 12345, 0, 10);
    run(bench, &log->request, store_log, false);
    assert_int_equal(log->event_count, 0);
    spool_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_body_expires, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_body_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history_keeps_pace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history_of_the_future, setup, teardown),
        cmocka_unit_test_setup_teardown(test_number_of_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_lists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_backlog, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_change, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_log, setup, teardown),
    };

    return cmocka_run_group_tests_name("spool store", tests, NULL, NULL);
}
