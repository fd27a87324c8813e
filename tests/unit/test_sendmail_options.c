/* The command lines that programs really use (cron, mutt, git, PHP, Mercurial ...), and those that attackers would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Before cmocka.h, which has a macro fail. */
#include "error.h"

#include <cmocka.h>

#include "cleanup.h"
#include "sendmail_options.h"

enum { ARGS_MAX = 12 };

static unsigned warnings;

static void on_warning(const char *text)
{
    (void)text;
    warnings++;
}

static const struct {
    const char *name;
    const char *argv[ARGS_MAX];
    enum sendmail_mode mode;
    bool reads_recipients;
    bool ignores_dots;
    const char *sender;
    const char *full_name;
    int recipient_count;
    unsigned warnings;
} rows[] = {
    {"cron",
     { "sendmail", "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root" },
     SENDMAIL_SUBMIT,                                                                                         false,
     true,                                                                                                                  NULL,
     "CronDaemon",                                                                                                                                  1,
     0                                                                                                                                                  },
    { "anacron",
     { "sendmail", "-FAnacron", "-odi", "root" },
     SENDMAIL_SUBMIT,                                                                                         false,
     false,                                                                                                                 NULL,
     "Anacron",                                                                                                                                     1,
     0                                                                                                                                                  },
    { "git",
     { "sendmail", "-f", "a@b", "-i", "c@d", "e@f" },
     SENDMAIL_SUBMIT,                                                                                         false,
     true,                                                                                                                  "a@b",
     NULL,                                                                                                                                          2,
     0                                                                                                                                                  },
    { "mutt",
     { "sendmail", "-oem", "-oi", "-f", "a@b", "-N", "never", "-R", "hdrs", "--", "-x@d" },
     SENDMAIL_SUBMIT,                                                                                         false,
     true,                                                                                                                  "a@b",
     NULL,                                                                                                                                          1,
     0                                                                                                                                                  },
    { "s-nail",
     { "sendmail", "-i", "-m", "-v", "-r", "a@b", "--", "c@d" },
     SENDMAIL_SUBMIT,                                                                                         false,
     true,                                                                                                                  "a@b",
     NULL,                                                                                                                                          1,
     0                                                                                                                                                  },
    { "PHP",                          { "sendmail", "-t", "-i", "-fa@b" },                  SENDMAIL_SUBMIT,  true,  true,  "a@b",            NULL, 0, 0},
    { "letters together",             { "sendmail", "-ti" },                                SENDMAIL_SUBMIT,  true,  true,  NULL,             NULL, 0, 0},
    { "letters, then an argument",
     { "sendmail", "-tifa@b" },
     SENDMAIL_SUBMIT,                                                                                         true,
     true,                                                                                                                  "a@b",
     NULL,                                                                                                                                          0,
     0                                                                                                                                                  },
    { "unattended-upgrades",
     { "sendmail", "-oi", "-t" },
     SENDMAIL_SUBMIT,                                                                                         true,
     true,                                                                                                                  NULL,
     NULL,                                                                                                                                          0,
     0                                                                                                                                                  },
    { "Symfony",                      { "/usr/sbin/sendmail", "-bs" },                      SENDMAIL_SMTP,    false, false, NULL,             NULL, 0, 0},
    { "mailq",                        { "/usr/bin/mailq" },                                 SENDMAIL_LIST,    false, false, NULL,             NULL, 0, 0},
    { "-bp",                          { "sendmail", "-bp" },                                SENDMAIL_LIST,    false, false, NULL,             NULL, 0, 0},
    { "newaliases",                   { "newaliases" },                                     SENDMAIL_ALIASES, false, false, NULL,             NULL, 0, 0},
    { "-bv",                          { "sendmail", "-bv", "root" },                        SENDMAIL_VERIFY,  false, false, NULL,             NULL, 1, 0},
    { "-q",                           { "sendmail", "-q" },                                 SENDMAIL_RETRY,   false, false, NULL,             NULL, 0, 0},
    { "null sender",
     { "sendmail", "-f", "", "a@b" },
     SENDMAIL_SUBMIT,                                                                                         false,
     false,                                                                                                                 "",
     NULL,                                                                                                                                          1,
     0                                                                                                                                                  },
    { "arguments that are swallowed",
     { "sendmail", "-C", "/etc/x", "-X/var/tmp/log", "-O", "QueueDirectory=/tmp", "-oQ/tmp", "-D",
        "/x", "a@b" },
     SENDMAIL_SUBMIT,                                                                                         false,
     false,                                                                                                                 NULL,
     NULL,                                                                                                                                          1,
     0                                                                                                                                                  },
    { "-oQ separate",
     { "sendmail", "-oQ", "/var/tmp", "a@b" },
     SENDMAIL_SUBMIT,                                                                                         false,
     false,                                                                                                                 NULL,
     NULL,                                                                                                                                          1,
     0                                                                                                                                                  },
    { "more that are swallowed",
     { "sendmail", "-h", "3", "-Ltag", "-p", "UUCP:x", "-V", "id", "-U", "-G", "a@b" },
     SENDMAIL_SUBMIT,                                                                                         false,
     false,                                                                                                                 NULL,
     NULL,                                                                                                                                          1,
     0                                                                                                                                                  },
    { "unknown letters",
     { "sendmail", "-yz", "a@b" },
     SENDMAIL_SUBMIT,                                                                                         false,
     false,                                                                                                                 NULL,
     NULL,                                                                                                                                          1,
     2                                                                                                                                                  },
    { "behind --",
     { "sendmail", "--", "-C/x", "-t" },
     SENDMAIL_SUBMIT,                                                                                         false,
     false,                                                                                                                 NULL,
     NULL,                                                                                                                                          2,
     0                                                                                                                                                  },
    { "injected into -f",
     { "sendmail", "-t", "-fa -X/var/tmp/x" },
     SENDMAIL_SUBMIT,                                                                                         true,
     false,                                                                                                                 "a -X/var/tmp/x",
     NULL,                                                                                                                                          0,
     0                                                                                                                                                  },
};

