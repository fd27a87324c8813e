/* Address lists as mail programs and people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "address_list.h"
#include "cleanup.h"
#include "strbuf.h"

/* What was found, joined by '|'; what is no address stands in braces. */
static void collect(const char *text, bool is_address, void *ctx)
{
    struct strbuf *found = ctx;

    if (found->len > 0)
        strbuf_append_char(found, '|');
    strbuf_append_format(found, is_address ? "%s" : "{%s}", text);
}

static const struct {
    const char *name;
    const char *text;
    const char *found;
} rows[] = {
    {"nothing",                   "",                                ""                    },
    { "spaces and commas",        " , ,\r\n ,",                      ""                    },
    { "bare",                     "a@b.example",                     "a@b.example"         },
    { "unqualified",              "root",                            "root"                },
    { "two",                      "a@b, c@d",                        "a@b|c@d"             },
    { "semicolon as separator",   "a@b; c@d",                        "a@b|c@d"             },
    { "display name",             "Ann B. Cee <a@b>",                "a@b"                 },
    { "quoted display name",      "\"Cee, Ann\" <a@b>, x@y",         "a@b|x@y"             },
    { "quoted bracket",           "\"<evil@x>\" <a@b>",              "a@b"                 },
    { "escaped quote",            "\"a\\\"<e@x>,\" <a@b>",           "a@b"                 },
    { "encoded word",             "=?utf-8?q?Ann=2C?= <a@b>",        "a@b"                 },
    { "comment",                  "a@b (Ann, of (all) people), c@d", "a@b|c@d"             },
    { "comment with escape",      "a@b (\\), x@y), c@d",             "a@b|c@d"             },
    { "comment inside",           "a(one)@(two)b",                   "a@b"                 },
    { "comment never closed",     "a@b, (c@d, e@f",                  "a@b"                 },
    { "group",                    "people: a@b, Ann <c@d>; e@f",     "a@b|c@d|e@f"         },
    { "empty group",              "undisclosed-recipients:;",        ""                    },
    { "group with quoted name",   "\"A, B: C\": a@b;",               "a@b"                 },
    { "folded",                   "a@b,\r\n\tc@d",                   "a@b|c@d"             },
    { "white space around dots",  "a . b @ c . d",                   "a.b@c.d"             },
    { "source route",             "<@x,@y:a@b>",                     "a@b"                 },
    { "quoted local part",        "\"a b,c\"@d",                     "\"a b,c\"@d"         },
    { "domain literal",           "a@[192.0.2.1]",                   "a@[192.0.2.1]"       },
    { "IPv6 literal",             "<a@[IPv6:2001:db8::1]>",          "a@[IPv6:2001:db8::1]"},
    { "null address",             "<>",                              ""                    },
    { "UTF-8",                    "Jos\xc3\xa9 <jos\xc3\xa9@b>",     "jos\xc3\xa9@b"       },
    { "name without address",     "John Doe",                        "{John Doe}"          },
    { "comma forgotten",          "a@b c@d",                         "{a@b c@d}"           },
    { "comma forgotten, angles",  "<a@b> <c@d>",                     "{a@b c@d}"            },
    { "angle not closed",         "<a@b",                            "{a@b}"               },
    { "comma within angles",      "<a@b,c@d>",                       "{a@b,c@d}"           },
    { "quote not closed",         "\"a@b, c@d",                      "{\"a@b, c@d}"        },
    { "stray closing bracket",    "a@b>",                            "{a@b}"               },
    { "bad one beside good ones", "a@b, x y, c@d",                   "a@b|{x y}|c@d"       },
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_STRBUF struct strbuf found;
        strbuf_init(&found);
        address_list_parse(rows[i].text, strlen(rows[i].text), collect, &found);
        if (strcmp(found.data, rows[i].found) != 0)
            fail_msg("%s: found %s, not %s", rows[i].name, found.data, rows[i].found);
    }
}

struct tally {
    size_t good;
    size_t bad;
};

static void count(const char *text, bool is_address, void *ctx)
{
    struct tally *tally = ctx;

    assert_true(strlen(text) <= 512);
    tally->good += is_address ? 1 : 0;
    tally->bad += is_address ? 0 : 1;
}

/* Depth and length cost nothing but time in proportion. */
static void test_hostile_sizes(void **state)
{
    enum { BYTES = 1024 * 1024 };
    static const char fills[] = "(\"[<,:a@\\";
    AUTO_FREE char *text = malloc(BYTES);

    (void)state;
    for (size_t i = 0; i < strlen(fills); i++) {
        struct tally tally = { 0, 0 };
        memset(text, fills[i], BYTES);
        address_list_parse(text, BYTES, count, &tally);
        assert_true(tally.good == 0);
        assert_true(tally.bad <= 1);
    }
}

static void test_nul_is_not_an_end(void **state)
{
    struct tally tally = { 0, 0 };

    (void)state;
    address_list_parse("a@b\0.example", 12, count, &tally);
    assert_int_equal(tally.good, 0);
    assert_int_equal(tally.bad, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_hostile_sizes),
        cmocka_unit_test(test_nul_is_not_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
