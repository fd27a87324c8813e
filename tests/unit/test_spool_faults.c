/* What the spool does when the disk is full or broken, and what one sync serves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <errno.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "fault_vfs.h"
#include "filter.h"
#include "spool_fixture.h"
#include "xalloc.h"

#include <cmocka.h> /* last: it defines fail() */

DEFINE_CLEANUP(struct filter, filter_free)

static int setup(void **state)
{
    struct fixture *fixture = NEW(struct fixture);

    fault_vfs_plan(NULL);
    fixture_init(fixture);
    fixture_start(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fault_vfs_plan(NULL);
    fault_vfs_disk(NULL, 0);
    fixture_done(*state);
    free(*state);
    return 0;
}

static unsigned wal_syncs(void)
{
    return fault_vfs_calls(FAULT_SYNC, FAULT_WAL);
}

static uint64_t commits(struct fixture *fixture)
{
    struct spool_summary *summary = summary_of(fixture);
    uint64_t count = summary->commits_total;

    spool_summary_free(summary);
    return count;
}

static size_t messages(struct fixture *fixture)
{
    CLEANUP(filter_free_p) struct filter *all = filter_of("all");
    struct spool_list *list = list_of(fixture, all);
    size_t count = list->row_count; /* one recipient each */

    spool_list_free(list);
    return count;
}

static void post(struct fixture *fixture, struct spool_submit *submit)
{
    fixture_expect(fixture, &submit->request);
    spool_message_submit(fixture->spool, submit);
}

/* The thread waits in a commit; what is posted now becomes the next group. */
static struct spool_submit *hold_thread(struct fixture *fixture)
{
    struct spool_submit *first = message_new(fixture, 1, "relay", 10);

    (void)accept_one(fixture); /* the log begins with a sync of its own */
    fault_vfs_gate_close();
    post(fixture, first);
    fault_vfs_gate_wait();
    return first;
}

static void test_group_commit(void **state)
{
    enum { MEMBERS = 200 };
    struct fixture *fixture = *state;
    struct spool_submit *members[MEMBERS];
    struct spool_submit *first = hold_thread(fixture);
    unsigned syncs = wal_syncs();

    for (size_t i = 0; i < MEMBERS; i++) {
        members[i] = message_new(fixture, 1, "relay", 1000);
        post(fixture, members[i]);
    }
    fault_vfs_gate_open();
    fixture_wait(fixture);
    assert_int_equal(wal_syncs() - syncs, 1);
    assert_int_equal(commits(fixture), 3);
    for (size_t i = 0; i < MEMBERS; i++) {
        assert_true(members[i]->request.is_ok);
        spool_submit_free(members[i]);
    }
    spool_submit_free(first);
}

/* A member that fails after it has written is undone and answered; the others are accepted by the same commit. */
static void test_bad_member(void **state)
{
    struct fixture *fixture = *state;
    int64_t key = accept_one(fixture);
    struct spool_submit *first = hold_thread(fixture);
    struct spool_submit *good = message_new(fixture, 1, "relay", 10);
    struct spool_submit *late = message_new(fixture, 1, "relay", 10);
    struct spool_outcome *bad = spool_outcome_new(2);

    bad->key = key;
    bad->at_ms = TEST_NOW_S * INT64_C(1000);
    bad->recipients[0] = (struct spool_outcome_recipient){ .state = RECIPIENT_DELIVERED };
    bad->recipients[1] =
        (struct spool_outcome_recipient){ .number = 7, .state = RECIPIENT_DELIVERED };
    post(fixture, good);
    fixture_expect(fixture, &bad->request);
    spool_outcome_record(fixture->spool, bad);
    post(fixture, late);
    fault_vfs_gate_open();
    fixture_wait(fixture);
    assert_true(good->request.is_ok);
    assert_true(late->request.is_ok);
    assert_false(bad->request.is_ok);
    assert_int_equal(bad->request.error.code, ERROR_MISSING);
    struct spool_summary *summary = summary_of(fixture);
    assert_int_equal(summary->smarthosts[0].counts[RECIPIENT_QUEUED], 5);
    assert_int_equal(summary->smarthosts[0].counts[RECIPIENT_DELIVERED], 0);
    assert_int_equal(summary->accepted_total, 5);
    spool_summary_free(summary);
    assert_int_equal(chunk_len_of(fixture, key, 0), 10);
    spool_submit_free(first);
    spool_submit_free(good);
    spool_submit_free(late);
    spool_outcome_free(bad);
}

/* A small commit is one write, in its sync; the pieces of a large one are written before. */
static const struct {
    const char *name;
    size_t body_len;
    struct fault fault;
} full_disks[] = {
    { "log full", 10, { FAULT_WRITE, FAULT_WAL, 1, false, SQLITE_FULL, ENOSPC } },
    { "log full early",
      SPOOL_CHUNK_BYTES,
      { FAULT_WRITE, FAULT_WAL, 1, false, SQLITE_FULL, ENOSPC } },
    { "log full late",
      SPOOL_CHUNK_BYTES,
      { FAULT_WRITE, FAULT_WAL, 3, false, SQLITE_FULL, ENOSPC } },
    { "quota", 10, { FAULT_WRITE, FAULT_WAL, 1, false, SQLITE_IOERR_WRITE, EDQUOT } },
    { "read-only", 10, { FAULT_WRITE, FAULT_WAL, 1, false, SQLITE_IOERR_WRITE, EROFS } },
    { "file too large", 10, { FAULT_WRITE, FAULT_WAL, 1, false, SQLITE_IOERR_WRITE, EFBIG } },
};

/* New mail is refused, the outcome of old mail is recorded in what the ballast leaves. */
static void test_full_once(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < COUNT_OF(full_disks); i++) {
        size_t before = messages(fixture);
        int64_t key = accept_one(fixture);
        struct spool_submit *first = hold_thread(fixture); /* two more */
        struct spool_submit *submit = message_new(fixture, 1, "relay", full_disks[i].body_len);
        struct spool_outcome *outcome = outcome_new(key, 0, RECIPIENT_DELIVERED);
        struct spool_summary *summary = spool_summary_new();
        fault_vfs_plan(&full_disks[i].fault);
        post(fixture, submit);
        fixture_expect(fixture, &outcome->request);
        spool_outcome_record(fixture->spool, outcome);
        fixture_expect(fixture, &summary->request);
        spool_summary_read(fixture->spool, summary);
        fault_vfs_gate_open();
        fixture_wait(fixture);
        if (submit->request.is_ok || !outcome->request.is_ok || !summary->is_full)
            fail_msg("%s", full_disks[i].name);
        assert_int_equal(submit->request.error.code, ERROR_FULL);
        assert_int_equal(messages(fixture), before + 3);
        spool_submit_free(first);
        spool_submit_free(submit);
        spool_outcome_free(outcome);
        spool_summary_free(summary);
        /* The space set aside is taken back within a second, then new mail is welcome. */
        while (!submit_one(fixture, message_new(fixture, 1, "relay", 10), NULL))
            assert_int_equal(fixture->error.code, ERROR_FULL);
        assert_int_equal(messages(fixture), before + 4);
        assert_true(record_one(fixture, outcome_new(key, 0, RECIPIENT_DELIVERED)));
    }
}

