/* Line ends, lone dots, limits; the same result whatever pieces the input comes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Before cmocka.h, which has a macro fail. */
#include "error.h"

#include <cmocka.h>

#include "cleanup.h"
#include "message_input.h"
#include "strbuf.h"

static const struct {
    const char *name;
    const char *text;
    bool ends_at_dot;
    const char *read;
} rows[] = {
    {"nothing",                  "",                    true,  ""                               },
    { "LF",                      "a\nb\n",              true,  "a\r\nb\r\n"                     },
    { "CRLF",                    "a\r\nb\r\n",          true,  "a\r\nb\r\n"                     },
    { "CR",                      "a\rb\r",              true,  "a\r\nb\r\n"                     },
    { "mixed",                   "a\r\n\nb\r\r\n\n\rc", true,  "a\r\n\r\nb\r\n\r\n\r\n\r\nc\r\n"},
    { "no end of the last line", "a\nb",                true,  "a\r\nb\r\n"                     },
    { "dot ends",                "a\n.\nb\n",           true,  "a\r\n"                          },
    { "dot ends, CRLF",          "a\r\n.\r\nb\r\n",     true,  "a\r\n"                          },
    { "dot ends, CR",            "a\r.\rb\r",           true,  "a\r\n"                          },
    { "dot at the very start",   ".\nb\n",              true,  ""                               },
    { "dot as the last byte",    "a\n.",                true,  "a\r\n"                          },
    { "dot stays with -i",       "a\n.\nb\n",           false, "a\r\n.\r\nb\r\n"                },
    { "dots that are not alone", "..\n.a\na.\n. \nb\n", true,  "..\r\n.a\r\na.\r\n. \r\nb\r\n"  },
};

/* From a file without a name that holds the text. */
static bool read_text(const char *text, size_t len, bool ends_at_dot, int64_t size_max,
                      struct message_input *input, struct error *err)
{
    char name[] = "/tmp/test_message_input.XXXXXX";
    AUTO_CLOSE int fd = mkstemp(name);

    assert_true(fd >= 0);
    (void)unlink(name);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return message_input_read(fd, ends_at_dot, size_max, input, err);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct message_input input;
        struct error err;
        assert_true(
            read_text(rows[i].text, strlen(rows[i].text), rows[i].ends_at_dot, 1000, &input, &err));
        if (strcmp(input.head.data, rows[i].read) != 0)
            fail_msg("%s: read %s", rows[i].name, input.head.data);
        assert_int_equal(input.size_bytes, strlen(rows[i].read));
        message_input_done(&input);
    }
}

static bool append(const char *bytes, size_t len, void *ctx)
{
    strbuf_append(ctx, bytes, len);
    return true;
}

/* The pieces in which input is read end anywhere: shift every pattern across the border. */
static void test_piece_borders(void **state)
{
    enum { PIECE = 64 * 1024 };
    static const char tail[] = "\r\n.x\r\n..\r\n\n.\nrest";
    static const char expected_tail[] = "\r\n.x\r\n..\r\n\r\n";

    (void)state;
    for (size_t shift = 0; shift < sizeof tail; shift++) {
        AUTO_STRBUF struct strbuf text;
        AUTO_STRBUF struct strbuf got;
        struct message_input input;
        struct error err;
        strbuf_init(&text);
        strbuf_init(&got);
        for (size_t i = 0; i < PIECE - shift; i++)
            strbuf_append_char(&text, 'a');
        strbuf_append_text(&text, tail);
        assert_true(read_text(text.data, text.len, true, 1 << 20, &input, &err));
        assert_true(message_input_replay(&input, PIECE - shift, append, &got));
        assert_string_equal(got.data, expected_tail);
        message_input_done(&input);
    }
}

static void test_long_message_goes_to_a_file(void **state)
{
    enum { LINES = 60000, LINE = 50 };
    AUTO_STRBUF struct strbuf text;
    AUTO_STRBUF struct strbuf got;
    struct message_input input;
    struct error err;

    (void)state;
    strbuf_init(&text);
    strbuf_init(&got);
    for (int i = 0; i < LINES; i++)
        strbuf_append_format(&text, "%0*d\r\n", LINE - 2, i);
    assert_true(read_text(text.data, text.len, true, 10 << 20, &input, &err));
    assert_true(input.rest_fd >= 0);
    assert_true(input.head.len <= MESSAGE_INPUT_MEMORY);
    assert_true(message_input_replay(&input, 100, append, &got));
    assert_int_equal(got.len, text.len - 100);
    assert_memory_equal(got.data, text.data + 100, got.len);
    message_input_done(&input);
}

static void test_limits(void **state)
{
    struct message_input input;
    struct error err;

    (void)state;
    assert_true(read_text("12345678", 8, true, 10, &input, &err));
    assert_false(input.is_8bit);
    message_input_done(&input);
    assert_false(read_text("123456789", 9, true, 10, &input, &err));
    assert_int_equal(err.code, ERROR_PROTOCOL);
    assert_false(message_input_read(-1, true, 10, &input, &err));
    assert_int_equal(err.code, ERROR_IO);
    assert_true(read_text("\xc3\xa9", 2, true, 10, &input, &err));
    assert_true(input.is_8bit);
    message_input_done(&input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_piece_borders),
        cmocka_unit_test(test_long_message_goes_to_a_file),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
