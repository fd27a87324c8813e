/* Dot-stuffing at every split, and the pump that feeds the output. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "body.h"
#include "cleanup.h"
#include "strbuf.h"
#include "xalloc.h"

static const struct {
    const char *name;
    const char *in;
    const char *out; /* NULL: damaged */
} rows[] = {
    { "empty", "", ".\r\n" },
    { "one line", "a\r\n", "a\r\n.\r\n" },
    { "no end of line", "a", "a\r\n.\r\n" },
    { "a dot", ".\r\n", "..\r\n.\r\n" },
    { "a dot, no end", ".", "..\r\n.\r\n" },
    { "two dots", "..\r\n", "...\r\n.\r\n" },
    { "dots within", "a.b.\r\n.c\r\n", "a.b.\r\n..c\r\n.\r\n" },
    { "dots in each line", ".\r\n.\r\n.a\r\n", "..\r\n..\r\n..a\r\n.\r\n" },
    { "empty lines", "\r\n\r\n.\r\n\r\n", "\r\n\r\n..\r\n\r\n.\r\n" },
    { "8-bit", "\xff\x80.\r\n", "\xff\x80.\r\n.\r\n" },
    { "LF alone", "a\nb\r\n", NULL },
    { "LF at once", "\n", NULL },
    { "CR alone", "a\rb\r\n", NULL },
    { "CR at the end", "a\r\n\r", NULL },
    { "CR CR LF", "a\r\r\n", NULL },
    { "LF, dot, LF", "a\n.\nb\r\n", NULL },
    { "LF, dot, CRLF", "a\n.\r\nb\r\n", NULL },
};

/* Cut into three pieces, at a and b. */
static bool stuff(const char *in, size_t a, size_t b, struct strbuf *out)
{
    struct dot_stuffer stuffer = { 0 };
    char bytes[1024];
    char end[DOT_STUFFER_END_MAX];
    size_t len = strlen(in);
    const size_t cuts[] = { 0, a, b, len };

    for (size_t i = 0; i + 1 < COUNT_OF(cuts); i++) {
        size_t piece = cuts[i + 1] - cuts[i];
        size_t stuffed = 0;
        assert_true(dot_stuffer_room(piece) <= sizeof bytes);
        if (!dot_stuffer_run(&stuffer, in + cuts[i], piece, bytes, &stuffed))
            return false;
        assert_true(stuffed <= dot_stuffer_room(piece));
        strbuf_append(out, bytes, stuffed);
    }
    size_t stuffed = 0;
    if (!dot_stuffer_end(&stuffer, end, &stuffed))
        return false;
    strbuf_append(out, end, stuffed);
    return true;
}

static void test_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t len = strlen(rows[i].in);
        print_message("%s\n", rows[i].name);
        for (size_t a = 0; a <= len; a++) {
            for (size_t b = a; b <= len; b++) {
                AUTO_STRBUF struct strbuf out;
                strbuf_init(&out);
                bool is_whole = stuff(rows[i].in, a, b, &out);
                assert_int_equal(is_whole, rows[i].out != NULL);
                if (is_whole)
                    assert_string_equal(out.data, rows[i].out);
            }
        }
    }
}

/* --- Against a stuffer that looks at each byte --- */

/* False: there is a bare CR or LF. */
static bool stuff_plainly(const char *in, size_t len, struct strbuf *out)
{
    char last = '\n';

    for (size_t i = 0; i < len; i++) {
        bool is_at_start = last == '\n';
        if ((last == '\r') != (in[i] == '\n'))
            return false;
        if (is_at_start && in[i] == '.')
            strbuf_append_char(out, '.');
        strbuf_append_char(out, in[i]);
        last = in[i];
    }
    if (last == '\r')
        return false;
    strbuf_append_text(out, last == '\n' ? ".\r\n" : "\r\n.\r\n");
    return true;
}

