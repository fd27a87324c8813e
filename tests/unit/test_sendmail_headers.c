/* Where headers end and whom -t names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "sendmail_headers.h"
#include "strbuf.h"

static void collect(const char *text, bool is_address, void *ctx)
{
    struct strbuf *found = ctx;

    strbuf_append_format(found, is_address ? "%s " : "{%s} ", text);
}

static const struct {
    const char *name;
    const char *message;
    const char *recipients;
    size_t header_len;
    bool needs_empty_line;
    bool has_from;
} rows[] = {
    {"nothing",                        "",                                                     "",             0,  true,  false},
    { "body alone",                    "hello\r\n",                                            "",             0,  true,  false},
    { "empty line first",              "\r\nTo: a@b\r\n",                                      "",             0,  false, false},
    { "To, Cc, Bcc",                   "To: a@b\r\ncc: c@d\r\nBCC: e@f\r\n\r\nTo: x@y\r\n",    "a@b c@d e@f ", 28, false,
     false                                                                                                                     },
    { "folded",                        "To: a@b,\r\n c@d\r\n\r\n",                             "a@b c@d ",     16, false, false},
    { "header alone",                  "From: x@y\r\nTo: a@b\r\n",                             "a@b ",         20, true,  true },
    { "body without empty line",       "To: a@b\r\nhello there\r\n",                           "a@b ",         9,  true,  false},
    { "mailbox line",                  "From a@b Mon Nov 23\r\nTo: a@b\r\n\r\n",               "a@b ",         9,  false, false},
    { "space before the colon",        "To : a@b\r\n\r\n",                                     "a@b ",         10, false, false},
    { "names that only begin alike",   "Tou: a@b\r\nX-To: a@b\r\nBccx: a@b\r\n\r\n",           "",             32, false,
     false                                                                                                                     },
    { "resent",                        "Resent-To: r@s\r\nResent-Bcc: t@u\r\nTo: a@b\r\n\r\n", "r@s t@u ",     42, false,
     false                                                                                                                     },
    { "resent without recipients",     "Resent-From: r@s\r\nTo: a@b\r\n\r\n",                  "",             27, false, false},
    { "only the topmost resent block",
     "Resent-To: r@s\r\nReceived: x\r\nResent-To: old@s\r\nTo: a@b\r\n\r\n",                   "r@s ",         56, false,
     false                                                                                                                     },
    { "blocks side by side",
     "Resent-From: x@y\r\nResent-To: r@s\r\nResent-From: o@p\r\nResent-To: old@s\r\n\r\n",     "r@s ",
     70,                                                                                                           false, false},
    { "not an address",                "To: some body\r\n\r\n",                                "{some body} ", 15, false, false},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_STRBUF struct strbuf found;
        struct message_header header;
        strbuf_init(&found);
        message_header_find(rows[i].message, strlen(rows[i].message), &header);
        message_header_recipients(&header, collect, &found);
        if (strcmp(found.data, rows[i].recipients) != 0)
            fail_msg("%s: found %s", rows[i].name, found.data);
        if (header.len != rows[i].header_len)
            fail_msg("%s: header of %zu bytes", rows[i].name, header.len);
        if (header.needs_empty_line != rows[i].needs_empty_line)
            fail_msg("%s: empty line", rows[i].name);
        if (header.has_from != rows[i].has_from)
            fail_msg("%s: From", rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
