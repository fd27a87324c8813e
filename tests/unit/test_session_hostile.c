/* Smarthosts that fall silent, babble, or never end; and stopping in the midst of it. */
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "delivery_fixture.h"
#include "delivery_rows.h"
#include "strbuf.h"
#include "xalloc.h"

static const struct trial_message one = { .recipients = "a@x" };

/* A good dialogue; each test spoils one of its rows. */
static const struct fake_row good[] = { GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                        DATA_OK,  DOT_OK,      QUIT,    FAKE_END };
enum { ROW_GREETING, ROW_EHLO, ROW_MAIL, ROW_RCPT, ROW_DATA, ROW_DOT, ROW_QUIT, ROW_COUNT };
static const char *const stages[] = { "connect", "ehlo", "mail", "rcpt", "data", "end-of-data" };

/* The dialogue up to a row, which then says and does something else. */
static void spoil(struct fake_row script[static ROW_COUNT + 1], size_t at, const char *reply,
                  enum fake_then then)
{
    (void)memcpy(script, good, sizeof good);
    script[at].reply = reply;
    script[at].then = then;
    script[at + 1] = (struct fake_row)FAKE_END;
}

static struct trial *begin(const struct fake_row *script, unsigned step_ms)
{
    static const struct fake_row *scripts[2];
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = "tls = \"none\";",
                                     .step_ms = step_ms };

    scripts[0] = script;
    return trial_new(&options);
}

/* Before the dot it is trouble of this class, after it nobody knows; after the 250 it does not matter. */
static void check_spoilt(const struct delivery_order *order, size_t at, const char *class)
{
    AUTO_FREE char *before =
        xasprintf("a@x untried; trouble %s at %s", class, at < COUNT_OF(stages) ? stages[at] : "");
    AUTO_FREE char *after = xasprintf("a@x in-doubt; trouble connect-failed at end-of-data");

    check_outcome(order, at < ROW_DOT ? before : at == ROW_DOT ? after : "a@x done 250");
}

/* --- Replies that are none --- */

static const struct {
    const char *name;
    const char *reply;
    enum fake_then then;
} nonsense[] = {
    { "garbage", "mooo\r\n", FAKE_STALL },
    { "binary", "\x80\x81\x82\x83", FAKE_STALL },
    { "mixed codes", "250-a\r\n550 b\r\n", FAKE_STALL },
    { "LF alone", "250 ok\n", FAKE_STALL },
    { "HTTP", "HTTP/1.1 200 OK\r\n\r\n", FAKE_STALL },
    { "a code of no class", "650 ok\r\n", FAKE_STALL },
    { "an endless line", "250 xxxxxxxxxxxxxxxxxxxxxxxx", FAKE_REPEAT },
    { "an endless reply", "250-xxxxxxxxxxxxxxxxxxxxxx\r\n", FAKE_REPEAT },
    { "an endless first word", "2", FAKE_REPEAT },
};

static void test_nonsense(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(nonsense); i++) {
        print_message("%s\n", nonsense[i].name);
        for (size_t at = 0; at < ROW_COUNT; at++) {
            struct fake_row script[ROW_COUNT + 1];
            spoil(script, at, nonsense[i].reply, nonsense[i].then);
            struct trial *trial = begin(script, 0);
            check_spoilt(trial_run(trial, &one), at, "protocol-error");
            trial_end(trial);
        }
    }
}

/* --- Replies of the wrong kind, and too many of them --- */

