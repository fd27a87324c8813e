/* The log: the form of lines, and that a reader who stops reading stops nobody else. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "strbuf.h"

enum { THREADS = 4, LINES_EACH = 100, QUEUE_MAX = 1024 };

struct output {
    int reader;
    int writer;
};

static struct output output_open(void)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    return (struct output){ fds[0], fds[1] };
}

static void output_close(struct output *output)
{
    (void)close(output->reader);
    (void)close(output->writer);
}

/* What is in the pipe now: after log_stop(), everything. */
static void output_read(const struct output *output, struct strbuf *ret_text)
{
    char buffer[65536];
    ssize_t n = 0;

    assert_int_equal(fcntl(output->reader, F_SETFL, O_NONBLOCK), 0);
    while ((n = read(output->reader, buffer, sizeof buffer)) > 0)
        strbuf_append(ret_text, buffer, (size_t)n);
}

static unsigned count_lines(const char *text)
{
    unsigned count = 0;

    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

/* Behind "2026-11-23T18:30:00.123Z ". */
static const char *behind_time(const char *line)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";

    for (size_t i = 0; form[i] != '\0'; i++) {
        if (form[i] == 'd')
            assert_in_range(line[i], '0', '9');
        else
            assert_int_equal(line[i], form[i]);
    }
    return line + strlen(form);
}

struct form_case {
    const char *name;
    enum log_level level;
    const char *queue_id;
    const char *value;
    const char *expected; /* NULL: nothing is written */
};

static const struct form_case form_cases[] = {
    { "plain", LOG_LEVEL_INFO, "Q1", "a@b.example", "info Q1 tested key=a@b.example\n" },
    { "no id", LOG_LEVEL_WARNING, NULL, "x", "warning - tested key=x\n" },
    { "error", LOG_LEVEL_ERROR, NULL, "x", "error - tested key=x\n" },
    { "too detailed", LOG_LEVEL_DEBUG, NULL, "x", NULL },
    { "absent", LOG_LEVEL_INFO, "Q1", NULL, "info Q1 tested\n" },
    { "empty", LOG_LEVEL_INFO, "Q1", "", "info Q1 tested key=\"\"\n" },
    { "words", LOG_LEVEL_INFO, "Q1", "250 2.0.0 ok", "info Q1 tested key=\"250 2.0.0 ok\"\n" },
    { "quotes", LOG_LEVEL_INFO, "Q1", "say \"hi\"", "info Q1 tested key=\"say \\\"hi\\\"\"\n" },
    { "forged line", LOG_LEVEL_INFO, "Q1", "a\r\n2026", "info Q1 tested key=a\\x0D\\x0A2026\n" },
    { "terminal command", LOG_LEVEL_INFO, "Q1", "\x1b[2J", "info Q1 tested key=\\x1B[2J\n" },
    { "format", LOG_LEVEL_INFO, "Q1", "%n%s%x", "info Q1 tested key=%n%s%x\n" },
};

static void test_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof form_cases / sizeof form_cases[0]; i++) {
        const struct form_case *row = &form_cases[i];
        struct output output = output_open();
        AUTO_STRBUF struct strbuf text;
        struct error err;

        strbuf_init(&text);
        assert_true(log_start(output.writer, LOG_LEVEL_INFO, &err));
        log_event(row->level, row->queue_id, "tested", "key", row->value, NULL);
        log_stop();
        output_read(&output, &text);
        if (row->expected == NULL)
            assert_int_equal(text.len, 0);
        else if (strcmp(behind_time(text.data), row->expected) != 0)
            fail_msg("%s: got: %s", row->name, text.data);
        output_close(&output);
    }
}

static void test_free_words_and_cut(void **state)
{
    struct output output = output_open();
    AUTO_STRBUF struct strbuf text;
    struct error err;
    char long_value[5001];

    (void)state;
    strbuf_init(&text);
    memset(long_value, 'x', sizeof long_value - 1);
    long_value[sizeof long_value - 1] = '\0';
    assert_true(log_start(output.writer, LOG_LEVEL_DEBUG, &err));
    log_line(LOG_LEVEL_INFO, "config", "line %d\nof %s", 7, "FILE");
    log_line(LOG_LEVEL_INFO, "config", "%s", long_value);
    log_event(LOG_LEVEL_INFO, NULL, "tested", "key", long_value, NULL);
    log_stop();
    output_read(&output, &text);
    assert_string_equal(strtok(text.data, "\n") + 25, "info - config: line 7\\x0Aof FILE");
    assert_int_equal(strlen(strtok(NULL, "\n")), 25 + strlen("info - config: ") + 1000 + 3);
    assert_int_equal(strlen(strtok(NULL, "\n")), 25 + strlen("info - tested key=") + 1000 + 3);
    output_close(&output);
}

