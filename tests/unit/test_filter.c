/* Filters: what they match, what an index may use of them, what is refused and why. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "filter.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

enum { NOW = 1000000 };

/* One row, and which of these filters find it. */
static const struct filter_row row = {
    .id = "01ABCDEFGHJKMNPQRSTVWX",
    .sender = "app@example.com",
    .recipient = "User@Example.ORG",
    .smarthost = "ses",
    .state = RECIPIENT_QUEUED,
    .class = "throttled",
    .user = "www-data",
    .tag = "news",
    .accepted_at_s = NOW - 7200,
    .size_bytes = 2048,
    .attempts = 3,
};

static struct filter *filter_of(const char *terms_text, struct error *err)
{
    AUTO_FREE char *copy = strdup(terms_text);
    const char *terms[80];
    size_t count = 0;
    char *rest = copy;

    for (char *term = strsep(&rest, " "); term != NULL; term = strsep(&rest, " "))
        if (*term != '\0')
            terms[count++] = term;
    return filter_new(terms, count, err);
}

static void test_matches(void **state)
{
    static const struct {
        const char *terms;
        bool matches;
    } rows[] = {
        { "", true },
        { "all", true },
        { "01ABCDEFGHJKMNPQRSTVWX", true },
        { "01ABCDEFGHJKMNPQRSTVWY", false },
        { "id=01ABCDEFGHJKMNPQRSTVWX", true },
        { "id=01ABC*", true },
        { "sender=app@example.com", true },
        { "sender=APP@*", true },
        { "sender=", false },
        { "sender=<>", false },
        { "recipient=*@example.org", true },
        { "domain=example.org", true },
        { "domain=*.org", true },
        { "domain=example.com", false },
        { "smarthost=ses", true },
        { "smarthost=s*", true },
        { "smarthost=SES", false },
        { "state=queued", true },
        { "state=held,queued", true },
        { "state=delivered", false },
        { "class=throttled", true },
        { "class=auth-failed", false },
        { "class=*", true },
        { "user=www-data", true },
        { "user=#33", false },
        { "tag=news", true },
        { "tag=*", true },
        { "tag=", false },
        { "age>1h", true },
        { "age>2h", false },
        { "age=2h", true },
        { "age<2h", false },
        { "older=119m", true },
        { "older=3h", false },
        { "newer=3h", true },
        { "size>1K", true },
        { "size<1K", false },
        { "size=2K", true },
        { "larger=1K", true },
        { "smaller=1K", false },
        { "attempts>2", true },
        { "attempts=3", true },
        { "attempts<3", false },
        { "all state=queued", true },
        { "state=queued sender=app* older=1h", true },
        { "state=queued sender=other* older=1h", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err;
        struct filter *filter = filter_of(rows[i].terms, &err);
        if (filter == NULL)
            fail_msg("%s: %s", rows[i].terms, err.text);
        if (filter_matches(filter, &row, NOW) != rows[i].matches)
            fail_msg("%s", rows[i].terms);
        filter_free(filter);
    }
}

static void test_what_is_absent(void **state)
{
    static const struct {
        const char *terms;
        bool matches;
    } rows[] = {
        { "", false },        { "all", true },     { "tag=*", false },   { "tag=", true },
        { "class=*", false }, { "class=", true },  { "sender=", true },  { "sender=<>", true },
        { "sender=*", true }, { "domain=", true }, { "newer=1s", true }, { "smarthost=ses", false },
    };
    struct filter_row bare = row;

    (void)state;
    bare.tag = NULL;
    bare.class = NULL;
    bare.sender = "";
    bare.recipient = "root";
    bare.smarthost = NULL;
    bare.state = RECIPIENT_DELIVERED;
    bare.accepted_at_s = NOW + 100; /* the clock was set back */
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err;
        struct filter *filter = filter_of(rows[i].terms, &err);
        assert_non_null(filter);
        if (filter_matches(filter, &bare, NOW) != rows[i].matches)
            fail_msg("%s", rows[i].terms);
        filter_free(filter);
    }
}

