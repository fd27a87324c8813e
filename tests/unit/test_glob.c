/* Patterns with '*', and names that were nearly right. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "glob.h"
#include "suggest.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } rows[] = {
        {"",           "",          true },
        { "",          "a",         false},
        { "*",         "",          true },
        { "*",         "anything",  true },
        { "a",         "A",         true },
        { "A*Z",       "abcz",      true },
        { "*@b",       "a@b",       true },
        { "*@b",       "a@bc",      false},
        { "*@*.b",     "a@x.y.b",   true },
        { "a*b*c",     "aXbYc",     true },
        { "a*b*c",     "aXcYb",     false},
        { "**",        "",          true },
        { "*a*",       "bab",       true },
        { "a**b",      "ab",        true },
        { "ab*",       "a",         false},
        { "*ab",       "aab",       true },
        { "*aab",      "aaab",      true },
        { "?",         "a",         false},
        { "[a]",       "[A]",       true },
        { "a*",        "ba",        false},
        { "\xC3\xBC*", "\xC3\xBCx", true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (glob_matches(rows[i].pattern, rows[i].text) != rows[i].matches)
            fail_msg("\"%s\" and \"%s\"", rows[i].pattern, rows[i].text);
}

/* Exponential matchers never come back from this. */
static void test_many_stars(void **state)
{
    char text[2001];

    (void)state;
    (void)memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_false(glob_matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
    assert_true(glob_matches("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*", text));
}

static void test_suggestions(void **state)
{
    static const char *const names[] = { "hostname", "message-lifetime",
                                         "workers",  "state-directory",
                                         "retry",    "id" };
    static const struct {
        const char *word;
        const char *name; /* NULL: nothing is near */
    } rows[] = {
        {"hostnme",               "hostname"        },
        { "hostanme",             "hostname"        },
        { "HostName",             "hostname"        },
        { "message_lifetime",     "message-lifetime"},
        { "messagelifetime",      "message-lifetime"},
        { "worker",               "workers"         },
        { "state-dir",            NULL              },
        { "rety",                 "retry"           },
        { "xyz",                  NULL              },
        { "",                     NULL              },
        { "ids",                  "id"              },
        { "completely-different", NULL              },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *name = suggest_nearest(rows[i].word, names, COUNT_OF(names));
        if (rows[i].name == NULL && name != NULL)
            fail_msg("\"%s\" gives %s", rows[i].word, name);
        if (rows[i].name != NULL && (name == NULL || strcmp(name, rows[i].name) != 0))
            fail_msg("\"%s\" gives %s", rows[i].word, name != NULL ? name : "nothing");
    }
    char longer[1000];
    (void)memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_null(suggest_nearest(longer, names, COUNT_OF(names)));
    assert_null(suggest_nearest("hostname", names, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_many_stars),
        cmocka_unit_test(test_suggestions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
