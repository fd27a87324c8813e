/* Parameters of MAIL and RCPT. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "cleanup.h"
#include "strbuf.h"

#include "parameters.h"
#include "refusal.h"

enum { SIZE_MAX_BYTES = 1000 };

static const struct row {
    const char *text;
    unsigned code; /* 0: fine */
    const char *enhanced;
    struct mail_parameters parameters;
} rows[] = {
    {"",                             0,   "",      { -1, false, false }  },
    { "  ",                          0,   "",      { -1, false, false }  },
    { " SIZE=0",                     0,   "",      { 0, false, false }   },
    { " size=1000",                  0,   "",      { 1000, false, false }},
    { " SIZE=00000000000000001000",  0,   "",      { 1000, false, false }},
    { " SIZE=1001",                  552, "5.3.4", { 0 }                 },
    { " SIZE=99999999999999999999",  552, "5.3.4", { 0 }                 },
    { " SIZE=18446744073709551617",  552, "5.3.4", { 0 }                 },
    { " SIZE=4294967297",            552, "5.3.4", { 0 }                 },
    { " SIZE=999999999999999999999", 501, "5.5.4", { 0 }                 },
    { " SIZE=-1",                    501, "5.5.4", { 0 }                 },
    { " SIZE=0x10",                  501, "5.5.4", { 0 }                 },
    { " SIZE=1 SIZE=1",              501, "5.5.4", { 0 }                 },
    { " SIZE=",                      501, "5.5.4", { 0 }                 },
    { " SIZE",                       501, "5.5.4", { 0 }                 },
    { " BODY=8BITMIME",              0,   "",      { -1, true, false }   },
    { " BODY=8bitmime SMTPUTF8",     0,   "",      { -1, true, true }    },
    { " BODY=7BIT",                  0,   "",      { -1, false, false }  },
    { " BODY=BINARYMIME",            501, "5.5.4", { 0 }                 },
    { " BODY",                       501, "5.5.4", { 0 }                 },
    { " SMTPUTF8=1",                 501, "5.5.4", { 0 }                 },
    { " SMTPUTF8  SIZE=5",           0,   "",      { 5, false, true }    },
    { " AUTH=<>",                    555, "5.5.4", { 0 }                 },
    { " RET=FULL",                   555, "5.5.4", { 0 }                 },
    { " ENVID=+0D+0A",               555, "5.5.4", { 0 }                 },
    { " XYZZY",                      555, "5.5.4", { 0 }                 },
    { " SIZES=1",                    555, "5.5.4", { 0 }                 },
    { " =1",                         501, "5.5.4", { 0 }                 },
    { " SIZE==1",                    501, "5.5.4", { 0 }                 },
    { " SIZE=1=1",                   501, "5.5.4", { 0 }                 },
    { " -X",                         501, "5.5.4", { 0 }                 },
    { " SIZE:1",                     501, "5.5.4", { 0 }                 },
    { " SIZE=1\xC3\xA4",             501, "5.5.4", { 0 }                 },
};

static void test_mail(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mail_parameters parameters = { 0 };
        struct refusal refusal = { 0 };
        print_message("\"%s\"\n", rows[i].text);
        bool is_ok = parameters_parse_mail(rows[i].text, SIZE_MAX_BYTES, &parameters, &refusal);
        assert_int_equal(is_ok, rows[i].code == 0);
        assert_int_equal(refusal.code, rows[i].code);
        if (is_ok) {
            assert_int_equal(parameters.size_bytes, rows[i].parameters.size_bytes);
            assert_int_equal(parameters.is_8bitmime, rows[i].parameters.is_8bitmime);
            assert_int_equal(parameters.is_smtputf8, rows[i].parameters.is_smtputf8);
        } else {
            assert_string_equal(refusal.enhanced, rows[i].enhanced);
        }
    }
}

static void test_rcpt(void **state)
{
    struct refusal unknown = { 0 };
    struct refusal malformed = { 0 };

    (void)state;
    assert_true(parameters_parse_rcpt("", &unknown));
    assert_false(parameters_parse_rcpt(" ORCPT=rfc822;a+0Ab NOTIFY=NEVER", &unknown));
    assert_int_equal(unknown.code, 555);
    assert_false(parameters_parse_rcpt(" ;", &malformed));
    assert_int_equal(malformed.code, 501);
}

/* As many as fit into a line, refused at the first that does not belong there. */
static void test_a_thousand(void **state)
{
    AUTO_STRBUF struct strbuf text;
    struct mail_parameters parameters;
    struct refusal refusal = { 0 };

    (void)state;
    strbuf_init(&text);
    strbuf_append_text(&text, " SIZE=1");
    for (int i = 0; i < 1000; i++)
        strbuf_append_format(&text, " X%d=%d", i, i);
    assert_false(parameters_parse_mail(text.data, SIZE_MAX_BYTES, &parameters, &refusal));
    assert_int_equal(refusal.code, 555);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail),
        cmocka_unit_test(test_rcpt),
        cmocka_unit_test(test_a_thousand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