/* Not even outcomes can be stored: everybody is told, nothing is accepted, and all is well afterwards. */
static void test_full_for_good(void **state)
{
    static const struct fault full = { FAULT_WRITE, FAULT_WAL, 1, true, SQLITE_FULL, ENOSPC };
    struct fixture *fixture = *state;
    int64_t key = accept_one(fixture);

    fault_vfs_plan(&full);
    assert_false(submit_one(fixture, message_new(fixture, 1, "relay", 10), NULL));
    assert_int_equal(fixture->error.code, ERROR_FULL);
    assert_false(append_one(fixture, spool_message_key_new(fixture->spool), 0, 100));
    assert_int_equal(fixture->error.code, ERROR_FULL);
    assert_false(record_one(fixture, outcome_new(key, 0, RECIPIENT_DELIVERED)));
    assert_int_equal(fixture->error.code, ERROR_FULL);
    assert_int_equal(messages(fixture), 1);
    assert_int_equal(chunk_len_of(fixture, key, 0), 10);
    fault_vfs_plan(NULL);
    assert_true(record_one(fixture, outcome_new(key, 0, RECIPIENT_DELIVERED)));
    while (!submit_one(fixture, message_new(fixture, 1, "relay", 10), NULL))
        assert_int_equal(fixture->error.code, ERROR_FULL);
    fixture_stop(fixture);
    fixture_start(fixture);
    assert_int_equal(messages(fixture), 2);
}

/* The log is as long as it gets, all of it pages that are new to the file, when the disk has no room for them: what was
   set aside must be enough for the checkpoint, or no outcome could be recorded any more. */