static bool same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool parse(const char *const *words, struct sendmail_options *options, struct error *err)
{
    static char *argv[ARGS_MAX + 1];
    static char storage[ARGS_MAX][64];
    int argc = 0;

    for (; argc < ARGS_MAX && words[argc] != NULL; argc++) {
        (void)strncpy(storage[argc], words[argc], sizeof storage[argc] - 1);
        argv[argc] = storage[argc];
    }
    argv[argc] = NULL;
    warnings = 0;
    return sendmail_options_parse(argc, argv, on_warning, options, err);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sendmail_options options;
        struct error err;
        if (!parse(rows[i].argv, &options, &err))
            fail_msg("%s: %s", rows[i].name, err.text);
        bool is_same =
            options.mode == rows[i].mode && options.reads_recipients == rows[i].reads_recipients &&
            options.ignores_dots == rows[i].ignores_dots && same(options.sender, rows[i].sender) &&
            same(options.full_name, rows[i].full_name) &&
            options.recipient_count == rows[i].recipient_count && warnings == rows[i].warnings;
        if (!is_same)
            fail_msg("%s: mode %d -t %d -i %d -f %s -F %s, %d recipients, %u warnings",
                     rows[i].name, (int)options.mode, (int)options.reads_recipients,
                     (int)options.ignores_dots, options.sender, options.full_name,
                     options.recipient_count, warnings);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *name;
        const char *argv[ARGS_MAX];
    } refused[] = {
        {"the daemon",                { "sendmail", "-bd", "-q30m" }             },
        { "address test mode",        { "sendmail", "-bt" }                      },
        { "expansion of Exim",        { "sendmail", "-be", "${run{/bin/sh}}" }   },
        { "queue by recipient",       { "sendmail", "-qRexample" }               },
        { "long option",              { "sendmail", "--help" }                   },
        { "no argument left",         { "sendmail", "-t", "-f" }                 },
        { "option behind an address", { "sendmail", "a@b", "-C/var/tmp/evil.cf" }},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct sendmail_options options;
        struct error err;
        if (parse(refused[i].argv, &options, &err))
            fail_msg("%s: accepted", refused[i].name);
        assert_int_equal(err.code, ERROR_USAGE);
    }
}

static void test_empty_argv(void **state)
{
    char *argv[] = { NULL };
    struct sendmail_options options;
    struct error err;

    (void)state;
    assert_true(sendmail_options_parse(0, argv, on_warning, &options, &err));
    assert_int_equal(options.recipient_count, 0);
    assert_int_equal(options.mode, SENDMAIL_SUBMIT);
}

/* The list that the manual is compared with is the table's. */
static void test_letters(void **state)
{
    (void)state;
    for (char letter = '!'; letter <= '~'; letter++) {
        char word[] = { '-', letter, '\0' };
        const char *const words[ARGS_MAX] = { "sendmail", word, "x" };
        struct sendmail_options options;
        struct error err;
        if (letter == '-')
            continue;
        bool is_parsed = parse(words, &options, &err);
        bool is_known = !is_parsed || warnings == 0;
        assert_true(is_known == (strchr(sendmail_option_letters, letter) != NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_empty_argv),
        cmocka_unit_test(test_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