static void test_journal(void **state)
{
    struct output output = output_open();
    AUTO_STRBUF struct strbuf text;
    struct error err;
    struct stat status;
    char stream[64];

    (void)state;
    strbuf_init(&text);
    assert_int_equal(fstat(output.writer, &status), 0);
    (void)snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)status.st_dev,
                   (unsigned long long)status.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
    assert_true(log_start(output.writer, LOG_LEVEL_DEBUG, &err));
    log_event(LOG_LEVEL_ERROR, NULL, "a", NULL);
    log_event(LOG_LEVEL_WARNING, NULL, "b", NULL);
    log_event(LOG_LEVEL_INFO, NULL, "c", NULL);
    log_event(LOG_LEVEL_DEBUG, NULL, "d", NULL);
    log_stop();
    output_read(&output, &text);
    assert_string_equal(text.data, "<3>- a\n<4>- b\n<6>- c\n<7>- d\n");
    output_close(&output);

    /* Redirected to elsewhere: a number of another stream means nothing. */
    output = output_open();
    strbuf_clear(&text);
    assert_true(log_start(output.writer, LOG_LEVEL_DEBUG, &err));
    log_event(LOG_LEVEL_INFO, NULL, "c", NULL);
    log_stop();
    output_read(&output, &text);
    assert_string_equal(behind_time(text.data), "info - c\n");
    (void)unsetenv("JOURNAL_STREAM");
    output_close(&output);
}

static void *write_lines(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < LINES_EACH; i++)
        log_event(LOG_LEVEL_INFO, "Q", "tested", "key", "value", NULL);
    return NULL;
}

static void run_threads(void)
{
    pthread_t ids[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, write_lines, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(ids[i], NULL), 0);
}

static void test_many_threads(void **state)
{
    struct output output = output_open();
    AUTO_STRBUF struct strbuf text;
    struct error err;

    (void)state;
    strbuf_init(&text);
    assert_true(log_start(output.writer, LOG_LEVEL_INFO, &err));
    run_threads();
    log_stop();
    output_read(&output, &text);
    assert_int_equal(count_lines(text.data), THREADS * LINES_EACH);
    output_close(&output);
}

static void fill(const struct output *output)
{
    char zeros[4096] = { 0 };

    assert_int_equal(fcntl(output->writer, F_SETFL, O_NONBLOCK), 0);
    while (write(output->writer, zeros, sizeof zeros) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(output->writer, F_SETFL, 0), 0);
}

/* What the lines "dropped N lines" tell in all, and how many they are: one, or two when the writer woke up late. */
static unsigned sum_dropped(const char *text, unsigned *ret_lines)
{
    static const char words[] = "- log dropped ";
    unsigned sum = 0;

    *ret_lines = 0;
    while ((text = strstr(text, words)) != NULL) {
        text += sizeof words - 1;
        sum += (unsigned)strtoul(text, NULL, 10);
        (*ret_lines)++;
    }
    return sum;
}

/* Nobody reads: callers go on, at most 1,024 lines wait, and when somebody reads again the number of those that were
   dropped is told. (The writer may hold one more line than the queue.) */
static void test_blocked_reader(void **state)
{
    static const unsigned line_count = QUEUE_MAX * 3;
    struct output output = output_open();
    AUTO_STRBUF struct strbuf text;
    struct error err;
    char buffer[65536];
    unsigned told = 0;

    (void)state;
    strbuf_init(&text);
    fill(&output);
    assert_true(log_start(output.writer, LOG_LEVEL_INFO, &err));
    for (unsigned i = 0; i < line_count; i++)
        log_event(LOG_LEVEL_INFO, "Q", "tested", NULL);
    while (strstr(text.data, "- log dropped ") == NULL || text.data[text.len - 1] != '\n') {
        ssize_t n = read(output.reader, buffer, sizeof buffer);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            if (buffer[i] != '\0')
                strbuf_append_char(&text, buffer[i]);
    }
    log_stop();
    output_read(&output, &text);
    unsigned dropped = sum_dropped(text.data, &told);
    assert_in_range(dropped, line_count - QUEUE_MAX - 1, line_count - QUEUE_MAX);
    assert_int_equal(count_lines(text.data) - told + dropped, line_count);
    output_close(&output);
}

/* Lines that waited are written together, in pieces that other writers to the pipe cannot get in between, and a line
   longer than a piece still comes whole. */