static void test_full_at_checkpoint(void **state)
{
    enum { BEFORE = 25, MEMBERS = 32, MIB = 1024 * 1024 };
    struct fixture *fixture = *state;
    struct spool_submit *members[MEMBERS];
    int64_t first_key = accept_one(fixture);

    for (int i = 0; i < BEFORE; i++) /* nearly 8 MiB */
        assert_true(submit_one(fixture, message_new(fixture, 1, "relay", SPOOL_CHUNK_BYTES), NULL));
    struct spool_submit *first = hold_thread(fixture);
    for (size_t i = 0; i < MEMBERS; i++) { /* a group of 8 MiB */
        members[i] = message_new(fixture, 1, "relay", SPOOL_CHUNK_BYTES);
        post(fixture, members[i]);
    }
    fault_vfs_disk(fixture->directory, fault_vfs_disk_used(fixture->directory) + 10 * MIB);
    fault_vfs_gate_open();
    fixture_wait(fixture);
    for (size_t i = 0; i < MEMBERS; i++) {
        assert_true(members[i]->request.is_ok);
        spool_submit_free(members[i]);
    }
    assert_false(submit_one(fixture, message_new(fixture, 1, "relay", 10), NULL));
    assert_int_equal(fixture->error.code, ERROR_FULL);
    for (int64_t key = first_key; key < first->key; key++)
        assert_true(record_one(fixture, outcome_new(key, 0, RECIPIENT_QUEUED)));
    spool_submit_free(first);
}

static int64_t log_size(const struct fixture *fixture)
{
    AUTO_FREE char *path = fixture_path(fixture, "spool.db-wal");
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* Until it has been idle for a while and has checkpointed: asking would keep it busy. */
static void wait_for_rest(unsigned checkpoints_before)
{
    while (fault_vfs_calls(FAULT_SYNC, FAULT_MAIN) == checkpoints_before)
        (void)poll(NULL, 0, 5);
}

/* When it has rested, the log stands at its beginning, in space that was written before: no commit makes it longer. */
static void test_rest(void **state)
{
    enum { LOG_BYTES = 9 * 1024 * 1024 };
    struct fixture *fixture = *state;
    unsigned checkpoints = fault_vfs_calls(FAULT_SYNC, FAULT_MAIN);

    (void)accept_one(fixture);
    wait_for_rest(checkpoints);
    while (log_size(fixture) < LOG_BYTES)
        (void)poll(NULL, 0, 5);
    (void)accept_one(fixture); /* begins the log */
    unsigned writes = fault_vfs_calls(FAULT_WRITE, FAULT_WAL);
    unsigned syncs = wal_syncs();
    for (int i = 0; i < 20; i++)
        (void)accept_one(fixture);
    assert_int_equal(fault_vfs_calls(FAULT_WRITE, FAULT_WAL) - writes, 20);
    assert_int_equal(wal_syncs() - syncs, 20);
    assert_int_equal(log_size(fixture), LOG_BYTES);
    fixture_stop(fixture);
    AUTO_FREE char *path = fixture_path(fixture, "spool.db-wal");
    assert_int_not_equal(access(path, F_OK), 0);
}

/* Where there is no room for that, nothing is wrong. */
static void test_rest_without_room(void **state)
{
    struct fixture *fixture = *state;
    unsigned checkpoints = fault_vfs_calls(FAULT_SYNC, FAULT_MAIN);
    unsigned writes = fault_vfs_calls(FAULT_WRITE, FAULT_WAL);

    (void)accept_one(fixture);
    fault_vfs_disk(fixture->directory, fault_vfs_disk_used(fixture->directory) + 100 * 1024);
    wait_for_rest(checkpoints);
    while (fault_vfs_calls(FAULT_WRITE, FAULT_WAL) - writes < 3) /* header, commit, zeroes */
        (void)poll(NULL, 0, 5);
    assert_true(log_size(fixture) < 1024 * 1024);
    (void)accept_one(fixture);
    assert_int_equal(messages(fixture), 2);
}

/* A full disk must not keep the daemon from starting: the queue could not even be delivered. */
static void test_start_when_full(void **state)
{
    static const struct fault full = { FAULT_WRITE, FAULT_WAL, 1, true, SQLITE_FULL, ENOSPC };
    struct fixture *fixture = *state;
    int64_t key = accept_one(fixture);
    int64_t arriving = spool_message_key_new(fixture->spool);

    assert_true(append_one(fixture, arriving, 0, 100)); /* and never completed */
    fixture_stop(fixture);
    fault_vfs_plan(&full);
    fixture_start(fixture);
    assert_int_equal(chunk_len_of(fixture, key, 0), 10);
    assert_true(spool_message_key_new(fixture->spool) > arriving);
    fault_vfs_plan(NULL);
    while (chunk_len_of(fixture, arriving, 0) >= 0)
        ; /* upkeep comes every second */
    assert_int_equal(messages(fixture), 1);
}

/* A page that cannot be read: the question fails, the process goes on. */
static void test_unreadable(void **state)
{
    static const struct fault broken = { FAULT_READ, FAULT_MAIN, 1, false, SQLITE_IOERR_READ, EIO };
    struct fixture *fixture = *state;
    int64_t key = 0;

    /* The check at start reads everything, the first rows last; the cache it uses does not hold all of this. */
    for (int i = 0; i < 40; i++)
        assert_true(submit_one(fixture, message_new(fixture, 1, "relay", SPOOL_CHUNK_BYTES), &key));
    fixture_stop(fixture);
    fixture_start(fixture);
    fault_vfs_plan(&broken);
    struct spool_chunk *chunk = spool_chunk_new(key, 0, NULL);
    fixture_expect(fixture, &chunk->request);
    spool_chunk_read(fixture->spool, chunk);
    fixture_wait(fixture);
    assert_false(chunk->request.is_ok);
    assert_int_equal(chunk->request.error.code, ERROR_IO);
    spool_chunk_free(chunk);
    assert_int_equal(chunk_len_of(fixture, key, 0), SPOOL_CHUNK_BYTES);
}

static const struct {
    const char *name;
    struct fault fault;
} broken_disks[] = {
    { "sync of the log", { FAULT_SYNC, FAULT_WAL, 1, false, SQLITE_IOERR_FSYNC, EIO } },
    { "sync, no space", { FAULT_SYNC, FAULT_WAL, 1, false, SQLITE_IOERR_FSYNC, ENOSPC } },
    { "write to the log", { FAULT_WRITE, FAULT_WAL, 1, false, SQLITE_IOERR_WRITE, EIO } },
};

/* The commit may or may not have happened: nobody is answered, the process ends, the next one finds all that was
   acknowledged. */
static void test_unknown_commit(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(broken_disks); i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        pid_t child = fork();
        if (child == 0) {
            fixture_start(&fixture);
            for (int n = 0; n < 3; n++)
                (void)accept_one(&fixture);
            fault_vfs_plan(&broken_disks[i].fault);
            (void)submit_one(&fixture, message_new(&fixture, 1, "relay", 10), NULL);
            _exit(0); /* it was answered */
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 75)
            fail_msg("%s: status %x", broken_disks[i].name, (unsigned)status);
        fixture_start(&fixture);
        size_t count = messages(&fixture);
        assert_in_range(count, 3, 4);
        fixture_done(&fixture);
    }
}

