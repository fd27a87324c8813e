/* Addresses: what is read, what is refused and why, where a path ends. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "cleanup.h"
#include "error.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

#define LOCAL_64 "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
#define LABEL_63 "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddd"

static void test_good_addresses(void **state)
{
    static const struct {
        const char *text;
        enum address_kind kind;
        const char *address;
        const char *domain;
        bool needs_smtputf8;
    } rows[] = {
        {"<>",                         ADDRESS_NULL,        "",                          "",                   false},
        { "a@b",                       ADDRESS_FULL,        "a@b",                       "b",                  false},
        { "<a@b>",                     ADDRESS_FULL,        "a@b",                       "b",                  false},
        { "root",                      ADDRESS_UNQUALIFIED, "root",                      "",                   false},
        { "<root>",                    ADDRESS_UNQUALIFIED, "root",                      "",                   false},
        { "a.b+c=d@x-y.example",       ADDRESS_FULL,        "a.b+c=d@x-y.example",       "x-y.example",        false},
        { "!#$%&'*+-/=?^_`{|}~@b",     ADDRESS_FULL,        "!#$%&'*+-/=?^_`{|}~@b",     "b",                  false},
        { "\"a b\"@c",                 ADDRESS_FULL,        "\"a b\"@c",                 "c",                  false},
        { "\"a@b\"@c",                 ADDRESS_FULL,        "\"a@b\"@c",                 "c",                  false},
        { "\"a\\\"b\\\\\"@c",          ADDRESS_FULL,        "\"a\\\"b\\\\\"@c",          "c",                  false},
        { "<\"a>b\"@c>",               ADDRESS_FULL,        "\"a>b\"@c",                 "c",                  false},
        { "\"\"@c",                    ADDRESS_FULL,        "\"\"@c",                    "c",                  false},
        { "a@[192.0.2.1]",             ADDRESS_FULL,        "a@[192.0.2.1]",             "[192.0.2.1]",        false},
        { "a@[IPv6:2001:db8::1]",      ADDRESS_FULL,        "a@[IPv6:2001:db8::1]",      "[IPv6:2001:db8::1]",
         false                                                                                                      },
        { "root@web_1",                ADDRESS_FULL,        "root@web_1",                "web_1",              false},
        { "j\xC3\xBCrgen@example.com", ADDRESS_FULL,        "j\xC3\xBCrgen@example.com", "example.com",
         true                                                                                                       },
        { "a@b\xC3\xBC"
          "cher.example",     ADDRESS_FULL,
         "a@b\xC3\xBC"
          "cher.example",                                                                "b\xC3\xBC"
          "cher.example",                                                             true },
        { LOCAL_64 "@b",               ADDRESS_FULL,        LOCAL_64 "@b",               "b",                  false},
        { "a@" LABEL_63 ".example",    ADDRESS_FULL,        "a@" LABEL_63 ".example",    LABEL_63 ".example",
         false                                                                                                      },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct address address;
        struct error err;
        if (!address_parse(rows[i].text, &address, &err))
            fail_msg("%s: %s", rows[i].text, err.text);
        assert_int_equal(address.kind, rows[i].kind);
        assert_string_equal(address.text, rows[i].address);
        assert_string_equal(address_domain(&address), rows[i].domain);
        assert_string_equal(address_text_domain(address.text), rows[i].domain);
        assert_int_equal(address.needs_smtputf8, rows[i].needs_smtputf8);
        assert_int_equal(address.text[address.local_len],
                         rows[i].kind == ADDRESS_FULL ? '@' : '\0');
    }
}

/* Each is refused, and the words name what is wrong. */
static void test_bad_addresses(void **state)
{
    static const struct {
        const char *text;
        size_t len; /* 0: up to the NUL */
        const char *word;
    } rows[] = {
        {"",                                                                 0, "missing"                              },
        { " a@b",                                                            0, "missing"                              },
        { "<a@b",                                                            0, "no '>'"                               },
        { "<",                                                               0, "ends in the middle"                   },
        { "a@b>",                                                            0, "'>' does not belong"                  },
        { "<a@b> ",                                                          0, "more text"                            },
        { "a@b c",                                                           0, "more text"                            },
        { "<@x,@y:a@b>",                                                     0, "source routes"                        },
        { "@b",                                                              0, "source routes"                        },
        { "a@",                                                              0, "ends in the middle of the domain"     },
        { "<a@>",                                                            0, "'>' does not belong in the domain"    },
        { "a@b@c",                                                           0, "'@' does not belong"                  },
        { ".a@b",                                                            0, "a dot"                                },
        { "a..b@c",                                                          0, "a dot"                                },
        { "a.@c",                                                            0, "'@' does not belong in the local part"},
        { "a@b..c",                                                          0, "empty label"                          },
        { "a@.b",                                                            0, "empty label"                          },
        { "a@b.",                                                            0, "ends with a dot"                      },
        { "<a@b.>",                                                          0, "ends with a dot"                      },
        { "a@-b",                                                            0, "hyphen"                               },
        { "a@b-.c",                                                          0, "hyphen"                               },
        { "a@b/c",                                                           0, "'/' does not belong"                  },
        { "\"a@b",                                                           0, "ends in the middle"                   },
        { "\"a\\",                                                           0, "ends in the middle"                   },
        { "\"a\"b@c",                                                        0, "'b' does not belong"                  },
        { "a b@c",                                                           0, "more text"                            },
        { "<a b@c>",                                                         0, "' ' does not belong"                  },
        { "(a)b@c",                                                          0, "'(' does not belong"                  },
        { "a@[1.2.3]",                                                       0, "no IP address"                        },
        { "a@[256.2.3.4]",                                                   0, "no IP address"                        },
        { "a@[IPv6:zz]",                                                     0, "no IP address"                        },
        { "a@[IPv6:1:2:3]",                                                  0, "no IP address"                        },
        { "a@[1.2.3.4",                                                      0, "ends in the middle"                   },
        { "a@[1.2.3.4]x",                                                    0, "'x' does not belong"                  },
        { "a@[11111111111111111111111111111111111111111111111111111111111]", 0, "too long"                             },
        { "a\r\nRCPT TO:<x@y>",                                              0, "control byte 0x0D"                    },
        { "a\n@b",                                                           0, "control byte 0x0A"                    },
        { "a\t@b",                                                           0, "control byte 0x09"                    },
        { "\"a\r\"@b",                                                       0, "control byte 0x0D"                    },
        { "\"a\\\n\"@b",                                                     0, "control byte 0x0A"                    },
        { "a@b\x7F",                                                         0, "control byte 0x7F"                    },
        { "<a\0b@c>",                                                        7, "control byte 0x00"                    },
        { "<\"a\0\"@c>",                                                     8, "control byte 0x00"                    },
        { "<a@c\0>",                                                         6, "control byte 0x00"                    },
        { "a\xC2\x85@b",                                                     0, "control character"                    },
        { "a@b\xE2\x80\xA8",                                                 0, "control character"                    },
        { "\"a\xE2\x80\xA9\"@b",                                             0, "control character"                    },
        { "a\xFF@b",                                                         0, "UTF-8"                                },
        { "a\xC3@b",                                                         0, "UTF-8"                                },
        { "a\xC0\x80@b",                                                     0, "UTF-8"                                },
        { "a\xED\xA0\x80@b",                                                 0, "UTF-8"                                },
        { LOCAL_64 "x@b",                                                    0, "longer than 64"                       },
        { "a@" LABEL_63 "x.b",                                               0, "longer than 63"                       },
        { "a@" LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63,              0, "longer than 254"                      },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct address address;
        struct error err;
        size_t end = 0;
        bool is_read = rows[i].len > 0
                           ? address_parse_path(rows[i].text, rows[i].len, &address, &end, &err)
                           : address_parse(rows[i].text, &address, &err);
        if (is_read)
            fail_msg("\"%s\" (row %zu) was read", rows[i].text, i);
        if (strstr(err.text, rows[i].word) == NULL)
            fail_msg("\"%s\" (row %zu): %s", rows[i].text, i, err.text);
    }
}

