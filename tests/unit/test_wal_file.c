/* The log behind SQLite: what is written is read, what failed is not committed, what was committed is found after the
   end at any moment. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "fault_vfs.h"
#include "wal_file.h"
#include "xalloc.h"

#include <cmocka.h> /* last: it defines fail() */

enum { FRAME_HEAD = 24, PAGE = 4096, MIB = 1024 * 1024 };

static const char *const names[] = { "log.wal", "a.db", "a.db-wal", "b.db", "b.db-wal" };

static char *directory;

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", directory, name);
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    fault_vfs_plan(NULL);
    directory = xasprintf("%s/outbox-wal-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(directory));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fault_vfs_plan(NULL);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        AUTO_FREE char *path = path_of(names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(directory), 0);
    free(directory);
    return 0;
}

static unsigned lower_writes(void)
{
    return fault_vfs_calls(FAULT_WRITE, FAULT_WAL);
}

static void plan(unsigned countdown, int code)
{
    const struct fault fault = { FAULT_WRITE, FAULT_WAL, countdown, false, code, ENOSPC };

    fault_vfs_plan(&fault);
}

/* --- The file by itself --- */

struct log {
    char *path;
    sqlite3_file *file;
};

static struct log log_open(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(wal_file_vfs());
    struct log log = { path_of("log.wal"), xcalloc(1, (size_t)vfs->szOsFile) };

    assert_int_equal(vfs->xOpen(vfs, log.path, log.file,
                                SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL, NULL),
                     SQLITE_OK);
    return log;
}

static void log_close(struct log *log)
{
    assert_int_equal(log->file->pMethods->xClose(log->file), SQLITE_OK);
    free(log->file);
    free(log->path);
}

static int put(struct log *log, char letter, int len, int64_t offset)
{
    AUTO_FREE char *bytes = xcalloc((size_t)len, 1);

    (void)memset(bytes, letter, (size_t)len);
    return log->file->pMethods->xWrite(log->file, bytes, len, offset);
}

static void assert_holds(struct log *log, char letter, int len, int64_t offset)
{
    AUTO_FREE char *bytes = xcalloc((size_t)len, 1);

    assert_int_equal(log->file->pMethods->xRead(log->file, bytes, len, offset), SQLITE_OK);
    for (int i = 0; i < len; i++)
        if (bytes[i] != letter)
            fail_msg("%c instead of %c at %lld", bytes[i], letter, (long long)offset + i);
}

static int sync_log(struct log *log)
{
    return log->file->pMethods->xSync(log->file, SQLITE_SYNC_NORMAL);
}

static void test_one_write(void **state)
{
    enum { FRAMES = 24 };
    struct log log = log_open();
    unsigned before = lower_writes();

    (void)state;
    for (int i = 0; i < FRAMES; i++) {
        int64_t offset = 32 + (int64_t)i * (FRAME_HEAD + PAGE);
        assert_int_equal(put(&log, 'h', FRAME_HEAD, offset), SQLITE_OK);
        assert_int_equal(put(&log, 'p', PAGE, offset + FRAME_HEAD), SQLITE_OK);
    }
    assert_holds(&log, 'p', PAGE, 32 + FRAME_HEAD);
    assert_int_equal(lower_writes() - before, 0);
    assert_int_equal(sync_log(&log), SQLITE_OK);
    assert_int_equal(lower_writes() - before, 1);
    log_close(&log);
}