/* A checkpoint that cannot sync must not be tried again by the same process. */
static void test_failed_checkpoint(void **state)
{
    static const struct fault broken = {
        FAULT_SYNC, FAULT_MAIN, 1, false, SQLITE_IOERR_FSYNC, EIO
    };
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    pid_t child = fork();
    if (child == 0) {
        fixture_start(&fixture);
        fault_vfs_plan(&broken);
        for (int n = 0; n < 100; n++) /* 25 MiB: the log is full before */
            if (!submit_one(&fixture, message_new(&fixture, 1, "relay", SPOOL_CHUNK_BYTES), NULL))
                break;
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 75);
    fixture_start(&fixture);
    assert_true(messages(&fixture) >= 25);
    fixture_done(&fixture);
}

/* Not even when the disk is full as well. */
static void test_failed_checkpoint_when_full(void **state)
{
    static const struct fault broken = {
        FAULT_SYNC, FAULT_MAIN, 1, false, SQLITE_IOERR_FSYNC, EIO
    };
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    pid_t child = fork();
    if (child == 0) {
        fixture_start(&fixture);
        (void)accept_one(&fixture);
        fault_vfs_disk(fixture.directory, fault_vfs_disk_used(fixture.directory) + 1000);
        fault_vfs_plan(&broken);
        (void)submit_one(&fixture, message_new(&fixture, 1, "relay", 10), NULL);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 75);
    fixture_start(&fixture);
    assert_int_equal(messages(&fixture), 1);
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_group_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_member, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_for_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_at_checkpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rest_without_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_when_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
        cmocka_unit_test(test_unknown_commit),
        cmocka_unit_test(test_failed_checkpoint),
        cmocka_unit_test(test_failed_checkpoint_when_full),
    };

    fault_vfs_install();
    return cmocka_run_group_tests_name("spool faults", tests, NULL, NULL);
}