static void test_a_path_ends_where_it_ends(void **state)
{
    static const struct {
        const char *text;
        size_t end;
    } rows[] = {
        {"<a@b> SIZE=1",      5},
        { "<a@b>SIZE=1",      5},
        { "a@b SIZE=1",       3},
        { "<> BODY=8BITMIME", 2},
        { "<\"> \"@b> X",     8},
        { "<a@b>",            5},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct address address;
        struct error err;
        size_t end = 0;
        assert_true(address_parse_path(rows[i].text, strlen(rows[i].text), &address, &end, &err));
        assert_int_equal(end, rows[i].end);
    }
}

/* Bytes behind len are not looked at: the sanitizer watches a buffer of exactly that size. */
static void test_every_cut_is_read_within_bounds(void **state)
{
    static const char text[] = "<\"a\\b\".x@[IPv6:2001:db8::1]>";

    (void)state;
    for (size_t len = 0; len < sizeof text - 1; len++) {
        AUTO_FREE char *copy = malloc(len + (len == 0));
        struct address address;
        struct error err;
        size_t end = 0;
        assert_non_null(copy);
        (void)memcpy(copy, text, len);
        assert_false(address_parse_path(copy, len, &address, &end, &err));
    }
}

static void test_long_input_is_refused_quickly(void **state)
{
    enum { LEN = 4 << 20 };
    AUTO_FREE char *text = malloc(LEN + 1);
    struct address address;
    struct error err;

    (void)state;
    assert_non_null(text);
    (void)memset(text, 'a', LEN);
    text[LEN] = '\0';
    assert_false(address_parse(text, &address, &err));
    text[0] = '"';
    assert_false(address_parse(text, &address, &err));
    (void)memcpy(text, "a@", 2);
    assert_false(address_parse(text, &address, &err));
}

static void test_domain_of_text(void **state)
{
    (void)state;
    assert_string_equal(address_text_domain(""), "");
    assert_string_equal(address_text_domain("root"), "");
    assert_string_equal(address_text_domain("\"a@b\"@c"), "c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_addresses),
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_a_path_ends_where_it_ends),
        cmocka_unit_test(test_every_cut_is_read_within_bounds),
        cmocka_unit_test(test_long_input_is_refused_quickly),
        cmocka_unit_test(test_domain_of_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
