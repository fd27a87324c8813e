/* Marks: what one process writes, the next one reads; nothing else. */
#include "error.h" /* before cmocka, which makes fail() a macro */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "inflight.h"
#include "xalloc.h"

struct place {
    char directory[64];
    char file[80];
};

static int set_up(void **state)
{
    struct place *place = NEW(struct place);
    const char *parent = getenv("TMPDIR");

    (void)snprintf(place->directory, sizeof place->directory, "%s/inflight-XXXXXX",
                   parent != NULL && strlen(parent) < 40 ? parent : "/tmp");
    assert_non_null(mkdtemp(place->directory));
    (void)snprintf(place->file, sizeof place->file, "%s/inflight", place->directory);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    (void)unlink(place->file);
    assert_int_equal(rmdir(place->directory), 0);
    free(place);
    return 0;
}

static struct inflight *open_marks(const struct place *place, unsigned marks_max)
{
    struct error err;
    struct inflight *inflight = inflight_open(place->directory, marks_max, &err);

    assert_non_null(inflight);
    return inflight;
}

static const struct inflight_mark taken = {
    .phase = INFLIGHT_TAKEN, .key = 42, .smarthost = "relay", .number_count = 2, .numbers = {1, 7}
};
static const struct inflight_mark at_dot = {
    .phase = INFLIGHT_AT_DOT, .key = INT64_MAX, .smarthost = "ses", .number_count = 0
};

static void test_next_process_finds_them(void **state)
{
    struct inflight *inflight = open_marks(*state, 8);
    struct inflight_mark found;
    unsigned number = 0;

    inflight_set(inflight, 1, &taken);
    inflight_set(inflight, 6, &at_dot);
    inflight_set(inflight, 7, &taken);
    inflight_clear(inflight, 7);
    inflight_close(inflight);

    inflight = open_marks(*state, 8);
    assert_true(inflight_next(inflight, &number, &found));
    assert_int_equal(number - 1, 1);
    assert_int_equal(found.phase, INFLIGHT_TAKEN);
    assert_int_equal(found.key, 42);
    assert_string_equal(found.smarthost, "relay");
    assert_int_equal(found.number_count, 2);
    assert_int_equal(found.numbers[1], 7);
    assert_true(inflight_next(inflight, &number, &found));
    assert_int_equal(number - 1, 6);
    assert_int_equal(found.phase, INFLIGHT_AT_DOT);
    assert_int_equal(found.key, INT64_MAX);
    assert_false(inflight_next(inflight, &number, &found));
    inflight_close(inflight);
}

static void test_the_last_one_counts(void **state)
{
    struct inflight *inflight = open_marks(*state, 2);
    struct inflight_mark full = { .phase = INFLIGHT_AT_DOT,
                                  .key = 3,
                                  .number_count = INFLIGHT_NUMBERS_MAX };
    struct inflight_mark found;
    unsigned number = 0;

    for (uint16_t i = 0; i < INFLIGHT_NUMBERS_MAX; i++)
        full.numbers[i] = (uint16_t)(i * 300);
    inflight_set(inflight, 0, &taken);
    inflight_set(inflight, 0, &full);
    assert_true(inflight_next(inflight, &number, &found));
    assert_int_equal(found.number_count, INFLIGHT_NUMBERS_MAX);
    assert_memory_equal(found.numbers, full.numbers, sizeof full.numbers);
    assert_false(inflight_next(inflight, &number, &found));
    inflight_close(inflight);
}

static void test_fewer_marks_than_before(void **state)
{
    struct inflight *inflight = open_marks(*state, 100);
    struct inflight_mark found;
    unsigned number = 0;

    inflight_set(inflight, 99, &at_dot);
    inflight_close(inflight);
    inflight = open_marks(*state, 4);
    assert_true(inflight_next(inflight, &number, &found));
    assert_int_equal(number - 1, 99);
    inflight_clear(inflight, 99);
    number = 0;
    assert_false(inflight_next(inflight, &number, &found));
    inflight_close(inflight);
}

/* Whichever byte of the record is not what was written, the mark is passed over. */
static void test_torn_or_foreign(void **state)
{
    const struct place *place = *state;
    struct inflight *inflight = open_marks(place, 1);
    struct inflight_mark found;
    struct stat status;

    inflight_set(inflight, 0, &taken);
    int fd = open(place->file, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    for (off_t at = 0; at < status.st_size; at++) {
        unsigned char byte = 0;
        unsigned number = 0;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 0x55;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        assert_false(inflight_next(inflight, &number, &found));
        byte ^= 0x55;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    unsigned number = 0;
    assert_true(inflight_next(inflight, &number, &found));
    assert_int_equal(ftruncate(fd, status.st_size - 1), 0);
    number = 0;
    assert_false(inflight_next(inflight, &number, &found));
    (void)close(fd);
    inflight_close(inflight);
}

static void test_no_directory(void **state)
{
    struct error err;

    (void)state;
    assert_null(inflight_open("/nonexistent/state", 1, &err));
    assert_non_null(strstr(err.text, "/nonexistent/state/inflight"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_next_process_finds_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_last_one_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fewer_marks_than_before, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torn_or_foreign, set_up, tear_down),
        cmocka_unit_test(test_no_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
