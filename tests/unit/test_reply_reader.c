/* The reply parser: named cases, every split of them, and every short string against a second opinion. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "reply_reader.h"
#include "xalloc.h"

static const struct reply_case {
    const char *name;
    const char *bytes;
    enum reply_status status;
    int code;
    const char *enhanced;
    const char *text;
    size_t surplus; /* bytes behind the reply */
} cases[] = {
    {"one line",           "250 OK\r\n",                         REPLY_COMPLETE, 250, "",      "OK",           0 },
    { "no text",           "250 \r\n",                           REPLY_COMPLETE, 250, "",      "",             0 },
    { "no space either",   "250\r\n",                            REPLY_COMPLETE, 250, "",      "",             0 },
    { "two lines",         "250-a\r\n250 b\r\n",                 REPLY_COMPLETE, 250, "",      "a\nb",         0 },
    { "empty first line",  "250-\r\n250 b\r\n",                  REPLY_COMPLETE, 250, "",      "\nb",          0 },
    { "ended by the code", "550-\r\n550\r\n",                    REPLY_COMPLETE, 550, "",      "\n",           0 },
    { "enhanced",          "550 5.1.1 No such user\r\n",         REPLY_COMPLETE, 550, "5.1.1", "No such user", 0 },
    { "enhanced in each",  "550-5.1.1 No\r\n550 5.1.1 user\r\n", REPLY_COMPLETE, 550, "5.1.1",
     "No\nuser",                                                                                               0 },
    { "enhanced, no text", "550 5.1.1\r\n",                      REPLY_COMPLETE, 550, "5.1.1", "",             0 },
    { "half an enhanced",  "550 5.1.\r\n",                       REPLY_COMPLETE, 550, "",      "5.1.",         0 },
    { "of another class",  "550 4.1.1 x\r\n",                    REPLY_COMPLETE, 550, "",      "4.1.1 x",      0 },
    { "surplus",           "250 OK\r\n250 again\r\n",            REPLY_COMPLETE, 250, "",      "OK",           11},
    { "8-bit and escape",  "250 \x1b[2J\xff\r\n",                REPLY_COMPLETE, 250, "",      "\x1b[2J\xff",  0 },
    { "not the last line", "250-a\r\n",                          REPLY_MORE,     0,   NULL,    NULL,           0 },
    { "half a line",       "250 a",                              REPLY_MORE,     0,   NULL,    NULL,           0 },
    { "LF alone",          "250 a\n",                            REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "CR alone",          "250 a\rb\r\n",                       REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "other codes",       "550-a\r\n250 b\r\n",                 REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "two digits",        "55\r\n",                             REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "four digits",       "2500 ok\r\n",                        REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "999",               "999 x\r\n",                          REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "000",               "000 x\r\n",                          REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "100",               "100 x\r\n",                          REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "negative",          "-1\r\n",                             REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "an empty line",     "\r\n",                               REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "a tab",             "250\tok\r\n",                        REPLY_BAD,      0,   NULL,    NULL,           0 },
    { "HTTP",              "HTTP/1.1 400 Bad Request\r\n",       REPLY_BAD,      0,   NULL,    NULL,           0 },
};

static enum reply_status feed(struct reply_reader *reader, const char *bytes, size_t len,
                              size_t step, size_t *ret_used)
{
    enum reply_status status = REPLY_MORE;

    *ret_used = 0;
    while (*ret_used < len && status == REPLY_MORE) {
        size_t used = 0;
        size_t piece = len - *ret_used < step ? len - *ret_used : step;
        status = reply_reader_feed(reader, bytes + *ret_used, piece, &used);
        *ret_used += used;
    }
    return status;
}

static void check_case(const struct reply_case *expected, size_t step)
{
    struct reply_reader *reader = NEW(struct reply_reader);
    size_t used = 0;
    size_t len = strlen(expected->bytes);

    reply_reader_init(reader);
    assert_int_equal(feed(reader, expected->bytes, len, step, &used), expected->status);
    if (expected->status == REPLY_COMPLETE) {
        struct smtp_reply reply = reply_reader_reply(reader);
        assert_int_equal(reply.code, expected->code);
        assert_string_equal(reply.enhanced, expected->enhanced);
        assert_string_equal(reply.text, expected->text);
        assert_int_equal(len - used, expected->surplus);
    }
    assert_int_equal(reader->problem != NULL, expected->status == REPLY_BAD);
    reply_reader_done(reader);
    free(reader);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        print_message("%s\n", cases[i].name);
        for (size_t step = 1; step <= strlen(cases[i].bytes); step++)
            check_case(&cases[i], step);
    }
}

static void test_reset_begins_anew(void **state)
{
    struct reply_reader *reader = NEW(struct reply_reader);
    size_t used = 0;

    (void)state;
    reply_reader_init(reader);
    assert_int_equal(reply_reader_feed(reader, "550-5.1.1 a\r\n", 13, &used), REPLY_MORE);
    assert_true(reply_reader_is_within(reader));
    reply_reader_reset(reader);
    assert_false(reply_reader_is_within(reader));
    assert_int_equal(reply_reader_feed(reader, "250 ok\r\n", 8, &used), REPLY_COMPLETE);
    assert_string_equal(reply_reader_reply(reader).text, "ok");
    assert_string_equal(reply_reader_reply(reader).enhanced, "");
    reply_reader_done(reader);
    free(reader);
}