static void test_refused_terms(void **state)
{
    static const struct {
        const char *terms;
        const char *words;
    } rows[] = {
        { "sendr=a@b", "did you mean \"sender\"" },
        { "foo=bar", "\"foo\" is no key" },
        { "=x", "is no key" },
        { "state=queud", "did you mean \"queued\"" },
        { "state=", "is no state" },
        { "state=queued,", "is no state" },
        { "class=throtled", "did you mean \"throttled\"" },
        { "age>2x", "is not a duration" },
        { "older=", "is not a duration" },
        { "older>2h", "followed by '='" },
        { "sender>a", "followed by '='" },
        { "size>big", "is not a size" },
        { "attempts>x", "is not a whole number" },
        { "id=abc", "is no queue id" },
        { "everything", "neither key=value" },
        { "\xFF\x1B[2J=1", "\\xFF\\x1B[2J" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err = { .code = ERROR_NONE };
        if (filter_of(rows[i].terms, &err) != NULL)
            fail_msg("\"%s\" was read", rows[i].terms);
        assert_int_equal(err.code == ERROR_USAGE || err.code == ERROR_CONFIG, true);
        if (strstr(err.text, rows[i].words) == NULL)
            fail_msg("%s: %s", rows[i].terms, err.text);
    }
}

static void test_sizes_are_bounded(void **state)
{
    const char *terms[100];
    AUTO_FREE char *longer = calloc(2000, 1);
    const char *one[] = { longer };
    struct error err;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(terms); i++)
        terms[i] = "all";
    assert_null(filter_new(terms, COUNT_OF(terms), &err));
    assert_non_null(longer);
    (void)memset(longer, 'a', 1999);
    (void)memcpy(longer, "tag=", 4);
    assert_null(filter_new(one, 1, &err));
}

static void test_what_an_index_can_use(void **state)
{
    static const struct {
        const char *terms;
        const char *id;
        const char *smarthost;
        unsigned states;
    } rows[] = {
        { "", "", NULL, 7 },
        { "all", "", NULL, 127 },
        { "01ABCDEFGHJKMNPQRSTVWX", "01ABCDEFGHJKMNPQRSTVWX", NULL, 127 },
        { "id=01*", "", NULL, 127 },
        { "smarthost=ses state=queued", "", "ses", 1 },
        { "smarthost=s*", "", NULL, 127 },
        { "state=held,failed", "", NULL, (1u << RECIPIENT_HELD) | (1u << RECIPIENT_FAILED) },
        { "state=held state=failed", "", NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct error err;
        struct filter *filter = filter_of(rows[i].terms, &err);
        assert_non_null(filter);
        assert_string_equal(filter_exact_id(filter), rows[i].id);
        if (rows[i].smarthost == NULL)
            assert_null(filter_exact_smarthost(filter));
        else
            assert_string_equal(filter_exact_smarthost(filter), rows[i].smarthost);
        assert_int_equal(filter_states(filter), rows[i].states);
        assert_int_equal(filter_is_default(filter), rows[i].terms[0] == '\0');
        filter_free(filter);
    }
    filter_free(NULL);
}

/* The range is never narrower than what matches, and no wider than by what it says. */
static void test_accepted_range(void **state)
{
    static const struct {
        const char *terms[2];
        int64_t from_s;
        int64_t until_s;
    } ranges[] = {
        { { "all" }, INT64_MIN, INT64_MAX },
        { { "age>100" }, INT64_MIN, NOW - 101 },
        { { "age<100" }, NOW - 99, INT64_MAX },
        { { "age=100" }, NOW - 100, NOW - 100 },
        { { "age=0" }, NOW, INT64_MAX },
        { { "newer=200", "older=100" }, NOW - 199, NOW - 101 },
        { { "age<200", "age<100" }, NOW - 99, INT64_MAX },
    };

    (void)state;
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        struct error err = { 0 };
        int64_t from_s = 0;
        int64_t until_s = 0;
        struct filter *filter =
            filter_new(ranges[i].terms, ranges[i].terms[1] != NULL ? 2 : 1, &err);
        assert_non_null(filter);
        filter_accepted_range(filter, NOW, &from_s, &until_s);
        assert_true(from_s == ranges[i].from_s && until_s == ranges[i].until_s);
        for (int64_t at_s = NOW - 300; at_s < NOW + 10; at_s++) {
            struct filter_row moved = row;
            moved.accepted_at_s = at_s;
            assert_int_equal(filter_matches(filter, &moved, NOW),
                             at_s >= from_s && at_s <= until_s);
        }
        filter_free(filter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted_range),    cmocka_unit_test(test_matches),
        cmocka_unit_test(test_what_is_absent),    cmocka_unit_test(test_refused_terms),
        cmocka_unit_test(test_sizes_are_bounded), cmocka_unit_test(test_what_an_index_can_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
