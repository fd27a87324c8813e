/* Which file is read, which keys of it, and what holds when it is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Before cmocka.h, which has a macro fail. */
#include "error.h"

#include <cmocka.h>

#include "cleanup.h"
#include "locate.h"
#include "xalloc.h"

static const struct {
    const char *name;
    const char *text;
    const char *runtime_directory;
    const char *drop_directory; /* NULL: off */
    int64_t size_max;
} rows[] = {
    {"empty",                        "",                                                   "/run/outbox", "/var/spool/outbox", 50 << 20},
    { "all three",
     "runtime-directory = \"/r\"; drop-directory = \"/d\"; message-size-max = \"1M\";",    "/r",          "/d",
     1 << 20                                                                                                                           },
    { "a number",                    "message-size-max = 4096;",                           "/run/outbox", "/var/spool/outbox", 4096    },
    { "a large number",              "message-size-max = 5000000000L;",                    "/run/outbox", "/var/spool/outbox",
     5000000000                                                                                                                        },
    { "none",                        "drop-directory = \"none\";",                         "/run/outbox", NULL,                50 << 20},
    { "the rest may be nonsense",
     "nonsense = [1, 2]; runtime-directory = \"/r\"; workers = \"many\";",                 "/r",
     "/var/spool/outbox",                                                                                                      50 << 20},
    { "wrong types count as absent", "runtime-directory = 5; message-size-max = \"big\";",
     "/run/outbox",                                                                                       "/var/spool/outbox", 50 << 20},
};

struct fixture {
    char directory[64];
    char file[96];
};

static int set_up(void **state)
{
    struct fixture *fixture = NEW(struct fixture);

    (void)strcpy(fixture->directory, "/tmp/test_locate.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    (void)snprintf(fixture->file, sizeof fixture->file, "%s/conf", fixture->directory);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    (void)unlink(fixture->file);
    (void)rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static void write_file(const struct fixture *fixture, const char *text)
{
    FILE *file = fopen(fixture->file, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_rows(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct location location;
        struct error err;
        write_file(*state, rows[i].text);
        if (!location_read(((struct fixture *)*state)->file, false, &location, &err))
            fail_msg("%s: %s", rows[i].name, err.text);
        assert_string_equal(location.runtime_directory, rows[i].runtime_directory);
        if (rows[i].drop_directory == NULL)
            assert_null(location.drop_directory);
        else
            assert_string_equal(location.drop_directory, rows[i].drop_directory);
        assert_int_equal(location.message_size_max_bytes, rows[i].size_max);
        location_done(&location);
    }
}

static void test_broken_or_missing(void **state)
{
    const struct fixture *fixture = *state;
    struct location location;
    struct error err;

    write_file(fixture, "runtime-directory = \"/r\";\n}{");
    assert_false(location_read(fixture->file, false, &location, &err));
    assert_int_equal(err.code, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "conf:2:"));
    assert_true(location_read(fixture->file, true, &location, &err));
    assert_string_equal(location.runtime_directory, "/run/outbox");
    location_done(&location);
    assert_false(location_read("/nonexistent/conf", false, &location, &err));
    assert_int_equal(err.code, ERROR_CONFIG);
    assert_true(location_read("/nonexistent/conf", true, &location, &err));
    location_done(&location);
}

static void test_environment(void **state)
{
    const struct fixture *fixture = *state;
    struct location location;
    struct error err;

    write_file(fixture, "runtime-directory = \"/from-environment\";");
    assert_int_equal(setenv("OUTBOX_CONFIG", fixture->file, 1), 0);
    assert_true(location_find(NULL, &location, &err));
    assert_string_equal(location.runtime_directory, "/from-environment");
    location_done(&location);
    assert_false(location_find("/nonexistent/conf", &location, &err)); /* -c goes first */
    assert_int_equal(setenv("OUTBOX_CONFIG", "/nonexistent/conf", 1), 0);
    assert_false(location_find(NULL, &location, &err));
    assert_int_equal(setenv("OUTBOX_CONFIG", "", 1), 0); /* as if it were not set */
    assert_true(location_find(NULL, &location, &err));
    location_done(&location);
    assert_int_equal(unsetenv("OUTBOX_CONFIG"), 0);
}

static void test_connect(void **state)
{
    const struct fixture *fixture = *state;
    struct location location = { .runtime_directory = xstrdup(fixture->directory) };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct error err;

    assert_int_equal(location_connect(&location, "x.sock", &err), -1);
    assert_int_equal(err.code, ERROR_BUSY);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/x.sock", fixture->directory);
    AUTO_CLOSE int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    AUTO_CLOSE int fd = location_connect(&location, "x.sock", &err);
    assert_true(fd >= 0);
    (void)unlink(address.sun_path);
    location_done(&location);
    location.runtime_directory = xasprintf("/%0200d", 1);
    assert_int_equal(location_connect(&location, "x.sock", &err), -1);
    assert_int_equal(err.code, ERROR_CONFIG);
    location_done(&location);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_or_missing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_environment, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connect, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
