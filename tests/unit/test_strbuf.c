/* Growing strings: always ended, never short. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "strbuf.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

static void test_appending(void **state)
{
    AUTO_STRBUF struct strbuf buf;

    (void)state;
    strbuf_init(&buf);
    assert_string_equal(buf.data, "");
    strbuf_append(&buf, "a\0b", 3);
    strbuf_append_text(&buf, "cd");
    strbuf_append_char(&buf, 'e');
    strbuf_append_format(&buf, "%d-%s", 42, "f");
    assert_int_equal(buf.len, 10);
    assert_memory_equal(buf.data, "a\0bcde42-f", 11);
    strbuf_append_texts(&buf, "g", "", "hi", NULL);
    assert_string_equal(buf.data + 10, "ghi");
    strbuf_append(&buf, NULL, 0);
    assert_int_equal(buf.len, 13);
}

static void test_growing_keeps_every_byte(void **state)
{
    AUTO_STRBUF struct strbuf buf;

    (void)state;
    strbuf_init(&buf);
    for (size_t i = 0; i < 100000; i++) {
        strbuf_append_char(&buf, (char)('a' + i % 26));
        assert_int_equal(buf.data[buf.len], '\0');
    }
    for (size_t i = 0; i < 100000; i++)
        assert_int_equal(buf.data[i], 'a' + i % 26);
    strbuf_append_format(&buf, "%5000s", "x");
    assert_int_equal(buf.len, 105000);
}

/* Formatted text that just fits, and that just does not. */
static void test_formats_of_every_length(void **state)
{
    (void)state;
    for (int len = 0; len < 300; len++) {
        AUTO_STRBUF struct strbuf buf;
        strbuf_init(&buf);
        strbuf_append_format(&buf, "a%*s", len, "b");
        strbuf_append_format(&buf, "%*s", len, "c");
        assert_int_equal(buf.len, strlen(buf.data));
        assert_int_equal(buf.len, 1 + 2 * (len > 0 ? len : 1));
        assert_int_equal(buf.data[len > 0 ? len : 1], 'b');
        assert_int_equal(buf.data[buf.len - 1], 'c');
    }
}

static void test_consuming(void **state)
{
    AUTO_STRBUF struct strbuf buf;

    (void)state;
    strbuf_init(&buf);
    strbuf_append_text(&buf, "hello world");
    strbuf_consume(&buf, 6);
    assert_string_equal(buf.data, "world");
    strbuf_consume(&buf, 0);
    assert_string_equal(buf.data, "world");
    strbuf_consume(&buf, 99);
    assert_string_equal(buf.data, "");
    assert_int_equal(buf.len, 0);
}

static void test_taking_leaves_an_empty_one(void **state)
{
    AUTO_STRBUF struct strbuf buf;
    size_t len = 0;

    (void)state;
    strbuf_init(&buf);
    strbuf_append_text(&buf, "mine");
    AUTO_FREE char *taken = strbuf_take(&buf, &len);
    assert_string_equal(taken, "mine");
    assert_int_equal(len, 4);
    strbuf_append_text(&buf, "new");
    assert_string_equal(buf.data, "new");
    strbuf_clear(&buf);
    assert_string_equal(buf.data, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appending),
        cmocka_unit_test(test_growing_keeps_every_byte),
        cmocka_unit_test(test_formats_of_every_length),
        cmocka_unit_test(test_consuming),
        cmocka_unit_test(test_taking_leaves_an_empty_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
