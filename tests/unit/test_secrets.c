/* Secrets: where they are looked for, and which files are refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "secrets.h"

static char directory[80];
static char config_path[100];

/* Returns one of a few static buffers. */
static const char *path_of(const char *name)
{
    static char paths[4][160];
    static unsigned next;
    char *path = paths[next++ % COUNT_OF(paths)];

    (void)snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static void write_bytes(const char *name, const char *bytes, size_t len, mode_t mode)
{
    int fd = open(path_of(name), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static int set_up(void **state)
{
    const char *tmp = getenv("TMPDIR");

    (void)state;
    (void)snprintf(directory, sizeof directory, "%.40s/secretsXXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(directory));
    (void)snprintf(config_path, sizeof config_path, "%s/outbox.conf", directory);
    assert_int_equal(mkdir(path_of("credentials"), 0700), 0);
    assert_int_equal(mkdir(path_of("systemd"), 0700), 0);
    return unsetenv("CREDENTIALS_DIRECTORY");
}

static int tear_down(void **state)
{
    static const char *const names[] = { "credentials/s", "systemd/s", "link", "credentials",
                                         "systemd" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        (void)remove(path_of(names[i]));
    return rmdir(directory);
}

struct content_case {
    const char *name;
    const char *bytes;
    mode_t mode;
    const char *secret;    /* NULL: refused */
    const char *complaint; /* part of it */
};

static const struct content_case content_cases[] = {
    {"plain",             "pass word",     0600, "pass word",     NULL                   },
    { "one line end cut", "pass\n",        0600, "pass",          NULL                   },
    { "of Windows",       "pass\r\n",      0600, "pass",          NULL                   },
    { "spaces stay",      " pass \n",      0600, " pass ",        NULL                   },
    { "any bytes",        "p\xE4ss%n\\\"", 0600, "p\xE4ss%n\\\"", NULL                   },
    { "group may read",   "pass",          0640, "pass",          NULL                   },
    { "as systemd does",  "pass",          0400, "pass",          NULL                   },
    { "only one cut",     "pass\n\n",      0600, NULL,            "more than one line"   },
    { "two lines",        "a\nb\n",        0600, NULL,            "more than one line"   },
    { "empty",            "",              0600, NULL,            "is empty"             },
    { "only a line end",  "\n",            0600, NULL,            "is empty"             },
    { "others may read",  "pass",          0604, NULL,            "mode 0604 lets others"},
    { "all may read",     "pass",          0644, NULL,            "chmod 0600"           },
    { "group may write",  "pass",          0660, NULL,            "mode 0660"            },
};

static void test_content(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(content_cases); i++) {
        const struct content_case *row = &content_cases[i];
        struct error err = { 0 };
        write_bytes("credentials/s", row->bytes, strlen(row->bytes), row->mode);
        char *secret = secret_from_file(config_path, "s", geteuid(), &err);
        if (row->secret == NULL) {
            if (secret != NULL || strstr(err.text, row->complaint) == NULL)
                fail_msg("%s: %s", row->name, err.text);
            assert_int_equal(err.code, ERROR_CONFIG);
        } else if (secret == NULL || strcmp(secret, row->secret) != 0) {
            fail_msg("%s: %s", row->name, err.text);
        }
        secret_free(secret);
        assert_int_equal(unlink(path_of("credentials/s")), 0);
    }
}

static void test_size(void **state)
{
    static char bytes[SECRET_MAX + 2];
    struct error err = { 0 };

    (void)state;
    memset(bytes, 'x', sizeof bytes);
    write_bytes("credentials/s", bytes, SECRET_MAX, 0600);
    char *secret = secret_from_file(config_path, "s", geteuid(), &err);
    assert_non_null(secret);
    assert_int_equal(strlen(secret), SECRET_MAX);
    secret_free(secret);
    write_bytes("credentials/s", bytes, SECRET_MAX + 1, 0600);
    assert_null(secret_from_file(config_path, "s", geteuid(), &err));
    assert_non_null(strstr(err.text, "longer than"));
    /* A NUL would end the password early. */
    write_bytes("credentials/s", "a\0b", 3, 0600);
    assert_null(secret_from_file(config_path, "s", geteuid(), &err));
}

static char *read_named(const char *name)
{
    struct error err = { 0 };

    return secret_from_file(config_path, name, geteuid(), &err);
}

static void assert_secret(const char *name, const char *expected)
{
    char *secret = read_named(name);

    assert_non_null(secret);
    assert_string_equal(secret, expected);
    secret_free(secret);
}

static void test_places(void **state)
{
    (void)state;
    write_bytes("credentials/s", "beside", 6, 0600);
    assert_secret("s", "beside");
    assert_secret(path_of("credentials/s"), "beside");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", path_of("systemd"), 1), 0);
    assert_secret("s", "beside"); /* systemd has none of that name */
    write_bytes("systemd/s", "systemd", 7, 0400);
    assert_secret("s", "systemd");
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void test_odd_files(void **state)
{
    static const char *const names[] = { "../credentials/s", "credentials/s", ".hidden", "",
                                         "a b" };

    (void)state;
    write_bytes("credentials/s", "secret", 6, 0600);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        assert_null(read_named(names[i]));
    assert_int_equal(symlink(path_of("credentials/s"), path_of("link")), 0);
    assert_null(read_named(path_of("link")));
    assert_null(read_named(directory));
    assert_int_equal(unlink(path_of("link")), 0);
    assert_int_equal(mkfifo(path_of("link"), 0600), 0); /* nobody writes: it must not wait */
    assert_null(read_named(path_of("link")));
}

static void test_owner(void **state)
{
    struct error err = { 0 };
    static const uid_t stranger = 54321;

    (void)state;
    if (geteuid() != 0)
        skip(); /* only root can give files away */
    write_bytes("credentials/s", "secret", 6, 0600);
    assert_int_equal(chown(path_of("credentials/s"), stranger, 0), 0);
    assert_null(secret_from_file(config_path, "s", geteuid(), &err));
    assert_non_null(strstr(err.text, "uid 54321"));
    char *secret = secret_from_file(config_path, "s", stranger, &err);
    assert_non_null(secret);
    secret_free(secret);
}

static void test_environment(void **state)
{
    struct error err = { 0 };

    (void)state;
    assert_int_equal(setenv("TEST_SECRET", "from there", 1), 0);
    char *secret = secret_from_environment("TEST_SECRET", &err);
    assert_string_equal(secret, "from there");
    secret_free(secret);
    assert_int_equal(setenv("TEST_SECRET", "", 1), 0);
    assert_null(secret_from_environment("TEST_SECRET", &err));
    assert_int_equal(unsetenv("TEST_SECRET"), 0);
    assert_null(secret_from_environment("TEST_SECRET", &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_odd_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_owner, set_up, tear_down),
        cmocka_unit_test(test_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
