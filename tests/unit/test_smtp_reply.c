/* Replies as text: codes, lines, and where an enhanced code is believed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "verdict.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

static void test_good_replies(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *enhanced;
        const char *joined;
    } rows[] = {
        {"550 5.1.1 No such user",                   550, "5.1.1",   "No such user"            },
        { "250 OK",                                  250, "",        "OK"                      },
        { "250",                                     250, "",        ""                        },
        { "250 ",                                    250, "",        ""                        },
        { "550-5.1.1 No\\n550 5.1.1 such user",      550, "5.1.1",   "No\nsuch user"           },
        { "550-5.1.1 No\r\n550 5.1.1 such user\r\n", 550, "5.1.1",   "No\nsuch user"           },
        { "550-a\n550 b",                            550, "",        "a\nb"                    },
        { "550 5.1.1",                               550, "5.1.1",   ""                        },
        { "550 5.7.500  two spaces",                 550, "5.7.500", "two spaces"              },
        { "550 4.1.1 class differs",                 550, "",        "4.1.1 class differs"     },
        { "550 5.1.1.1 dotted quad",                 550, "",        "5.1.1.1 dotted quad"     },
        { "550 5.1.1000 too long",                   550, "",        "5.1.1000 too long"       },
        { "550 x 5.1.1 later",                       550, "",        "x 5.1.1 later"           },
        { "354 3.0.0 go on",                         354, "",        "3.0.0 go on"             },
        { "550 #5.1.1 hash",                         550, "",        "#5.1.1 hash"             },
        { "550  5.1.1 two spaces before",            550, "",        " 5.1.1 two spaces before"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct smtp_reply reply;
        AUTO_FREE char *text = NULL;
        struct error err;
        if (!smtp_reply_parse(rows[i].text, &reply, &text, &err))
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_int_equal(reply.code, rows[i].code);
        assert_string_equal(reply.enhanced, rows[i].enhanced);
        assert_string_equal(reply.text, rows[i].joined);
    }
}

static void test_bad_replies(void **state)
{
    static const char *const rows[] = {
        "",      "hello",         "55",        "550x",    "5501 x", "150 x",
        "650 x", "550-a\\n551 b", "550-a\\nb", "\n550 a", "-50 a",  "550_a",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct smtp_reply reply;
        char *text = NULL;
        struct error err = { .code = ERROR_NONE };
        if (smtp_reply_parse(rows[i], &reply, &text, &err))
            fail_msg("\"%s\" was read", rows[i]);
        assert_null(text);
        assert_int_equal(err.code, ERROR_USAGE);
    }
}

static void test_enhanced_says_how_much_it_took(void **state)
{
    char enhanced[12] = "";

    (void)state;
    assert_int_equal(smtp_reply_enhanced(250, "2.1.5 ok", enhanced), 6);
    assert_string_equal(enhanced, "2.1.5");
    assert_int_equal(smtp_reply_enhanced(550, "5.123.456", enhanced), 9);
    assert_string_equal(enhanced, "5.123.456");
    assert_int_equal(smtp_reply_enhanced(550, "5.", enhanced), 0);
    assert_int_equal(smtp_reply_enhanced(550, "5.1", enhanced), 0);
    assert_int_equal(smtp_reply_enhanced(550, "5.1.", enhanced), 0);
    assert_int_equal(smtp_reply_enhanced(550, "", enhanced), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_replies),
        cmocka_unit_test(test_bad_replies),
        cmocka_unit_test(test_enhanced_says_how_much_it_took),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