/* How many bytes are taken before the reader has had enough. */
static size_t appetite(const char *first, char rest, enum reply_status *ret_status)
{
    struct reply_reader *reader = NEW(struct reply_reader);
    size_t used = 0;
    size_t taken = 0;

    reply_reader_init(reader);
    *ret_status = REPLY_MORE;
    while (*ret_status == REPLY_MORE && taken < 10U * REPLY_TOTAL_MAX) {
        const char *bytes = rest == '\0' || taken < strlen(first) ? first : &rest;
        size_t len = bytes == first ? strlen(first) : 1;
        *ret_status = reply_reader_feed(reader, bytes, len, &used);
        taken += used;
    }
    reply_reader_done(reader);
    free(reader);
    return taken;
}

static void test_endless_line_and_reply(void **state)
{
    enum reply_status status;

    (void)state;
    assert_int_equal(appetite("250-", 'x', &status), REPLY_LINE_MAX - 1 + 1);
    assert_int_equal(status, REPLY_BAD);
    assert_int_equal(appetite("250-more\r\n", '\0', &status), REPLY_TOTAL_MAX + 1);
    assert_int_equal(status, REPLY_BAD);
}

static void test_longest_line(void **state)
{
    struct reply_reader *reader = NEW(struct reply_reader);
    AUTO_FREE char *line = xcalloc(1, REPLY_LINE_MAX + 1);
    size_t used = 0;

    (void)state;
    (void)memset(line, 'x', REPLY_LINE_MAX);
    (void)memcpy(line, "250 ", 4);
    (void)memcpy(line + REPLY_LINE_MAX - 2, "\r\n", 2);
    reply_reader_init(reader);
    assert_int_equal(reply_reader_feed(reader, line, REPLY_LINE_MAX, &used), REPLY_COMPLETE);
    assert_int_equal(strlen(reply_reader_reply(reader).text), REPLY_LINE_MAX - 6);
    reply_reader_done(reader);
    free(reader);
}

/* What takes many bytes at once stops where what takes each by itself does. */
static void test_limits_hold_within_a_piece(void **state)
{
    static const struct {
        const char *first;
        size_t used;
    } rows[] = { { "250-", REPLY_LINE_MAX }, { "250-more\r\n", REPLY_TOTAL_MAX + 1 } };
    enum { SIZE = REPLY_TOTAL_MAX + 100 };
    AUTO_FREE char *bytes = xcalloc(1, SIZE);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct reply_reader *reader = NEW(struct reply_reader);
        size_t len = strlen(rows[i].first);
        size_t used = 0;
        for (size_t at = 0; at < SIZE; at++)
            bytes[at] = at < len || i > 0 ? rows[i].first[at % len] : 'x';
        reply_reader_init(reader);
        assert_int_equal(feed(reader, bytes, SIZE, SIZE, &used), REPLY_BAD);
        assert_int_equal(used, rows[i].used);
        reply_reader_done(reader);
        free(reader);
    }
}

/* --- Every string of up to eight bytes over the alphabet that matters --- */

static const char alphabet[] = { '2', '4', '5', '0', '9', '-', ' ', '.', '\r', '\n', '\0' };

enum { SHORT_MAX = 8 };

struct exhaustion {
    regex_t complete; /* of a whole reply; with the NUL written as N */
    unsigned long count;
    unsigned long complete_count;
};

/* A second opinion, from the grammar: eight bytes have room for no more than a line and the code of another. */
static bool is_complete(const struct exhaustion *all, const char *bytes, size_t len)
{
    char text[SHORT_MAX + 1] = "";

    for (size_t i = 0; i < len; i++)
        text[i] = bytes[i];
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\0')
            text[i] = 'N';
    return regexec(&all->complete, text, 0, NULL, 0) == 0;
}

/* A string that goes on beyond what is settled tells nothing new. */
static void exhaust(struct exhaustion *all, char *bytes, size_t len)
{
    struct reply_reader reader;
    size_t used = 0;

    reply_reader_init(&reader);
    enum reply_status status = reply_reader_feed(&reader, bytes, len, &used);
    reply_reader_done(&reader);
    all->count++;
    all->complete_count += status == REPLY_COMPLETE;
    if ((status == REPLY_COMPLETE) != is_complete(all, bytes, len))
        fail_msg("wrong about a string of %zu bytes: %.*s", len, (int)len, bytes);
    if (status != REPLY_MORE || len == SHORT_MAX)
        return;
    for (size_t i = 0; i < sizeof alphabet; i++) {
        bytes[len] = alphabet[i];
        exhaust(all, bytes, len + 1);
    }
}

static void test_every_short_string(void **state)
{
    struct exhaustion all = { .count = 0 };
    char bytes[SHORT_MAX];

    (void)state;
    assert_int_equal(
        regcomp(&all.complete, "^[2-5][0-9][0-9]( [^\r\nN]*)?\r\n$", REG_EXTENDED | REG_NOSUB), 0);
    exhaust(&all, bytes, 0);
    regfree(&all.complete);
    print_message("%lu strings, %lu of them replies\n", all.count, all.complete_count);
    assert_true(all.complete_count > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_reset_begins_anew),
        cmocka_unit_test(test_endless_line_and_reply),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_limits_hold_within_a_piece),
        cmocka_unit_test(test_every_short_string),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