static const struct {
    size_t at;
    const char *reply;
    const char *outcome;
} misplaced[] = {
    { ROW_GREETING, "354 go\r\n", "a@x untried; trouble protocol-error at connect" },
    { ROW_GREETING, "220 one\r\n220 two\r\n", "a@x untried; trouble protocol-error at ehlo" },
    { ROW_EHLO, "354 go\r\n", "a@x untried; trouble protocol-error at ehlo" },
    { ROW_EHLO, "250 a\r\n250 b\r\n", "a@x untried; trouble protocol-error at mail" },
    { ROW_MAIL, "354 go\r\n", "a@x untried; trouble protocol-error at mail" },
    { ROW_MAIL, "250 a\r\n250 b\r\n", "a@x untried; trouble protocol-error at rcpt" },
    { ROW_RCPT, "354 go\r\n", "a@x untried; trouble protocol-error at rcpt" },
    { ROW_RCPT, "250 a\r\n354 b\r\n", "a@x untried; trouble protocol-error at data" },
    { ROW_DATA, "250 ok\r\n", "a@x untried; trouble protocol-error at data" },
    { ROW_DOT, "354 go on\r\n", "a@x in-doubt; trouble connect-failed at end-of-data" },
    { ROW_DOT, "250 ok\r\n250 again\r\n", "a@x done 250" },
    { ROW_DOT, "250 ok\r\nmooo", "a@x done 250" },
};

static void test_misplaced(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(misplaced); i++) {
        struct fake_row script[ROW_COUNT + 1];
        print_message("%s", misplaced[i].reply);
        spoil(script, misplaced[i].at, misplaced[i].reply, FAKE_STALL);
        struct trial *trial = begin(script, 0);
        check_outcome(trial_run(trial, &one), misplaced[i].outcome);
        trial_end(trial);
    }
}

/* 250 while the body is still on its way: it can't be meant. */
static void test_premature_success(void **state)
{
    struct fake_row script[ROW_COUNT + 1];
    struct trial_message message = { .body = "Subject: x\r\n\r\nx\r\n",
                                     .chunk_size = 4,
                                     .is_spool_dead = true };

    (void)state;
    spoil(script, ROW_DATA, "354 go\r\n250 got it\r\n", FAKE_STALL);
    struct trial *trial = begin(script, 0);
    check_outcome(trial_run(trial, &message), "a@x untried; trouble protocol-error at end-of-data");
    trial_end(trial);
}

/* A reply that comes while the message, its dot included, still waits to be sent. No success can be meant; a refusal
   is believed, but what waits must not follow it: the smarthost would take the lines of the message for commands. */
static const struct {
    const char *name;
    const char *replies; /* to DATA */
    const char *outcome;
} premature[] = {
    { "250", "354 go\r\n250 got it\r\n", "a@x untried; trouble protocol-error at end-of-data" },
    { "554", "354 go\r\n554 5.6.0 content refused\r\n", "a@x refused 554 data-error" },
    { "451", "354 go\r\n451 4.3.0 later\r\n",
      "a@x untried; trouble server-trouble at end-of-data 451" },
    { "421", "354 go\r\n421 4.3.2 closing\r\n",
      "a@x untried; trouble server-trouble at end-of-data 421" },
    { "354", "354 go\r\n354 go\r\n", "a@x untried; trouble protocol-error at end-of-data" },
};

static void test_reply_before_the_dot_is_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(premature); i++) {
        struct fake_row script[ROW_COUNT + 1];
        print_message("%s\n", premature[i].name);
        spoil(script, ROW_DATA, premature[i].replies, FAKE_GO_ON);
        script[ROW_DATA + 1] = (struct fake_row){ "*", NULL, FAKE_CLOSE };
        struct trial *trial = begin(script, 0);
        check_outcome(trial_run(trial, &one), premature[i].outcome);
        trial_stop(trial, 1000);
        fake_smarthost_stop(trial_fake(trial));
        assert_null(strstr(fake_smarthost_heard(trial_fake(trial)), "Subject"));
        assert_null(strstr(fake_smarthost_heard(trial_fake(trial)), "RSET"));
        trial_end(trial);
    }
}

/* --- Silence --- */

