/* The header of a message before and after. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "strbuf.h"
#include "xalloc.h"

#include "header_fields.h"
#include "header_pass.h"
#include "refusal.h"

#define RECEIVED                                                                                   \
    "Received: by host.example (outbox, from user joe (uid 1000))\r\n\twith ESMTP id "             \
    "0000000000000000000000;\r\n\tMon, 23 Nov 2026 18:30:00 +0000\r\n"
#define DATE       "Date: Mon, 23 Nov 2026 18:30:00 +0000\r\n"
#define MESSAGE_ID "Message-ID: <0000000000000000000000@host.example>\r\n"
#define FROM       "From: \"Joe \\\"J\\\" Doe\" <joe@default.example>\r\n"

static const struct header_input usual = {
    .hostname = "host.example",
    .default_domain = "default.example",
    .protocol = "ESMTP",
    .id = "0000000000000000000000",
    .user = "joe",
    .full_name = "Joe \"J\" Doe",
    .uid = 1000,
    .sender = "joe@default.example",
    .now_s = 1795458600,
};

static bool pass(const char *header, const struct header_input *base,
                 struct header_result *ret_result, struct refusal *refusal)
{
    struct header_input input = *base;

    input.header = header;
    input.len = strlen(header);
    *refusal = (struct refusal){ 0 };
    return header_pass(&input, ret_result, refusal);
}

static const struct row {
    const char *name;
    const char *header;
    const char *expected; /* behind RECEIVED */
} rows[] = {
    {"nothing there",                  "",                                                                      DATE MESSAGE_ID FROM                                                           },
    { "complete",                      "From: a@b.example\r\nDate: x\r\nMessage-ID: <1>\r\n",
     "From: a@b.example\r\nDate: x\r\nMessage-ID: <1>\r\n"                                                                                                                                     },
    { "case of names",                 "FROM: a@b.example\r\ndate: x\r\nMESSAGE-id: <1>\r\n",
     "FROM: a@b.example\r\ndate: x\r\nMESSAGE-id: <1>\r\n"                                                                                                                                     },
    { "Bcc with folds",                "From: a\r\nBCC: x@y,\r\n\tz@y\r\n  \r\nDate: x\r\nMessage-ID: <1>\r\n",
     "From: a\r\nDate: x\r\nMessage-ID: <1>\r\n"                                                                                                                                               },
    { "all Bcc",
     "Bcc: a\r\nFrom: a\r\nbcc: b\r\nResent-Bcc: c\r\n d\r\nDate: x\r\nResent-bcc:\r\nMessage-ID: "
     "<1>\r\nBcc:e\r\n",                                                                                        "From: a\r\nDate: x\r\nMessage-ID: <1>\r\n"                                    },
    { "space before the colon",        "Bcc : x\r\nFrom\t: a\r\nDate : x\r\nMessage-ID: <1>\r\n",
     "From\t: a\r\nDate : x\r\nMessage-ID: <1>\r\n"                                                                                                                                            },
    { "names that only begin like it",
     "Bcc-Note: x\r\nBc: y\r\nFrom: a\r\nDate: x\r\nMessage-ID: <1>\r\n",                                       "Bcc-Note: x\r\nBc: y\r\nFrom: a\r\nDate: x\r\nMessage-ID: <1>\r\n"            },
    { "odd bytes stay",
     "Subject:  \xFF  x \r\n \t \r\n y\r\nFrom: a\r\nDate: x\r\nMessage-ID: <1>\r\n",                           "Subject:  \xFF  x \r\n \t \r\n y\r\nFrom: a\r\nDate: x\r\nMessage-ID: <1>\r\n"},
    { "From missing",                  "Date: x\r\nMessage-ID: <1>\r\n",                                        "Date: x\r\nMessage-ID: <1>\r\n" FROM                                          },
    { "Date missing",                  "From: a\r\nMessage-ID: <1>\r\n",                                        "From: a\r\nMessage-ID: <1>\r\n" DATE                                          },
    { "signed: nothing is added",      "DKIM-Signature: v=1\r\nBcc: x\r\nSubject: y\r\n",
     "DKIM-Signature: v=1\r\nSubject: y\r\n"                                                                                                                                                   },
    { "tag is taken out",              "X-Outbox-Tag: a b \r\nFrom: a\r\nDate: x\r\nMessage-ID: <1>\r\n",
     "From: a\r\nDate: x\r\nMessage-ID: <1>\r\n"                                                                                                                                               },
    { "Resent stays",                  "Resent-From: a\r\nFrom: a\r\nDate: x\r\nMessage-ID: <1>\r\n",
     "Resent-From: a\r\nFrom: a\r\nDate: x\r\nMessage-ID: <1>\r\n"                                                                                                                             },
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct header_result result;
        struct refusal refusal;
        print_message("%s\n", rows[i].name);
        assert_true(pass(rows[i].header, &usual, &result, &refusal));
        AUTO_FREE char *expected = xasprintf("%s%s", RECEIVED, rows[i].expected);
        assert_string_equal(result.header.data, expected);
        header_result_done(&result);
    }
}

