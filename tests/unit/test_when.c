/* Wall-clock times as text, there and back. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "when.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

static void test_written_times(void **state)
{
    static const struct {
        int64_t unix_s;
        const char *rfc3339;
        const char *rfc5322;
    } rows[] = {
        {0,           "1970-01-01T00:00:00Z", "Thu, 1 Jan 1970 00:00:00 +0000" },
        { 1795458600, "2026-11-23T18:30:00Z", "Mon, 23 Nov 2026 18:30:00 +0000"},
        { 951782400,  "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 +0000"},
        { -1,         "1969-12-31T23:59:59Z", "Wed, 31 Dec 1969 23:59:59 +0000"},
        { INT64_MAX,  "9999-12-31T23:59:59Z", "Fri, 31 Dec 9999 23:59:59 +0000"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char rfc3339[WHEN_RFC3339_SIZE];
        char rfc5322[WHEN_RFC5322_SIZE];
        int64_t back = 0;
        when_format_rfc3339(rfc3339, rows[i].unix_s);
        when_format_rfc5322(rfc5322, rows[i].unix_s);
        assert_string_equal(rfc3339, rows[i].rfc3339);
        assert_string_equal(rfc5322, rows[i].rfc5322);
        assert_true(when_parse_rfc3339(rfc3339, &back));
        if (rows[i].unix_s != INT64_MAX)
            assert_int_equal(back, rows[i].unix_s);
    }
}

static void test_milliseconds(void **state)
{
    char text[WHEN_RFC3339_SIZE];

    (void)state;
    when_format_rfc3339_ms(text, INT64_C(1795458600123));
    assert_string_equal(text, "2026-11-23T18:30:00.123Z");
    when_format_rfc3339_ms(text, INT64_C(1795458600007));
    assert_string_equal(text, "2026-11-23T18:30:00.007Z");
    when_format_rfc3339_ms(text, -1);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
}

static void test_read_times(void **state)
{
    static const struct {
        const char *text;
        int64_t unix_s;
    } rows[] = {
        {"2026-11-23T18:30:00Z",         1795458600},
        { "2026-11-23t18:30:00z",        1795458600},
        { "2026-11-23 18:30:00Z",        1795458600},
        { "2026-11-23T19:30:00+01:00",   1795458600},
        { "2026-11-23T13:00:00-05:30",   1795458600},
        { "2026-11-23T18:30:00.999999Z", 1795458600},
        { "2026-11-23T18:30:00-00:00",   1795458600},
        { "2024-02-29T00:00:00Z",        1709164800},
        { "2016-12-31T23:59:60Z",        1483228800},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t unix_s = 0;
        assert_true(when_parse_rfc3339(rows[i].text, &unix_s));
        assert_int_equal(unix_s, rows[i].unix_s);
    }
}

static void test_no_times(void **state)
{
    static const char *const rows[] = {
        "",
        "now",
        "2026-11-23",
        "2026-11-23T18:30:00",
        "2026-11-23T18:30Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2026-11-31T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T18:60:00Z",
        "2026-11-23T18:30:61Z",
        "2026-11-23T18:30:00.Z",
        "2026-11-23T18:30:00+0100",
        "2026-11-23T18:30:00+24:00",
        "2026-11-23T18:30:00Zx",
        "26-11-23T18:30:00Z",
        "+2026-11-23T18:30:00Z",
        " 2026-11-23T18:30:00Z",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t unix_s = 7;
        if (when_parse_rfc3339(rows[i], &unix_s))
            fail_msg("\"%s\" was read", rows[i]);
        assert_int_equal(unix_s, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_times),
        cmocka_unit_test(test_milliseconds),
        cmocka_unit_test(test_read_times),
        cmocka_unit_test(test_no_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