static void test_silence(void **state)
{
    (void)state;
    for (size_t at = 0; at < ROW_QUIT; at++) {
        struct fake_row script[ROW_COUNT + 1];
        print_message("after row %zu\n", at);
        spoil(script, at, NULL, FAKE_STALL);
        struct trial *trial = begin(script, 60);
        struct delivery_order *order = trial_run(trial, &one);
        check_spoilt(order, at, "connect-failed");
        assert_non_null(strstr(order->trouble_text, "no answer within"));
        assert_false(order->is_session_open);
        trial_end(trial);
    }
}

static void test_resets(void **state)
{
    (void)state;
    for (size_t at = 0; at < ROW_QUIT; at++) {
        struct fake_row script[ROW_COUNT + 1];
        spoil(script, at, NULL, FAKE_RESET);
        struct trial *trial = begin(script, 0);
        check_spoilt(trial_run(trial, &one), at, "connect-failed");
        trial_end(trial);
    }
}

/* Each step answers in time, and still there is an end: here the whole is cut while a step may go on. */
static void test_deadline(void **state)
{
    static const struct fake_row *scripts[2];
    struct fake_row script[ROW_COUNT + 1];
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = "tls = \"none\";",
                                     .deadline_ms = 80 };

    (void)state;
    for (size_t at = 0; at < ROW_DOT; at++) {
        spoil(script, at, NULL, FAKE_STALL);
        scripts[0] = script;
        struct trial *trial = trial_new(&options);
        struct delivery_order *order = trial_run(trial, &one);
        check_spoilt(order, at, "connect-failed");
        assert_non_null(strstr(order->trouble_text, "gave up after"));
        trial_end(trial);
    }
}

/* The verdict on a message that was sent is waited for, whatever the order took before: cutting that makes duplicates. */
static void test_deadline_spares_the_dot(void **state)
{
    static const struct fake_row *scripts[2];
    struct fake_row script[ROW_COUNT + 1];
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = "tls = \"none\";",
                                     .step_ms = 1600,
                                     .deadline_ms = 1500 };

    (void)state;
    spoil(script, ROW_DOT, NULL, FAKE_STALL);
    scripts[0] = script;
    struct trial *trial = trial_new(&options);
    struct delivery_order *order = trial_run(trial, &one);
    check_spoilt(order, ROW_DOT, "connect-failed");
    assert_non_null(strstr(order->trouble_text, "no answer within"));
    trial_end(trial);
}

/* Its time is far shorter than that of the steps before it: the timer must not sleep on. */
static void test_idle_session_says_quit(void **state)
{
    static const struct fake_row *const scripts[] = { good, good, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = "tls = \"none\";",
                                     .idle_ms = 20 };
    struct trial *trial = trial_new(&options);

    (void)state;
    for (unsigned i = 1; i <= 2; i++) {
        check_outcome(trial_run(trial, &one), "a@x done 250");
        fake_smarthost_wait(trial_fake(trial), ROW_COUNT); /* QUIT is one of them */
    }
    fake_smarthost_stop(trial_fake(trial));
    assert_int_equal(fake_smarthost_connections(trial_fake(trial)), 2);
    trial_end(trial);
}

/* A smarthost that stops reading: memory stays bounded, and the block has its limit. */
static void test_window_closed(void **state)
{
    struct fake_row script[ROW_COUNT + 1];
    AUTO_STRBUF struct strbuf body;

    (void)state;
    strbuf_init(&body);
    for (unsigned i = 0; i < 300000; i++)
        strbuf_append_format(&body, "line %u of a message larger than any socket buffer\r\n", i);
    struct trial_message message = { .body = body.data, .chunk_size = 262144 };
    spoil(script, ROW_DATA, "354 go\r\n", FAKE_STALL);
    script[ROW_EHLO].reply = "250 no SIZE\r\n";
    struct trial *trial = begin(script, 200);
    struct delivery_order *order = trial_run(trial, &message);
    check_outcome(order, "a@x untried; trouble connect-failed at end-of-data");
    assert_non_null(strstr(order->trouble_text, "sending the body"));
    trial_end(trial);
}

/* --- No connection at all --- */