static void test_refused(void **state)
{
    static const struct refused_row {
        const char *name;
        const char *header;
        unsigned code;
        const char *enhanced;
    } refused[] = {
        {"idempotency key", "x-outbox-idempotency-KEY: 1\r\n",        554, "5.5.4"},
        { "send at",        "X-Outbox-Send-At: +1h\r\n",              554, "5.5.4"},
        { "not known",      "X-Outbox-Sendat: +1h\r\n",               554, "5.5.4"},
        { "empty tag",      "X-Outbox-Tag: \r\n",                     554, "5.5.4"},
        { "folded tag",     "X-Outbox-Tag: a\r\n b\r\n",              554, "5.5.4"},
        { "8-bit tag",      "X-Outbox-Tag: \xC3\xA4\r\n",             554, "5.5.4"},
        { "two tags",       "X-Outbox-Tag: a\r\nX-Outbox-Tag: a\r\n", 554, "5.5.4"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        struct header_result result;
        struct refusal refusal;
        print_message("%s\n", refused[i].name);
        assert_false(pass(refused[i].header, &usual, &result, &refusal));
        assert_int_equal(refusal.code, refused[i].code);
        assert_string_equal(refusal.enhanced, refused[i].enhanced);
    }
}

static void test_loop(void **state)
{
    AUTO_STRBUF struct strbuf header;
    struct header_result result;
    struct refusal refusal;

    (void)state;
    strbuf_init(&header);
    for (int i = 0; i < HEADER_RECEIVED_MAX - 1; i++)
        strbuf_append_text(&header, "Received: x\r\n");
    assert_true(pass(header.data, &usual, &result, &refusal));
    header_result_done(&result);
    strbuf_append_text(&header, "received: x\r\n");
    assert_false(pass(header.data, &usual, &result, &refusal));
    assert_int_equal(refusal.code, 554);
    assert_string_equal(refusal.enhanced, "5.4.6");
}

static void test_added_from(void **state)
{
    static const struct from_row {
        const char *sender;
        const char *user;
        const char *full_name;
        const char *expected;
    } froms[] = {
        {"joe@default.example", "joe", "",            "From: joe@default.example\r\n"          },
        { "app@other.example",  "joe", "Joe",         "From: app@other.example\r\n"            },
        { "",                   "joe", "Joe",         "From: \"Joe\" <joe@default.example>\r\n"},
        { "",                   "#33", "",            "From: #33@default.example\r\n"          },
        { "",                   "a b", "",            "From: MAILER-DAEMON@host.example\r\n"   },
        { "",                   "joe", "x\r\nBcc: y", "From: joe@default.example\r\n"          },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(froms); i++) {
        struct header_input input = usual;
        struct header_result result;
        struct refusal refusal;
        input.sender = froms[i].sender;
        input.user = froms[i].user;
        input.full_name = froms[i].full_name;
        assert_true(pass("Date: x\r\nMessage-ID: <1>\r\n", &input, &result, &refusal));
        const char *from = strstr(result.header.data, "From: ");
        assert_non_null(from);
        assert_string_equal(from, froms[i].expected);
        header_result_done(&result);
    }
}

static void test_user_in_received_is_harmless(void **state)
{
    struct header_input input = usual;
    struct header_result result;
    struct refusal refusal;

    (void)state;
    input.user = "a)\r\nBcc: b\\";
    assert_true(pass("", &input, &result, &refusal));
    assert_non_null(strstr(result.header.data, "from user a???Bcc:?b? (uid 1000))\r\n"));
    header_result_done(&result);
}

static void test_mailboxes_of_from(void **state)
{
    static const struct mailbox_row {
        const char *header;
        bool is_readable;
        size_t count;
        const char *first;
        const char *last;
    } mailboxes[] = {
        {"From: a@b.example\r\n",                            true,  1, "a@b.example",          "a@b.example"         },
        { "From: root (Cron Daemon)\r\n",                    true,  1, "root@default.example", "root@default.example"},
        { "From: \"A, B <c@d.example>\" <a@b.example>\r\n",  true,  1, "a@b.example",          "a@b.example"         },
        { "From: A. B. <a@b.example> (later)\r\n",           true,  1, "a@b.example",          "a@b.example"         },
        { "From: A\r\n\t<a@b.example>,\r\n x@y.example\r\n", true,  2, "a@b.example",
         "x@y.example"                                                                                               },
        { "From: (((deep) \\) comment)) a@b.example\r\n",    true,  1, "a@b.example",          "a@b.example"         },
        { "From: \"a b\"@b.example\r\n",                     true,  1, "\"a b\"@b.example",    "\"a b\"@b.example"   },
        { "From: Group: a@b.example, c@d.example;\r\n",      true,  2, "a@b.example",          "c@d.example"         },
        { "From: a@b.example\r\nFrom: c@d.example\r\n",      true,  2, "a@b.example",          "c@d.example"         },
        { "From: a@b.example,,\r\n",                         true,  1, "a@b.example",          "a@b.example"         },
        { "From: Somebody Else\r\n",                         false, 0, "",                     ""                    },
        { "From: <>\r\n",                                    false, 0, "",                     ""                    },
        { "From: a@b.example, nobody at all\r\n",            false, 1, "a@b.example",          "a@b.example"         },
        { "From: a@b.example <c@d.example\r\n",              true,  1, "c@d.example",          "c@d.example"         },
        { "From:\r\n",                                       true,  0, "",                     ""                    },
        { "Subject: x\r\n",                                  true,  0, "",                     ""                    },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(mailboxes); i++) {
        const struct mailbox_row *row = &mailboxes[i];
        struct header_result result;
        struct refusal refusal;
        print_message("%s", row->header);
        assert_true(pass(row->header, &usual, &result, &refusal));
        assert_int_equal(result.is_from_readable, row->is_readable);
        assert_int_equal(result.from_count, row->count);
        if (row->count > 0) {
            assert_string_equal(result.from[0], row->first);
            assert_string_equal(result.from[row->count - 1], row->last);
        }
        header_result_done(&result);
    }
}

/* Inputs that are slow for parsers that look back or recurse; the time limit of the test is the check. */
static void test_hostile_from(void **state)
{
    static const char *const pieces[] = { "(", "a@", "\"", "<", "a@b.example,", "\\", ":", ".!" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        AUTO_STRBUF struct strbuf header;
        struct header_result result;
        struct refusal refusal;
        strbuf_init(&header);
        strbuf_append_text(&header, "From: ");
        while (header.len < 1024 * 1024)
            strbuf_append_text(&header, pieces[i]);
        strbuf_append_text(&header, "\r\n");
        assert_true(pass(header.data, &usual, &result, &refusal));
        assert_true(result.from_count <= HEADER_FROM_MAX);
        header_result_done(&result);
    }
}

static void test_end_of_header(void **state)
{
    static const struct end_row {
        const char *bytes;
        bool is_found;
        size_t header_len;
        size_t body;
    } ends[] = {
        {"A: b\r\n\r\nbody",                    true,  6,  8 },
        { "\r\nbody\r\n",                       true,  0,  2 },
        { "A: b\r\n c\r\n\r\n",                 true,  10, 12},
        { "A: b\r\n",                           false, 0,  0 },
        { "A: b\r\nC: d",                       false, 0,  0 },
        { "",                                   false, 0,  0 },
        { "no field\r\n\r\n",                   true,  0,  0 },
        { "A: b\r\nno field\r\n",               true,  6,  6 },
        { " continues nothing\r\nA: b\r\n\r\n", true,  0,  0 },
        { "A: b\r\n : c\r\n: d\r\n\r\n",        true,  12, 12},
        { "A: b\r\n \r\n\r\n",                  true,  9,  11},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        size_t len = strlen(ends[i].bytes);
        for (size_t step = 1; step <= len + 1; step++) {
            size_t position = 0;
            size_t header_len = 0;
            size_t body = 0;
            bool is_found = false;
            for (size_t have = 0; have < len && !is_found;) {
                have = have + step < len ? have + step : len;
                is_found = header_find_end(ends[i].bytes, have, &position, &header_len, &body);
            }
            assert_int_equal(is_found, ends[i].is_found);
            assert_int_equal(header_len, ends[i].header_len);
            assert_int_equal(body, ends[i].body);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_added_from),
        cmocka_unit_test(test_user_in_received_is_harmless),
        cmocka_unit_test(test_mailboxes_of_from),
        cmocka_unit_test(test_hostile_from),
        cmocka_unit_test(test_end_of_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
