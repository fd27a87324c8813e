/* DATA in every cut: the result depends on the bytes alone. */
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

#include "data_reader.h"
#include "refusal.h"

#define SECOND_MAIL "\r\nMAIL FROM:<b@x>\r\nRCPT TO:<c@x>\r\nDATA\r\nsmuggled\r\n.\r\n"

#define BYTES(text) (text), sizeof(text) - 1

static const struct row {
    const char *name;
    const char *input;
    size_t len;
    const char *output; /* NULL: a fault, nothing of it matters */
    enum data_fault fault;
    size_t unused; /* bytes behind the end */
    unsigned line; /* of the fault */
} rows[] = {
    { "plain", BYTES("a\r\nb\r\n.\r\n"), "a\r\nb\r\n", DATA_FAULT_NONE, 0, 0 },
    { "empty", BYTES(".\r\n"), "", DATA_FAULT_NONE, 0, 0 },
    { "commands behind it", BYTES("a\r\n.\r\nQUIT\r\n"), "a\r\n", DATA_FAULT_NONE, 6, 0 },
    { "one stuffed dot", BYTES("..\r\n.\r\n"), ".\r\n", DATA_FAULT_NONE, 0, 0 },
    { "stuffed dots", BYTES("..a\r\n...\r\nb.\r\n.\r\n"), ".a\r\n..\r\nb.\r\n", DATA_FAULT_NONE, 0,
      0 },
    { "a dot that was not stuffed", BYTES(".a\r\n.\r\n"), "a\r\n", DATA_FAULT_NONE, 0, 0 },
    { "empty lines", BYTES("\r\n\r\n.\r\n"), "\r\n\r\n", DATA_FAULT_NONE, 0, 0 },
    /* The ten ends that some servers take for the end (T1). */
    { "LF . LF", BYTES("a\n.\n" SECOND_MAIL), NULL, DATA_FAULT_BARE_LF, 0, 1 },
    { "CR . CR", BYTES("a\r.\r" SECOND_MAIL), NULL, DATA_FAULT_BARE_CR, 0, 1 },
    { "CR . LF", BYTES("a\r.\n" SECOND_MAIL), NULL, DATA_FAULT_BARE_CR, 0, 1 },
    { "LF . CR", BYTES("a\n.\r" SECOND_MAIL), NULL, DATA_FAULT_BARE_LF, 0, 1 },
    { "LF . CR LF", BYTES("a\n.\r\n" SECOND_MAIL), NULL, DATA_FAULT_BARE_LF, 0, 1 },
    { "CR LF . LF", BYTES("a\r\n.\n" SECOND_MAIL), NULL, DATA_FAULT_BARE_LF, 0, 2 },
    { "CR . CR LF", BYTES("a\r.\r\n" SECOND_MAIL), NULL, DATA_FAULT_BARE_CR, 0, 1 },
    { "CR LF . CR", BYTES("a\r\n.\r" SECOND_MAIL), NULL, DATA_FAULT_BARE_CR, 0, 2 },
    { "CR LF NUL . CR LF", BYTES("a\r\n\0.\r\n" SECOND_MAIL), NULL, DATA_FAULT_NUL, 0, 2 },
    { "CR LF . NUL CR LF", BYTES("a\r\n.\0\r\n" SECOND_MAIL), NULL, DATA_FAULT_NUL, 0, 2 },
    { "CR CR LF", BYTES("a\r\r\n.\r\n"), NULL, DATA_FAULT_BARE_CR, 0, 1 },
    { "LF first", BYTES("\n.\r\n\r\n.\r\n"), NULL, DATA_FAULT_BARE_LF, 0, 1 },
    { "the first fault counts", BYTES("a\0\n\r.\r\n\r\n.\r\n"), NULL, DATA_FAULT_NUL, 0, 1 },
};

struct outcome {
    struct data_reader reader;
    struct strbuf out;
    size_t used;
};

static void read_cut(const char *input, size_t len, size_t cut, int64_t max, struct outcome *ret)
{
    data_reader_init(&ret->reader, max);
    strbuf_init(&ret->out);
    ret->used = data_reader_feed(&ret->reader, input, cut, &ret->out);
    if (ret->used == cut)
        ret->used += data_reader_feed(&ret->reader, input + cut, len - cut, &ret->out);
}