static void test_refused_connection(void **state)
{
    static const struct fake_row *const scripts[] = { NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .is_port_closed = true },
                                     .host = "127.0.0.1",
                                     .settings = "tls = \"none\";" };
    struct trial *trial = trial_new(&options);
    struct delivery_order *order = trial_run(trial, &one);

    (void)state;
    check_outcome(order, "a@x untried; trouble connect-failed at connect");
    assert_string_equal(order->trouble_text, "connect to 127.0.0.1: Connection refused");
    assert_null(order->host);
    trial_end(trial);
}

static void test_no_such_host(void **state)
{
    static const struct fake_row *const scripts[] = { NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .is_port_closed = true },
                                     .host = "256.256.256.256.invalid",
                                     .settings = "tls = \"starttls\";" };
    struct trial *trial = trial_new(&options);
    struct delivery_order *order = trial_run(trial, &one);

    (void)state;
    check_outcome(order, "a@x untried; trouble connect-failed at connect");
    assert_non_null(strstr(order->trouble_text, "256.256.256.256.invalid"));
    trial_end(trial);
}

/* --- Stopping --- */

static void test_stop_while_busy(void **state)
{
    (void)state;
    for (size_t at = 0; at < ROW_QUIT; at++) {
        struct fake_row script[ROW_COUNT + 1];
        spoil(script, at, NULL, FAKE_STALL);
        struct trial *trial = begin(script, 0);
        trial_start(trial, &one);
        fake_smarthost_wait(trial_fake(trial), (unsigned)at + 1);
        trial_stop(trial, 50);
        struct delivery_order *order = trial_wait(trial);
        assert_true(order->has_trouble);
        assert_int_equal(order->recipients[0].result,
                         at == ROW_DOT ? DELIVERY_IN_DOUBT : DELIVERY_UNTRIED);
        assert_string_equal(order->trouble_text, "outboxd is stopping");
        trial_end(trial);
    }
}

/* Whatever moment it is: every order comes back. */
static void test_stop_at_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        struct trial *trial = begin(good, 0);
        for (unsigned slot = 0; slot < 8; slot++) {
            struct trial_message message = { .slot = slot };
            trial_start(trial, &message);
        }
        trial_stop(trial, 0);
        for (unsigned slot = 0; slot < 8; slot++) {
            struct delivery_order *order = trial_wait(trial);
            assert_true(order->recipients[0].result == DELIVERY_UNTRIED ||
                        order->recipients[0].result == DELIVERY_IN_DOUBT ||
                        order->recipients[0].result == DELIVERY_DONE);
        }
        trial_end_whatever(trial);
    }
}

/* --- Several threads --- */

static void test_many_slots_on_two_threads(void **state)
{
    const struct fake_row *const scripts[] = {
        good, good, good, good, good, good, good, good, NULL
    };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = "tls = \"none\"; messages-per-connection = 1;",
                                     .threads = 2 };
    struct trial *trial = trial_new(&options);

    (void)state;
    for (unsigned slot = 0; slot < 8; slot++) {
        struct trial_message message = { .slot = slot };
        trial_start(trial, &message);
    }
    for (unsigned slot = 0; slot < 8; slot++)
        check_outcome(trial_wait(trial), "a@x done 250");
    trial_end(trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_misplaced),
        cmocka_unit_test(test_premature_success),
        cmocka_unit_test(test_reply_before_the_dot_is_sent),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_deadline_spares_the_dot),
        cmocka_unit_test(test_idle_session_says_quit),
        cmocka_unit_test(test_window_closed),
        cmocka_unit_test(test_refused_connection),
        cmocka_unit_test(test_no_such_host),
        cmocka_unit_test(test_stop_while_busy),
        cmocka_unit_test(test_stop_at_once),
        cmocka_unit_test(test_many_slots_on_two_threads),
    };

    return cmocka_run_group_tests(tests, delivery_fixture_set_up, delivery_fixture_tear_down);
}