/* A file that does everything at once is the reference. */
static void test_like_any_file(void **state)
{
    enum { SIZE_MAX_ = 600 * 1024, STEPS = 4000 };
    AUTO_FREE unsigned char *model = xcalloc(SIZE_MAX_, 1);
    AUTO_FREE unsigned char *bytes = xcalloc(SIZE_MAX_, 1);
    struct log log = log_open();
    const sqlite3_io_methods *methods = log.file->pMethods;
    int64_t size = 0;
    int64_t next = 0; /* behind the last write */
    uint64_t chance = 1;

    (void)state;
    for (int step = 0; step < STEPS; step++) {
        chance = chance * 6364136223846793005U + 1442695040888963407U;
        unsigned lot = (unsigned)(chance >> 33) % 100;
        int len = (int)((chance >> 40) % (lot % 10 == 0 ? 60000 : 5000)) + 1;
        int64_t at = lot < 60 ? next : (int64_t)((chance >> 20) % (uint64_t)(size + 1));
        if (at + len > SIZE_MAX_)
            at = 0;
        sqlite3_int64 measured = 0;
        if (lot < 70) {
            (void)memset(bytes, (int)(chance >> 56), (size_t)len);
            (void)memcpy(model + at, bytes, (size_t)len);
            assert_int_equal(methods->xWrite(log.file, bytes, len, at), SQLITE_OK);
            next = at + len;
            size = next > size ? next : size;
        } else if (lot < 95) {
            int rc = methods->xRead(log.file, bytes, len, at);
            assert_int_equal(rc, at + len > size ? SQLITE_IOERR_SHORT_READ : SQLITE_OK);
            assert_memory_equal(bytes, model + at, (size_t)len);
        } else if (lot < 97) {
            assert_int_equal(methods->xTruncate(log.file, at), SQLITE_OK);
            (void)memset(model + at, 0, (size_t)(SIZE_MAX_ - at));
            size = at;
            next = at; /* SQLite leaves no gaps */
        } else if (lot < 98) {
            assert_int_equal(sync_log(&log), SQLITE_OK);
        } else {
            assert_int_equal(methods->xFileSize(log.file, &measured), SQLITE_OK);
            assert_int_equal(measured, size);
        }
    }
    log_close(&log);
}

/* The bytes that could not be written are neither written later nor seen; what belongs to them is refused, until their
   place is taken again from its beginning. */
static void test_lost_write(void **state)
{
    struct log log = log_open();
    char byte = 0;

    (void)state;
    assert_int_equal(put(&log, 'a', PAGE, 0), SQLITE_OK);
    assert_int_equal(sync_log(&log), SQLITE_OK);
    assert_int_equal(put(&log, 'b', PAGE, PAGE), SQLITE_OK);
    assert_int_equal(put(&log, 'b', PAGE, 2 * PAGE), SQLITE_OK);
    plan(1, SQLITE_FULL);
    assert_int_equal(sync_log(&log), SQLITE_FULL);
    assert_int_equal(put(&log, 'c', PAGE, 3 * PAGE), SQLITE_FULL);
    assert_int_equal(put(&log, 'c', PAGE, 2 * PAGE), SQLITE_FULL);
    assert_int_equal(log.file->pMethods->xRead(log.file, &byte, 1, PAGE), SQLITE_IOERR_READ);
    assert_holds(&log, 'a', PAGE, 0);
    assert_int_equal(sync_log(&log), SQLITE_OK); /* of a checkpoint */
    assert_int_equal(put(&log, 'c', PAGE, 3 * PAGE), SQLITE_FULL);
    assert_int_equal(put(&log, 'd', PAGE, PAGE), SQLITE_OK);
    assert_int_equal(put(&log, 'd', PAGE, 2 * PAGE), SQLITE_OK);
    assert_int_equal(sync_log(&log), SQLITE_OK);
    assert_holds(&log, 'd', 2 * PAGE, PAGE);
    sqlite3_int64 size = 0;
    assert_int_equal(log.file->pMethods->xFileSize(log.file, &size), SQLITE_OK);
    assert_int_equal(size, 3 * PAGE);
    log_close(&log);
}

static void test_extend(void **state)
{
    struct log log = log_open();
    bool is_done = false;
    sqlite3_int64 size = 0;
    int steps = 0;

    (void)state;
    assert_int_equal(put(&log, 'a', PAGE + 32, 0), SQLITE_OK);
    plan(2, SQLITE_FULL);
    assert_int_equal(wal_file_extend(log.file, 3 * MIB + 1, &is_done), SQLITE_FULL);
    assert_int_equal(put(&log, 'a', PAGE, PAGE + 32), SQLITE_OK);
    for (; !is_done; steps++) {
        unsigned syncs = fault_vfs_calls(FAULT_SYNC, FAULT_WAL);
        assert_int_equal(wal_file_extend(log.file, 3 * MIB + 1, &is_done), SQLITE_OK);
        assert_int_equal(fault_vfs_calls(FAULT_SYNC, FAULT_WAL) - syncs, 1);
    }
    assert_int_equal(steps, 3);
    assert_int_equal(wal_file_extend(log.file, MIB, &is_done), SQLITE_OK);
    assert_true(is_done);
    assert_int_equal(log.file->pMethods->xFileSize(log.file, &size), SQLITE_OK);
    assert_int_equal(size, 3 * MIB + 1);
    assert_holds(&log, 'a', 2 * PAGE + 32, 0);
    assert_holds(&log, '\0', MIB, 2 * PAGE + 32);
    log_close(&log);
}