/* Words over an alphabet that makes lines, dots at their beginning, long runs and, now and then, damage. */
static void random_text(unsigned *seed, struct strbuf *text)
{
    static const char *const words[] = { "\r\n",
                                         "\r\n",
                                         "\r\n.",
                                         ".",
                                         "a",
                                         "bcd\r\n..",
                                         "a run longer than any vector register is wide, quite",
                                         "\r\n.\r\n",
                                         "\xff" };
    static const char *const damage[] = { "\r", "\n", "\r\r\n", "\n." };
    unsigned count = (unsigned)rand_r(seed) % 9;

    strbuf_clear(text);
    for (unsigned i = 0; i < count; i++) {
        bool is_damaged = rand_r(seed) % 40 == 0;
        strbuf_append_text(text, is_damaged ? damage[(size_t)rand_r(seed) % COUNT_OF(damage)]
                                            : words[(size_t)rand_r(seed) % COUNT_OF(words)]);
    }
}

static void check_all_splits(const struct strbuf *text, const struct strbuf *expected, bool is_good)
{
    AUTO_STRBUF struct strbuf out;

    strbuf_init(&out);
    for (size_t a = 0; a <= text->len; a++) {
        for (size_t b = a; b <= text->len; b++) {
            strbuf_clear(&out);
            assert_int_equal(stuff(text->data, a, b, &out), is_good);
            if (is_good)
                assert_string_equal(out.data, expected->data);
        }
    }
}

static void test_random_texts_at_every_split(void **state)
{
    AUTO_STRBUF struct strbuf text;
    AUTO_STRBUF struct strbuf expected;
    unsigned seed = 4711;
    unsigned damaged = 0;

    (void)state;
    strbuf_init(&text);
    strbuf_init(&expected);
    for (unsigned i = 0; i < 500; i++) {
        random_text(&seed, &text);
        strbuf_clear(&expected);
        bool is_good = stuff_plainly(text.data, text.len, &expected);
        damaged += !is_good;
        check_all_splits(&text, &expected, is_good);
    }
    assert_in_range(damaged, 20, 200);
}

/* --- The pump --- */

static void count_end(void *ctx)
{
    (*(unsigned *)ctx)++;
}

/* Line number n of a message, of varying length, every third with a dot in front. */
static void add_line(struct strbuf *text, unsigned n)
{
    strbuf_append_format(text, "%s%u %.*s\r\n", n % 3 == 0 ? "." : "", n, (int)(n % 61),
                         "................................................................");
}

static void unstuff(const char *bytes, size_t len, struct strbuf *ret_text)
{
    const char *end = bytes + len;

    while (bytes < end) {
        const char *next = memmem(bytes, (size_t)(end - bytes), "\r\n", 2);
        assert_non_null(next);
        next += 2;
        if (next - bytes == 3 && bytes[0] == '.') {
            assert_ptr_equal(next, end);
            return;
        }
        if (bytes[0] == '.')
            bytes++;
        strbuf_append(ret_text, bytes, (size_t)(next - bytes));
        bytes = next;
    }
    fail_msg("no final dot");
}

/* Sends text in chunks to a peer that takes `gulp` bytes at a time; checks the bound and what arrives. */
static void pump(const struct strbuf *text, size_t chunk_size, size_t gulp)
{
    AUTO_STRBUF struct strbuf output;
    AUTO_STRBUF struct strbuf received;
    AUTO_STRBUF struct strbuf unstuffed;
    struct body body;
    unsigned ends = 0;
    uint32_t wanted = 0;
    uint32_t asked = 0;
    uint32_t count = (uint32_t)((text->len + chunk_size - 1) / chunk_size);
    enum body_status status = BODY_FULL;

    strbuf_init(&output);
    strbuf_init(&received);
    strbuf_init(&unstuffed);
    body_begin(&body, count, NULL);
    while (status != BODY_DONE || output.len > 0) {
        while (body_wants(&body, &wanted)) {
            assert_int_equal(wanted, asked++);
            size_t from = wanted * chunk_size;
            size_t len = text->len - from < chunk_size ? text->len - from : chunk_size;
            body_chunk(&body, blob_copy(text->data + from, len));
        }
        if (status != BODY_DONE)
            status = body_fill(&body, &output, count_end, &ends);
        assert_int_not_equal(status, BODY_DAMAGED);
        assert_true(output.len <=
                    BODY_QUEUED_MAX + dot_stuffer_room(BODY_SLICE_MAX) + DOT_STUFFER_END_MAX);
        size_t taken = output.len < gulp ? output.len : gulp;
        strbuf_append(&received, output.data, taken);
        strbuf_consume(&output, taken);
    }
    assert_int_equal(asked, count);
    assert_int_equal(ends, 1);
    unstuff(received.data, received.len, &unstuffed);
    assert_int_equal(unstuffed.len, text->len);
    assert_memory_equal(unstuffed.data, text->data, text->len);
    body_end(&body);
}