static void read_bytewise(const char *input, size_t len, int64_t max, struct outcome *ret)
{
    size_t n = 1;

    data_reader_init(&ret->reader, max);
    strbuf_init(&ret->out);
    for (ret->used = 0; ret->used < len && n == 1; ret->used += n)
        n = data_reader_feed(&ret->reader, input + ret->used, 1, &ret->out);
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
    assert_int_equal(a->used, b->used);
    assert_int_equal(a->reader.state, b->reader.state);
    assert_int_equal(a->reader.fault, b->reader.fault);
    assert_int_equal(a->reader.line, b->reader.line);
    assert_int_equal(a->reader.size_bytes, b->reader.size_bytes);
    assert_int_equal(a->reader.line_len, b->reader.line_len);
    assert_int_equal(a->reader.is_8bit, b->reader.is_8bit);
    assert_int_equal(a->out.len, b->out.len);
    assert_memory_equal(a->out.data, b->out.data, a->out.len);
}

static void test_rows_in_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct row *row = &rows[i];
        struct outcome bytewise;
        print_message("%s\n", row->name);
        read_bytewise(row->input, row->len, INT64_MAX, &bytewise);
        assert_true(data_reader_is_end(&bytewise.reader));
        assert_int_equal(bytewise.reader.fault, row->fault);
        assert_int_equal(row->len - bytewise.used, row->unused);
        if (row->output != NULL)
            assert_string_equal(bytewise.out.data, row->output);
        else
            assert_int_equal(bytewise.reader.line, row->line);
        for (size_t cut = 0; cut <= row->len; cut++) {
            struct outcome whole;
            read_cut(row->input, row->len, cut, INT64_MAX, &whole);
            assert_same(&whole, &bytewise);
            strbuf_done(&whole.out);
        }
        strbuf_done(&bytewise.out);
    }
}

/* Only CR LF . CR LF ends: no proper beginning of a row is complete. */
static void test_beginnings_are_incomplete(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (size_t len = 0; len + rows[i].unused < rows[i].len; len++) {
            struct outcome part;
            read_bytewise(rows[i].input, len, INT64_MAX, &part);
            assert_false(data_reader_is_end(&part.reader));
            strbuf_done(&part.out);
        }
}

static void test_limits(void **state)
{
    static const struct limit_row {
        const char *name;
        size_t line_len;
        int64_t max;
        enum data_fault fault;
    } limits[] = {
        { "longest line", DATA_LINE_MAX, INT64_MAX, DATA_FAULT_NONE },
        { "line too long", DATA_LINE_MAX + 1, INT64_MAX, DATA_FAULT_LONG_LINE },
        { "line far too long", DATA_LINE_MAX * 3, INT64_MAX, DATA_FAULT_LONG_LINE },
        { "largest message", 100, 102, DATA_FAULT_NONE },
        { "a byte too large", 100, 101, DATA_FAULT_TOO_LARGE },
        { "too large before the line is too long", DATA_LINE_MAX + 1, DATA_LINE_MAX - 1,
          DATA_FAULT_TOO_LARGE },
        { "line too long before it is too large", DATA_LINE_MAX + 1, DATA_LINE_MAX,
          DATA_FAULT_LONG_LINE },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        AUTO_STRBUF struct strbuf input;
        struct outcome bytewise;
        print_message("%s\n", limits[i].name);
        strbuf_init(&input);
        for (size_t n = 0; n < limits[i].line_len; n++)
            strbuf_append_char(&input, 'x');
        strbuf_append_text(&input, "\r\n.\r\n");
        read_bytewise(input.data, input.len, limits[i].max, &bytewise);
        assert_true(data_reader_is_end(&bytewise.reader));
        assert_int_equal(bytewise.reader.fault, limits[i].fault);
        assert_true(bytewise.reader.size_bytes <= limits[i].max);
        for (size_t cut = 0; cut <= input.len; cut++) {
            struct outcome whole;
            read_cut(input.data, input.len, cut, limits[i].max, &whole);
            assert_same(&whole, &bytewise);
            strbuf_done(&whole.out);
        }
        strbuf_done(&bytewise.out);
    }
}

/* The dot that was stuffed is not counted (RFC 5321 4.5.3.1.6). */
static void test_stuffed_line_of_full_length(void **state)
{
    AUTO_STRBUF struct strbuf input;
    struct outcome outcome;

    (void)state;
    strbuf_init(&input);
    strbuf_append_text(&input, "..");
    for (size_t n = 1; n < DATA_LINE_MAX; n++)
        strbuf_append_char(&input, 'x');
    strbuf_append_text(&input, "\r\n.\r\n");
    read_bytewise(input.data, input.len, INT64_MAX, &outcome);
    assert_int_equal(outcome.reader.fault, DATA_FAULT_NONE);
    assert_int_equal(outcome.reader.size_bytes, DATA_LINE_MAX + 2);
    strbuf_done(&outcome.out);
}