/* --- Under SQLite --- */

static int run(sqlite3 *handle, const char *text)
{
    return sqlite3_exec(handle, text, NULL, NULL, NULL);
}

static sqlite3 *connect_to(const char *name, const char *vfs)
{
    AUTO_FREE char *path = path_of(name);
    sqlite3 *handle = NULL;

    assert_int_equal(
        sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs), SQLITE_OK);
    return handle;
}

/* A small cache, so that pages are written, and read again, before the commit. */
static sqlite3 *database_new(void)
{
    sqlite3 *handle = connect_to("a.db", wal_file_vfs());

    assert_int_equal(run(handle, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                                 "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                                 "PRAGMA cache_size = 10; PRAGMA cache_spill = 10;"
                                 "CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)"),
                     SQLITE_OK);
    return handle;
}

static void database_free(sqlite3 *handle)
{
    fault_vfs_plan(NULL);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

static int64_t number(sqlite3 *handle, const char *text)
{
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_prepare_v2(handle, text, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    return value;
}

static void copy(const char *from, const char *to)
{
    enum { BYTES_MAX = 8 * MIB };
    AUTO_FREE char *from_path = path_of(from);
    AUTO_FREE char *to_path = path_of(to);
    AUTO_FREE char *bytes = malloc(BYTES_MAX);
    FILE *in = fopen(from_path, "rb");
    FILE *out = fopen(to_path, "wb");

    assert_non_null(bytes);
    assert_non_null(in);
    assert_non_null(out);
    size_t len = fread(bytes, 1, BYTES_MAX, in);
    assert_int_equal(fwrite(bytes, 1, len, out), len);
    (void)fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* What the next start would find if the process ended now. The rows are 1 to n, or the test fails. */
static int64_t rows_after_crash(void)
{
    copy("a.db", "b.db");
    copy("a.db-wal", "b.db-wal");
    sqlite3 *handle = connect_to("b.db", "unix");
    assert_int_equal(run(handle, "PRAGMA synchronous = OFF"), SQLITE_OK);
    assert_int_equal(number(handle, "SELECT count(*) FROM pragma_integrity_check "
                                    "WHERE integrity_check <> 'ok'"),
                     0);
    int64_t count = number(handle, "SELECT count(*) FROM t");
    assert_int_equal(number(handle, "SELECT ifnull(max(n), 0) FROM t"), count);
    assert_int_equal(sqlite3_close(handle), SQLITE_OK);
    return count;
}

static const char one_row[] = "INSERT INTO t (data) VALUES (zeroblob(1000))";
/* Goes through the cache several times, and through the buffer. */
static const char some_rows[] = "WITH c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 5) "
                                "INSERT INTO t (data) SELECT randomblob(50000) FROM c";
static const char change_all[] = "UPDATE t SET data = randomblob(length(data))";

static void test_commit_fails(void **state)
{
    static const int codes[] = { SQLITE_FULL, SQLITE_IOERR_WRITE };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        sqlite3 *handle = database_new();
        assert_int_equal(run(handle, one_row), SQLITE_OK);
        plan(1, codes[i]);
        assert_int_equal(run(handle, one_row), codes[i] & 0xff);
        assert_int_equal(sqlite3_extended_errcode(handle), codes[i]);
        assert_true(sqlite3_get_autocommit(handle) != 0);
        assert_int_equal(number(handle, "SELECT count(*) FROM t"), 1);
        assert_int_equal(rows_after_crash(), 1);
        assert_int_equal(run(handle, one_row), SQLITE_OK);
        assert_int_equal(rows_after_crash(), 2);
        assert_int_equal(run(handle, "DROP TABLE t"), SQLITE_OK);
        database_free(handle);
    }
}

/* Every write of a transaction that spills fails in turn; and its statements go on regardless, even to the COMMIT. What
   SQLite then takes for committed must be found by recovery. */
static void test_hole_is_never_committed(void **state)
{
    sqlite3 *handle = database_new();
    bool was_reached = true;
    unsigned failed = 0;

    (void)state;
    assert_int_equal(run(handle, some_rows), SQLITE_OK);
    for (unsigned countdown = 1; was_reached; countdown++) {
        unsigned before = lower_writes();
        plan(countdown, SQLITE_FULL);
        assert_int_equal(run(handle, "BEGIN"), SQLITE_OK);
        (void)run(handle, change_all);
        (void)run(handle, some_rows);
        (void)run(handle, change_all);
        (void)run(handle, one_row);
        (void)run(handle, "COMMIT");
        was_reached = lower_writes() - before >= countdown;
        failed += was_reached;
        fault_vfs_plan(NULL);
        assert_true(sqlite3_get_autocommit(handle) != 0);
        int64_t count = number(handle, "SELECT count(*) FROM t");
        assert_int_equal(rows_after_crash(), count);
        assert_int_equal(run(handle, one_row), SQLITE_OK);
        assert_int_equal(rows_after_crash(), count + 1);
        assert_int_equal(run(handle, "DELETE FROM t WHERE n > 5"), SQLITE_OK);
        assert_int_equal(run(handle, "PRAGMA wal_checkpoint"), SQLITE_OK);
    }
    assert_true(failed > 10);
    database_free(handle);
}

static void extend_all(sqlite3 *handle, int64_t size)
{
    sqlite3_file *file = NULL;

    assert_int_equal(sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &file),
                     SQLITE_OK);
    for (bool is_done = false; !is_done;)
        assert_int_equal(wal_file_extend(file, size, &is_done), SQLITE_OK);
}

/* Commits of all kinds until the write that fails; how many rows were acknowledged. */
static int64_t work(sqlite3 *handle, bool is_extended)
{
    enum { ROUNDS = 3, COMMITS = 3 };
    int64_t rows = 0;

    for (int i = 0; i < ROUNDS; i++) {
        for (int j = 0; j < COMMITS; j++, rows++)
            if (run(handle, one_row) != SQLITE_OK)
                return rows;
        if (run(handle, some_rows) != SQLITE_OK)
            return rows;
        rows += 5;
        if (run(handle, "PRAGMA wal_checkpoint") != SQLITE_OK)
            return rows;
        if (is_extended)
            extend_all(handle, 2 * MIB);
    }
    return rows;
}

static void crash_at_each_write(bool is_extended)
{
    bool was_reached = true;

    for (unsigned countdown = 1; was_reached; countdown++) {
        sqlite3 *handle = database_new();
        unsigned before = lower_writes();
        if (is_extended)
            extend_all(handle, 2 * MIB);
        plan(countdown + (lower_writes() - before), SQLITE_IOERR_WRITE);
        before = lower_writes();
        int64_t rows = work(handle, is_extended);
        was_reached = lower_writes() - before >= countdown;
        int64_t found = rows_after_crash();
        if (found != rows)
            fail_msg("write %u: %lld rows instead of %lld", countdown, (long long)found,
                     (long long)rows);
        fault_vfs_plan(NULL);
        assert_int_equal(run(handle, "DROP TABLE t"), SQLITE_OK);
        database_free(handle);
    }
}

static void test_crash_at_each_write(void **state)
{
    (void)state;
    crash_at_each_write(false);
}

/* Zeroes, and frames of an earlier use, follow the end of the log. */
static void test_crash_with_extended_log(void **state)
{
    (void)state;
    crash_at_each_write(true);
}

/* The first start that becomes idle leaves a log of nothing but zeroes. */
static void test_log_of_zeroes(void **state)
{
    sqlite3 *handle = database_new();

    (void)state;
    assert_int_equal(run(handle, one_row), SQLITE_OK);
    assert_int_equal(run(handle, "PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_OK);
    extend_all(handle, 2 * MIB);
    assert_int_equal(rows_after_crash(), 1);
    assert_int_equal(run(handle, one_row), SQLITE_OK);
    assert_int_equal(rows_after_crash(), 2);
    database_free(handle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_like_any_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_extend, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commit_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hole_is_never_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_at_each_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_with_extended_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_of_zeroes, setup, teardown),
    };

    fault_vfs_install();
    return cmocka_run_group_tests_name("wal file", tests, NULL, NULL);
}