static void test_pump(void **state)
{
    AUTO_STRBUF struct strbuf text;

    (void)state;
    strbuf_init(&text);
    for (unsigned n = 0; n < 20000; n++)
        add_line(&text, n);
    pump(&text, 262144, 65536);
    pump(&text, 262144, 4093);
    pump(&text, 65536, 16384);
    pump(&text, 9973, 16384);
}

/* Room is made once for a small message and its end, even if each of its lines is a dot. */
static void test_small_message_is_moved_once(void **state)
{
    enum { LINES = 333, LEN = 3 * LINES };
    AUTO_STRBUF struct strbuf text;
    AUTO_STRBUF struct strbuf output;
    struct body body;
    unsigned ends = 0;

    (void)state;
    strbuf_init(&text);
    strbuf_init(&output);
    for (unsigned i = 0; i < LINES; i++)
        strbuf_append_text(&text, ".\r\n");
    struct blob *whole = blob_copy(text.data, text.len);
    body_begin(&body, 1, whole);
    blob_unref(whole);
    assert_int_equal(body_fill(&body, &output, count_end, &ends), BODY_DONE);
    assert_int_equal(output.len, LEN + LINES + strlen(".\r\n"));
    assert_int_equal(output.capacity, dot_stuffer_room(LEN) + DOT_STUFFER_END_MAX + 1);
    body_end(&body);
}

static void test_nothing_of_the_end_of_a_damaged_one(void **state)
{
    AUTO_STRBUF struct strbuf output;
    struct blob *whole = blob_copy("a\r\nb\nc\r\n", 8);
    struct body body;
    unsigned ends = 0;

    (void)state;
    strbuf_init(&output);
    body_begin(&body, 1, whole);
    blob_unref(whole);
    assert_int_equal(body_fill(&body, &output, count_end, &ends), BODY_DAMAGED);
    assert_int_equal(ends, 0);
    assert_int_equal(output.len, 0);
    body_end(&body);
}

static void test_hungry_until_the_chunk_comes(void **state)
{
    AUTO_STRBUF struct strbuf output;
    struct body body;
    unsigned ends = 0;
    uint32_t index = 9;

    (void)state;
    strbuf_init(&output);
    body_begin(&body, 2, NULL);
    assert_true(body_wants(&body, &index));
    assert_int_equal(index, 0);
    assert_false(body_wants(&body, &index));
    assert_int_equal(body_fill(&body, &output, count_end, &ends), BODY_HUNGRY);
    body_chunk(&body, blob_copy("a", 1));
    assert_true(body_wants(&body, &index)); /* ahead, while the first goes out */
    assert_int_equal(index, 1);
    assert_int_equal(body_fill(&body, &output, count_end, &ends), BODY_HUNGRY);
    body_chunk(&body, blob_copy("\r\n", 2));
    assert_int_equal(body_fill(&body, &output, count_end, &ends), BODY_DONE);
    assert_int_equal(output.len, strlen("a\r\n.\r\n"));
    body_end(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_random_texts_at_every_split),
        cmocka_unit_test(test_pump),
        cmocka_unit_test(test_small_message_is_moved_once),
        cmocka_unit_test(test_nothing_of_the_end_of_a_damaged_one),
        cmocka_unit_test(test_hungry_until_the_chunk_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
