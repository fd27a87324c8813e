/* What may be shown, and what UTF-8 is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "escape.h"
#include "strbuf.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

static void test_escaped_texts(void **state)
{
    static const struct {
        const char *text;
        const char *escaped;
    } rows[] = {
        { "", "" },
        { "plain ~text", "plain ~text" },
        { "a\\b", "a\\\\b" },
        { "\r\n\t", "\\x0D\\x0A\\x09" },
        { "\x1B[31m\x7F", "\\x1B[31m\\x7F" },
        { "gr\xC3\xBC\xC3\x9F", "gr\xC3\xBC\xC3\x9F" },
        { "\xF0\x9F\x93\xA7", "\xF0\x9F\x93\xA7" },
        { "\xC2\x9B", "\\xC2\\x9B" },          /* C1: CSI of old terminals */
        { "\xE2\x80\xAE", "\\xE2\\x80\\xAE" }, /* right-to-left override */
        { "\xE2\x81\xA6", "\\xE2\\x81\\xA6" }, /* left-to-right isolate */
        { "\xE2\x80\x8E", "\\xE2\\x80\\x8E" }, /* left-to-right mark */
        { "\xE2\x80\xA8", "\\xE2\\x80\\xA8" }, /* line separator */
        { "\xFF\xFE", "\\xFF\\xFE" },
        { "\xC0\xAF", "\\xC0\\xAF" },                   /* overlong '/' */
        { "\xED\xA0\x80", "\\xED\\xA0\\x80" },          /* surrogate */
        { "\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80" }, /* above U+10FFFF */
        { "\xC3", "\\xC3" },
        { "\xE2\x82", "\\xE2\\x82" },
        { "\xE2\x82x", "\\xE2\\x82x" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_FREE char *escaped = escape_text(rows[i].text);
        assert_string_equal(escaped, rows[i].escaped);
    }
}

static void test_nul_is_a_byte_like_others(void **state)
{
    AUTO_STRBUF struct strbuf buf;

    (void)state;
    strbuf_init(&buf);
    escape_append(&buf, "a\0b", 3);
    assert_string_equal(buf.data, "a\\x00b");
}

/* Whatever goes in: valid UTF-8 without control bytes comes out, and different input gives different output. */
static void test_any_two_bytes(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        const unsigned char bytes[2] = { (unsigned char)(pair >> 8), (unsigned char)pair };
        AUTO_STRBUF struct strbuf buf;
        strbuf_init(&buf);
        escape_append(&buf, bytes, sizeof bytes);
        assert_true(utf8_is_valid(buf.data, buf.len));
        for (size_t i = 0; i < buf.len; i++)
            assert_true((unsigned char)buf.data[i] >= 0x20 && buf.data[i] != 0x7F);
    }
}

/* What needs a closer look is found wherever it stands among bytes that are taken in runs or blocks. */
static void test_one_byte_anywhere(void **state)
{
    char text[100];

    (void)state;
    for (size_t len = 1; len < sizeof text; len++) {
        for (size_t at = 0; at < len; at++) {
            AUTO_STRBUF struct strbuf buf;
            strbuf_init(&buf);
            (void)memset(text, 'x', len);
            assert_true(bytes_are_ascii(text, len));
            text[at] = '\x80';
            assert_false(bytes_are_ascii(text, len));
            assert_false(utf8_is_valid(text, len));
            escape_append(&buf, text, len);
            assert_int_equal(buf.len, len + 3);
            assert_memory_equal(buf.data + at, "\\x80", 4);
            assert_int_equal(strspn(buf.data, "x"), at);
            assert_int_equal(strspn(buf.data + at + 4, "x"), len - at - 1);
        }
    }
}

static void test_utf8_validity(void **state)
{
    (void)state;
    assert_true(utf8_is_valid("", 0));
    assert_true(utf8_is_valid("a\0b", 3));
    assert_true(utf8_is_valid("\xEF\xBF\xBF\xF4\x8F\xBF\xBF", 7));
    assert_false(utf8_is_valid("\xE0\x80\x80", 3));
    assert_false(utf8_is_valid("\xF0\x8F\xBF\xBF", 4));
    assert_false(utf8_is_valid("\x80", 1));
    assert_false(utf8_is_valid("\xC3\xBC", 1));
    assert_true(bytes_are_ascii("abc\x7F", 4));
    assert_false(bytes_are_ascii("a\x80", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escaped_texts), cmocka_unit_test(test_nul_is_a_byte_like_others),
        cmocka_unit_test(test_any_two_bytes), cmocka_unit_test(test_one_byte_anywhere),
        cmocka_unit_test(test_utf8_validity),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
