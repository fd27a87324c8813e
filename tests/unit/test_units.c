/* Durations, sizes, rates and counts, read and written. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "units.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

struct row {
    const char *text;
    int64_t value; /* -1: refused */
};

typedef bool parse_fn(const char *text, int64_t *ret_value, struct error *err);

static void check(parse_fn *parse, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = -1;
        struct error err = { .text = "" };
        bool is_read = parse(rows[i].text, &value, &err);
        if (value != rows[i].value || is_read != (rows[i].value >= 0))
            fail_msg("\"%s\": %lld %s", rows[i].text, (long long)value, err.text);
        if (!is_read)
            assert_non_null(strstr(err.text, "is not a"));
    }
}

static void test_durations(void **state)
{
    static const struct row rows[] = {
        {"0",                     0         },
        { "30",                   30        },
        { "30s",                  30        },
        { "5m",                   300       },
        { "2h",                   7200      },
        { "1d",                   86400     },
        { "4w",                   2419200   },
        { "1h30m",                5400      },
        { "1w2d3h4m5s",           788645    },
        { "5M",                   300       },
        { "",                     -1        },
        { "s",                    -1        },
        { "5x",                   -1        },
        { "-5s",                  -1        },
        { "5 s",                  -1        },
        { " 5s",                  -1        },
        { "1h30",                 -1        },
        { "30m1h",                -1        },
        { "1h1h",                 -1        },
        { "5ms",                  -1        },
        { "1.5h",                 -1        },
        { "36525d",               3155760000},
        { "36526d",               -1        },
        { "99999999999999999999", -1        },
        { "9223372036854775807w", -1        },
        { "+5",                   -1        },
    };

    (void)state;
    check(units_parse_duration, rows, COUNT_OF(rows));
}

static void test_sizes(void **state)
{
    static const struct row rows[] = {
        {"0",                     0                        },
        { "17",                   17                       },
        { "64K",                  65536                    },
        { "50M",                  52428800                 },
        { "2G",                   INT64_C(2147483648)      },
        { "2g",                   INT64_C(2147483648)      },
        { "8388608G",             INT64_C(9007199254740992)},
        { "8388609G",             -1                       },
        { "",                     -1                       },
        { "K",                    -1                       },
        { "5T",                   -1                       },
        { "5KB",                  -1                       },
        { "-1",                   -1                       },
        { "1e3",                  -1                       },
        { "99999999999999999999", -1                       },
    };

    (void)state;
    check(units_parse_size, rows, COUNT_OF(rows));
}

static void test_counts(void **state)
{
    static const struct row rows[] = {
        {"0",                     0 },
        { "42",                   42},
        { "",                     -1},
        { "4x",                   -1},
        { "-1",                   -1},
        { "0x10",                 -1},
        { "99999999999999999999", -1},
    };

    (void)state;
    check(units_parse_count, rows, COUNT_OF(rows));
}

static void test_rates(void **state)
{
    static const struct {
        const char *text;
        uint32_t count;
        uint32_t period_s; /* 0: refused */
    } rows[] = {
        {"14/s",          14,    1    },
        { "30/min",       30,    60   },
        { "200/h",        200,   3600 },
        { "10000/d",      10000, 86400},
        { "14",           0,     0    },
        { "14/",          0,     0    },
        { "14/m",         0,     0    },
        { "14/week",      0,     0    },
        { "/s",           0,     0    },
        { "0/s",          0,     0    },
        { "5000000000/s", 0,     0    },
        { "14 /s",        0,     0    },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rate rate = { 0 };
        struct error err;
        assert_int_equal(units_parse_rate(rows[i].text, &rate, &err), rows[i].period_s > 0);
        assert_int_equal(rate.count, rows[i].count);
        assert_int_equal(rate.period_s, rows[i].period_s);
    }
}

static void test_written_counts(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
    } rows[] = {
        { "0", 0 },
        { "7", 7 },
        { "10", 10 },
        { "4096", 4096 },
        { "18446744073709551615", UINT64_MAX },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[UNITS_TEXT_SIZE];
        assert_string_equal(units_format_count(text, rows[i].value), rows[i].text);
    }
}

static void test_written_durations(void **state)
{
    static const struct row rows[] = {
        {"0s",                  0        },
        { "12s",                12       },
        { "1m",                 60       },
        { "1m 1s",              61       },
        { "1h",                 3600     },
        { "1h",                 3601     },
        { "2h 5m",              7512     },
        { "3d 4h",              273600   },
        { "1w",                 604800   },
        { "0s",                 -5       },
        { "15250284452471w 3d", INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[UNITS_TEXT_SIZE];
        units_format_duration(text, rows[i].value);
        assert_string_equal(text, rows[i].text);
    }
}

static void test_written_sizes(void **state)
{
    static const struct row rows[] = {
        {"0 B",       0                  },
        { "17 B",     17                 },
        { "1023 B",   1023               },
        { "1.0 KiB",  1024               },
        { "4.2 KiB",  4301               },
        { "50.0 MiB", 52428800           },
        { "2.0 GiB",  INT64_C(2147483648)},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[UNITS_TEXT_SIZE];
        units_format_size(text, rows[i].value);
        assert_string_equal(text, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),      cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_counts),         cmocka_unit_test(test_rates),
        cmocka_unit_test(test_written_counts), cmocka_unit_test(test_written_durations),
        cmocka_unit_test(test_written_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