static void test_pieces(void **state)
{
    AUTO_STRBUF struct strbuf text;
    struct error err;
    char packet[65536];
    char value[1001];
    unsigned packets = 0;
    unsigned told = 0;
    ssize_t n = 0;

    (void)state;
    strbuf_init(&text);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    /* Each read gets what one write has written. */
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_DIRECT), 0);
    struct output output = { fds[0], fds[1] };
    fill(&output);
    assert_int_equal(fcntl(output.writer, F_SETFL, O_DIRECT), 0);
    assert_true(log_start(output.writer, LOG_LEVEL_INFO, &err));
    for (unsigned i = 0; i < LINES_EACH; i++)
        log_event(LOG_LEVEL_INFO, "Q", "tested", "key", "value", NULL);
    log_event(LOG_LEVEL_INFO, "Q", "long", "a", value, "b", value, "c", value, "d", value, "e",
              value, NULL);
    while (strstr(text.data, " e=") == NULL || text.data[text.len - 1] != '\n') {
        n = read(output.reader, packet, sizeof packet);
        assert_true(n > 0);
        if (packet[0] == '\0')
            continue; /* of what filled the pipe */
        assert_in_range(n, 1, PIPE_BUF);
        packets++;
        strbuf_append(&text, packet, (size_t)n);
        assert_true(strstr(text.data, "long") != NULL || packet[n - 1] == '\n');
    }
    log_stop();
    (void)sum_dropped(text.data, &told); /* by the test before, perhaps */
    assert_int_equal(count_lines(text.data) - told, LINES_EACH + 1);
    assert_non_null(strstr(text.data, value));
    /* At most two batches, because the first line may have been alone. */
    assert_in_range(packets - told, 2, text.len / PIPE_BUF + 4);
    output_close(&output);
}

/* The journal's kind: takes what it has room for. */
static void test_socket(void **state)
{
    struct error err;
    AUTO_STRBUF struct strbuf text;
    char buffer[65536];
    char value[1001];
    int fds[2];

    (void)state;
    strbuf_init(&text);
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_true(log_start(fds[1], LOG_LEVEL_INFO, &err));
    for (unsigned i = 0; i < QUEUE_MAX; i++)
        log_event(LOG_LEVEL_INFO, "Q", "tested", "key", value, NULL);
    while (count_lines(text.data) < QUEUE_MAX) {
        ssize_t n = read(fds[0], buffer, sizeof buffer);
        assert_true(n > 0);
        strbuf_append(&text, buffer, (size_t)n);
    }
    log_stop();
    assert_int_equal(text.len % QUEUE_MAX, 0);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void test_file(void **state)
{
    struct error err;
    FILE *file = tmpfile();
    char line[256];
    unsigned lines = 0;

    (void)state;
    assert_non_null(file);
    assert_true(log_start(fileno(file), LOG_LEVEL_INFO, &err));
    for (; lines < LINES_EACH; lines++) {
        (void)snprintf(line, sizeof line, "%u", lines);
        log_event(LOG_LEVEL_INFO, "Q", "tested", "number", line, NULL);
    }
    log_stop();
    rewind(file);
    for (lines = 0; fgets(line, sizeof line, file) != NULL; lines++) {
        const char *number = strstr(line, "number=");
        assert_non_null(number);
        assert_int_equal(strtoul(number + strlen("number="), NULL, 10), lines);
    }
    assert_int_equal(lines, LINES_EACH);
    (void)fclose(file);
}

/* A daemon that is told to stop stops, though its log is blocked. */
static void test_stop_while_blocked(void **state)
{
    struct output output = output_open();
    struct error err;

    (void)state;
    fill(&output);
    assert_true(log_start(output.writer, LOG_LEVEL_INFO, &err));
    for (unsigned i = 0; i < QUEUE_MAX; i++)
        log_event(LOG_LEVEL_INFO, "Q", "tested", NULL);
    int64_t before = clock_monotonic_ms();
    log_stop();
    assert_in_range(clock_monotonic_ms() - before, 0, 20000);
    output_close(&output);
}

/* A reader that went away costs lines, not the process. (main ignores SIGPIPE; a socket must not need that.) */
static void test_reader_gone(void **state)
{
    int fds[2];
    struct error err;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    (void)close(fds[0]);
    assert_true(log_start(fds[1], LOG_LEVEL_INFO, &err));
    log_event(LOG_LEVEL_INFO, "Q", "tested", NULL);
    log_stop();
    (void)close(fds[1]);
}

static void test_warnings_are_counted(void **state)
{
    struct output output = output_open();
    struct error err;
    unsigned before = log_warning_count();

    (void)state;
    assert_true(log_start(output.writer, LOG_LEVEL_ERROR, &err));
    log_event(LOG_LEVEL_INFO, NULL, "tested", NULL);
    log_event(LOG_LEVEL_WARNING, NULL, "tested", NULL); /* counts, though it is not shown */
    log_line(LOG_LEVEL_ERROR, "tested", "%s", "words");
    log_stop();
    assert_int_equal(log_warning_count() - before, 2);
    output_close(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_free_words_and_cut),
        cmocka_unit_test(test_journal),
        cmocka_unit_test(test_many_threads),
        cmocka_unit_test(test_blocked_reader),
        cmocka_unit_test(test_stop_while_blocked),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_socket),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_reader_gone),
        cmocka_unit_test(test_warnings_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
