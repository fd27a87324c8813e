/* What the spool is opened on: only a whole file of ours, in a directory of ours, alone. Everything else is refused
   with a word about what to do, and left as it is, byte for byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "spool_fixture.h"
#include "xalloc.h"

#include <cmocka.h> /* last: it defines fail() */

enum { FILE_BYTES_MAX = 16 * 1024 * 1024 };

/* Directories that were synced, by inode. */
static ino_t synced[16];
static size_t synced_count;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    if (S_ISDIR(st.st_mode) && synced_count < COUNT_OF(synced))
        synced[synced_count++] = st.st_ino;
    return __real_fsync(fd);
}

static bool is_synced(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    for (size_t i = 0; i < synced_count; i++)
        if (synced[i] == st.st_ino)
            return true;
    return false;
}

struct file {
    char *bytes; /* NULL: there is no such file */
    size_t len;
};

static struct file file_read(const struct fixture *fixture, const char *name)
{
    AUTO_FREE char *path = fixture_path(fixture, name);
    FILE *stream = fopen(path, "rb");
    struct file file = { NULL, 0 };

    if (stream == NULL)
        return file;
    file.bytes = xcalloc(FILE_BYTES_MAX, 1);
    file.len = fread(file.bytes, 1, FILE_BYTES_MAX, stream);
    (void)fclose(stream);
    return file;
}

static void file_write(const struct fixture *fixture, const char *name, const void *bytes,
                       size_t len)
{
    AUTO_FREE char *path = fixture_path(fixture, name);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
}

static void assert_unchanged(const struct fixture *fixture, const char *name, struct file before)
{
    struct file now = file_read(fixture, name);

    assert_int_equal(now.bytes == NULL, before.bytes == NULL);
    if (before.bytes != NULL) {
        assert_int_equal(now.len, before.len);
        assert_memory_equal(now.bytes, before.bytes, before.len);
    }
    free(now.bytes);
}

/* A spool with three messages, cleanly closed. */
static struct file make_spool(struct fixture *fixture)
{
    fixture_init(fixture);
    fixture_start(fixture);
    for (int i = 0; i < 3; i++)
        assert_true(submit_one(fixture, message_new(fixture, 1, "relay", 20000), NULL));
    fixture_stop(fixture);
    return file_read(fixture, "spool.db");
}

static void damage_nothing_left(struct file *file)
{
    file->len = 0;
}

static void damage_short_header(struct file *file)
{
    file->len = 60;
}

static void damage_half(struct file *file)
{
    file->len /= 2;
}

static void damage_last_byte(struct file *file)
{
    file->len--;
}

static void damage_zeroes(struct file *file)
{
    (void)memset(file->bytes, 0, file->len);
}

static void damage_garbage(struct file *file)
{
    for (size_t i = 0; i < file->len; i++)
        file->bytes[i] = (char)(i * 7919 % 251);
}

static void damage_middle(struct file *file)
{
    (void)memset(file->bytes + 4096, 0x5a, 3 * 4096);
}

static void damage_root_page(struct file *file)
{
    (void)memset(file->bytes + 100, 0xff, 300);
}

static void other_program(struct file *file)
{
    (void)memcpy(file->bytes + 68, "abcd", 4);
}

static void other_schema(struct file *file)
{
    file->bytes[63] = 99; /* user_version */
}

static const struct {
    const char *name;
    void (*damage)(struct file *);
    enum error_code code;
    const char *text;
} damages[] = {
    { "empty", damage_nothing_left, ERROR_DAMAGED, "truncated" },
    { "short header", damage_short_header, ERROR_DAMAGED, "truncated" },
    { "half", damage_half, ERROR_DAMAGED, "truncated" },
    { "last byte", damage_last_byte, ERROR_DAMAGED, "truncated" },
    { "zeroes", damage_zeroes, ERROR_DAMAGED, "is not a spool" },
    { "garbage", damage_garbage, ERROR_DAMAGED, "is not a spool" },
    { "middle", damage_middle, ERROR_DAMAGED, "damaged" },
    { "root page", damage_root_page, ERROR_DAMAGED, "damaged" },
    { "other program", other_program, ERROR_DAMAGED, "another program" },
    { "newer schema", other_schema, ERROR_CONFIG, "install that version" },
};

static void test_damaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(damages); i++) {
        struct fixture fixture;
        struct file file = make_spool(&fixture);
        damages[i].damage(&file);
        file_write(&fixture, "spool.db", file.bytes, file.len);
        const char *text = fixture_start_refused(&fixture);
        if (text == NULL || strstr(text, damages[i].text) == NULL ||
            strstr(text, "spool.db") == NULL)
            fail_msg("%s: %s", damages[i].name, text != NULL ? text : "started");
        assert_int_equal(fixture.error.code, damages[i].code);
        assert_unchanged(&fixture, "spool.db", file);
        free(file.bytes);
        fixture_done(&fixture);
    }
}