/* Random bytes of the alphabet that matters, one write against random cuts. */
static void test_random_cuts(void **state)
{
    static const char alphabet[] = { '\r', '\n', '.', 'a', '\0', '\r', '\n' };
    unsigned seed = 20261123;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        char input[24];
        struct outcome bytewise;
        struct outcome whole;
        for (size_t i = 0; i < sizeof input; i++) {
            seed = seed * 1103515245U + 12345U;
            input[i] = alphabet[(seed >> 16) % sizeof alphabet];
        }
        read_bytewise(input, sizeof input, INT64_MAX, &bytewise);
        read_cut(input, sizeof input, (seed >> 8) % sizeof input, INT64_MAX, &whole);
        assert_same(&whole, &bytewise);
        strbuf_done(&bytewise.out);
        strbuf_done(&whole.out);
    }
}

static unsigned draw(unsigned *seed, unsigned limit)
{
    *seed = *seed * 1103515245U + 12345U;
    return (*seed >> 16) % limit;
}

/* Mostly proper lines, which are read several at once when they come whole; bytewise they never do. One in eight has
   something in it that is not plain. */
static void append_random_line(struct strbuf *input, unsigned *seed)
{
    static const char *const oddities[] = {
        ".", "\r", "\n", "\xC3\xBC", "\r.\r\n", "..", "\r\n.\r"
    };
    size_t len = draw(seed, 16) == 0 ? DATA_LINE_MAX - 2 + draw(seed, 5) : draw(seed, 80);

    if (draw(seed, 8) == 0)
        strbuf_append_text(input, oddities[draw(seed, COUNT_OF(oddities))]);
    for (size_t i = 0; i < len; i++)
        strbuf_append_char(input, (char)('a' + i % 26));
    if (draw(seed, 64) == 0)
        strbuf_append(input, "", 1);
    strbuf_append_text(input, "\r\n");
}

static void test_random_lines(void **state)
{
    unsigned seed = 5321;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        AUTO_STRBUF struct strbuf input;
        struct outcome bytewise;
        struct outcome whole;
        strbuf_init(&input);
        for (unsigned lines = draw(&seed, 12); lines > 0; lines--)
            append_random_line(&input, &seed);
        strbuf_append_text(&input, ".\r\nNOOP\r\n");
        int64_t max = draw(&seed, 2) == 0 ? INT64_MAX : (int64_t)draw(&seed, 1200);
        read_bytewise(input.data, input.len, max, &bytewise);
        read_cut(input.data, input.len, draw(&seed, (unsigned)input.len), max, &whole);
        assert_same(&whole, &bytewise);
        strbuf_done(&bytewise.out);
        strbuf_done(&whole.out);
    }
}

/* Long enough that all of it is read in one piece, cut everywhere. */
static void test_plain_lines_in_every_cut(void **state)
{
    static const char input[] =
        "Subject: x\r\n\r\nLong enough for a block.\r\ngr\xC3\xBC\xC3\x9F\r\n.\r\n";
    struct outcome bytewise;

    (void)state;
    read_bytewise(input, sizeof input - 1, INT64_MAX, &bytewise);
    assert_true(data_reader_is_end(&bytewise.reader) && bytewise.reader.is_8bit);
    assert_int_equal(bytewise.reader.line, 5);
    assert_int_equal(bytewise.out.len, sizeof input - 1 - 3);
    for (size_t cut = 0; cut < sizeof input; cut++) {
        struct outcome whole;
        read_cut(input, sizeof input - 1, cut, INT64_MAX, &whole);
        assert_same(&whole, &bytewise);
        strbuf_done(&whole.out);
    }
    strbuf_done(&bytewise.out);
}

static void test_replies(void **state)
{
    static const struct reply_row {
        enum data_fault fault;
        unsigned code;
        const char *enhanced;
    } replies[] = {
        { DATA_FAULT_BARE_CR, 550, "5.6.11" },  { DATA_FAULT_BARE_LF, 550, "5.6.11" },
        { DATA_FAULT_NUL, 554, "5.6.0" },       { DATA_FAULT_LONG_LINE, 554, "5.6.0" },
        { DATA_FAULT_TOO_LARGE, 552, "5.3.4" },
    };

    (void)state;
    assert_int_equal(COUNT_OF(replies), DATA_FAULT_COUNT - 1);
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        const struct data_reader reader = { .fault = replies[i].fault, .line = 7 };
        struct refusal refusal = { 0 };
        assert_false(data_reader_check(&reader, &refusal));
        assert_int_equal(refusal.code, replies[i].code);
        assert_string_equal(refusal.enhanced, replies[i].enhanced);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_in_every_cut),
        cmocka_unit_test(test_beginnings_are_incomplete),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_stuffed_line_of_full_length),
        cmocka_unit_test(test_random_cuts),
        cmocka_unit_test(test_random_lines),
        cmocka_unit_test(test_plain_lines_in_every_cut),
        cmocka_unit_test(test_replies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