/* After an unclean end there is a log. A file refused then keeps its log as well. */
static void test_damaged_with_log(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    pid_t child = fork();
    if (child == 0) {
        fixture_start(&fixture);
        (void)accept_one(&fixture);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    struct file log = file_read(&fixture, "spool.db-wal");
    struct file file = file_read(&fixture, "spool.db");
    assert_true(log.len > 0);
    struct file damaged = { xcalloc(file.len, 1), file.len };
    (void)memcpy(damaged.bytes, file.bytes, file.len);
    other_schema(&damaged);
    file_write(&fixture, "spool.db", damaged.bytes, damaged.len);
    assert_non_null(fixture_start_refused(&fixture));
    assert_unchanged(&fixture, "spool.db", damaged);
    assert_unchanged(&fixture, "spool.db-wal", log);
    /* Only the header was wrong: the log is read through and nothing is lost. */
    file_write(&fixture, "spool.db", file.bytes, file.len);
    fixture_start(&fixture);
    struct spool_due *due = due_of(&fixture, "relay", TEST_NOW_S);
    assert_int_equal(due->message_count, 1);
    spool_due_free(due);
    free(log.bytes);
    free(file.bytes);
    free(damaged.bytes);
    fixture_done(&fixture);
}

static void test_missing(void **state)
{
    struct fixture fixture;
    struct file file = make_spool(&fixture);
    AUTO_FREE char *path = fixture_path(&fixture, "spool.db");

    (void)state;
    assert_int_equal(unlink(path), 0);
    const char *text = fixture_start_refused(&fixture);
    assert_non_null(text);
    assert_non_null(strstr(text, "missing"));
    assert_int_not_equal(access(path, F_OK), 0);
    free(file.bytes);
    fixture_done(&fixture);
}

/* An unfinished creation is no spool yet. */
static void test_unfinished(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    file_write(&fixture, "spool.db.new", "half", 4);
    fixture_start(&fixture);
    (void)accept_one(&fixture);
    fixture_done(&fixture);
}

static void test_permissions(void **state)
{
    struct fixture fixture;
    struct file file = make_spool(&fixture);
    AUTO_FREE char *path = fixture_path(&fixture, "spool.db");
    AUTO_FREE char *elsewhere = fixture_path(&fixture, "elsewhere");
    struct stat st;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777U, 0600);
    assert_int_equal(chmod(fixture.directory, 0750), 0);
    const char *text = fixture_start_refused(&fixture);
    assert_non_null(text);
    assert_non_null(strstr(text, "chmod 0700"));
    assert_int_equal(chmod(fixture.directory, 0700), 0);
    assert_int_equal(chmod(path, 0640), 0);
    assert_non_null(fixture_start_refused(&fixture));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    assert_non_null(fixture_start_refused(&fixture));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(link(elsewhere, path), 0);
    assert_non_null(fixture_start_refused(&fixture));
    assert_int_equal(unlink(elsewhere), 0);
    fixture_start(&fixture);
    free(file.bytes);
    fixture_done(&fixture);
}

static void test_second_opener(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_init(&fixture);
    fixture_start(&fixture);
    /* Another process: locks of the same one would not count. */
    pid_t child = fork();
    if (child == 0) {
        struct error err = { 0 };
        struct spool *second = spool_start(fixture.directory, &err);
        _exit(second == NULL && err.code == ERROR_BUSY && strstr(err.text, "in use") != NULL ? 0
                                                                                             : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    child = fork();
    if (child == 0) {
        AUTO_FREE char *path = fixture_path(&fixture, "spool.db");
        sqlite3 *reader = NULL;
        int rc = sqlite3_open_v2(path, &reader, SQLITE_OPEN_READONLY, NULL);
        if (rc == SQLITE_OK)
            rc = sqlite3_exec(reader, "SELECT count(*) FROM message", NULL, NULL, NULL);
        _exit(rc == SQLITE_BUSY ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    (void)accept_one(&fixture);
    fixture_done(&fixture);
}

/* A loss of power must not take away the directory with all that was accepted into it. */
static void test_new_directory(void **state)
{
    struct fixture fixture;
    struct error err = { 0 };

    (void)state;
    fixture_init(&fixture);
    AUTO_FREE char *path = fixture_path(&fixture, "made-by-us");
    synced_count = 0;
    struct spool *spool = spool_start(path, &err);
    assert_non_null(spool);
    assert_true(is_synced(path));
    assert_true(is_synced(fixture.directory));
    spool_stop(spool);
    AUTO_FREE char *file = fixture_path(&fixture, "made-by-us/spool.db");
    AUTO_FREE char *ballast = fixture_path(&fixture, "made-by-us/ballast");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(unlink(ballast), 0);
    assert_int_equal(rmdir(path), 0);
    fixture_done(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged),       cmocka_unit_test(test_damaged_with_log),
        cmocka_unit_test(test_missing),       cmocka_unit_test(test_unfinished),
        cmocka_unit_test(test_permissions),   cmocka_unit_test(test_second_opener),
        cmocka_unit_test(test_new_directory),
    };

    return cmocka_run_group_tests_name("spool open", tests, NULL, NULL);
}
