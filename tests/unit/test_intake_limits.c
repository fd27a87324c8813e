/* The limits of intake: what is too long, too large, too many or too slow. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <event2/event.h>
#include <signal.h>
#include <string.h>

#include "cleanup.h"
#include "strbuf.h"

#include "clock.h"
#include "intake.h"

#include "intake_client.h"
#include "intake_fixture.h"

static void test_thousand_recipients(void **state)
{
    AUTO_STRBUF struct strbuf input;
    AUTO_STRBUF struct strbuf replies;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&input);
    strbuf_init(&replies);
    strbuf_append_text(&input, EHLO MAIL);
    strbuf_append_text(&replies, GREETING EHLO_REPLY "250 2.1.0 ok\n");
    for (unsigned i = 0; i < 1002; i++) {
        strbuf_append_format(&input, "RCPT TO:<r%u@y.example>\r\n", i);
        strbuf_append_text(&replies, i < 1000 ? "250 2.1.5 ok\n" : "452 4.5.3 *\n");
    }
    strbuf_append_text(&input, "DATA\r\n" TEXT ".\r\n" QUIT);
    strbuf_append_text(&replies, "354 *\n" QUEUED BYE);
    client_open(&client, &fixture);
    client_send(&client, input.data, input.len);
    client_await_close(&client);
    client_expect(&client, replies.data);
    client_close(&client);
    assert_int_equal(fixture.last.recipient_count, 1000);
    assert_string_equal(fixture.last.recipients[999], "r999@y.example");
    fixture_close(&fixture);
}

static void append_many(struct strbuf *buf, char c, size_t count)
{
    for (size_t i = 0; i < count; i++)
        strbuf_append_char(buf, c);
}

static void test_line_limits(void **state)
{
    AUTO_STRBUF struct strbuf input;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&input);
    strbuf_append_text(&input, "NOOP ");
    append_many(&input, 'x', 4096 - 7);
    strbuf_append_text(&input, "\r\nNOOP ");
    append_many(&input, 'x', 4096 - 6);
    strbuf_append_text(&input, "\r\n");
    append_many(&input, 'y', 300000);
    strbuf_append_text(&input, "\r\n" BEGIN "Subject: ");
    append_many(&input, 'z', 998 - 9);
    strbuf_append_text(&input, "\r\n.\r\n" MAIL RCPT "DATA\r\nSubject: ");
    append_many(&input, 'z', 999 - 9);
    strbuf_append_text(&input, "\r\n.\r\n" QUIT);
    client_open(&client, &fixture);
    client_send(&client, input.data, input.len);
    client_await_close(&client);
    client_expect(&client,
                  GREETING "250 2.0.0 ok\n500 5.5.2 *\n500 5.5.2 *\n" EHLO_REPLY
                           "250 2.1.0 ok\n250 2.1.5 ok\n354 *\n" QUEUED
                           "250 2.1.0 ok\n250 2.1.5 ok\n354 *\n554 5.6.0 line 1 *base64\n" BYE);
    client_close(&client);
    fixture_close(&fixture);
}

static void test_size_while_reading(void **state)
{
    AUTO_STRBUF struct strbuf body;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "message-size-max = \"1M\";", 0);
    strbuf_init(&body);
    append_lines(&body, 3 * 1024 * 1024);
    client_open(&client, &fixture);
    client_send_text(&client, EHLO "MAIL FROM:<a@x.example> SIZE=5\r\n" RCPT "DATA\r\n\r\n");
    client_send(&client, body.data, body.len);
    client_send_text(&client, ".\r\n" MAIL RCPT "DATA\r\n" TEXT ".\r\n" QUIT);
    client_await_close(&client);
    assert_non_null(
        strstr(client.received.data, "\r\n552 5.3.4 message larger than 1048576 bytes\r\n"));
    client_close(&client);
    assert_int_equal(fixture_stored_count(&fixture), 1);
    assert_int_equal(fixture.last.chunk_count, 1);
    fixture_close(&fixture);
}

static void test_header_limit(void **state)
{
    AUTO_STRBUF struct strbuf input;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&input);
    while (input.len < 256 * 1024)
        strbuf_append_text(&input, "Comments: x\r\n");
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN);
    client_send(&client, input.data, input.len);
    client_send_text(&client, "\r\n.\r\n" QUIT);
    client_await_close(&client);
    client_expect(&client, BEGUN "552 5.3.4 *\n" BYE);
    client_close(&client);
    fixture_close(&fixture);
}

static void test_too_many_errors(void **state)
{
    AUTO_STRBUF struct strbuf input;
    AUTO_STRBUF struct strbuf replies;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&input);
    strbuf_init(&replies);
    strbuf_append_text(&replies, GREETING);
    for (unsigned i = 0; i < 25; i++)
        strbuf_append_text(&input, "GET / HTTP/1.1\r\n");
    for (unsigned i = 0; i < 20; i++)
        strbuf_append_text(&replies, "500 5.5.1 *\n");
    strbuf_append_text(&replies, "421 4.7.0 *");
    client_open(&client, &fixture);
    client_send(&client, input.data, input.len);
    client_await_close(&client);
    client_expect(&client, replies.data);
    client_close(&client);
    fixture_close(&fixture);
}

static void test_sessions_of_a_user(void **state)
{
    struct fixture fixture;
    struct client clients[3];

    (void)state;
    fixture_open(&fixture, "access = ( { user = \"*\"; connections-max = 2; } );", 0);
    for (size_t i = 0; i < 3; i++) {
        client_open(&clients[i], &fixture);
        client_await(&clients[i], i < 2 ? "220 *" : "421 4.7.0 *");
    }
    client_await_close(&clients[2]);
    client_close(&clients[2]);
    client_close(&clients[0]);
    while (intake_counts(fixture.intake).sessions > 1) {
        client_send_text(&clients[1], "NOOP\r\n");
        client_await(&clients[1], "250 2.0.0 ok");
    }
    client_open(&clients[0], &fixture);
    client_await(&clients[0], "220 *");
    client_close(&clients[0]);
    client_close(&clients[1]);
    fixture_close(&fixture);
}

static void test_access_rule(void **state)
{
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "access = ( { user = \"*\"; senders = [ \"*@shop.example\" ]; } );", 0);
    client_open(&client, &fixture);
    client_send_text(
        &client, EHLO
        "MAIL FROM:<a@x.example>\r\nMAIL FROM:<>\r\nMAIL FROM:<a@SHOP.example>\r\n" RCPT
        "DATA\r\nFrom: a@shop.example, b@x.example\r\n\r\n.\r\n"
        "MAIL FROM:<a@shop.example>\r\n" RCPT "DATA\r\nFrom: whoever\r\n\r\n.\r\n"
        "MAIL FROM:<a@shop.example>\r\n" RCPT "DATA\r\nFrom: b@shop.example\r\n\r\n.\r\n" QUIT);
    client_await_close(&client);
    client_expect(
        &client, GREETING EHLO_REPLY
        "550 5.7.1 *access rule for user *\n550 5.7.1 *\n250 2.1.0 ok\n250 2.1.5 ok\n354 *\n"
        "550 5.7.1 From *\n250 2.1.0 ok\n250 2.1.5 ok\n354 *\n550 5.7.1 From *\n"
        "250 2.1.0 ok\n250 2.1.5 ok\n354 *\n" QUEUED BYE);
    client_close(&client);
    fixture_close(&fixture);
}

static void test_idle(void **state)
{
    struct fixture fixture;
    struct client silent;
    struct client waiting;

    (void)state;
    fixture_open(&fixture, "", 40);
    fixture_hold_spool();
    client_open(&waiting, &fixture);
    client_send_text(&waiting, BEGIN TEXT ".\r\n");
    client_await(&waiting, BEGUN);
    client_open(&silent, &fixture);
    client_send_text(&silent, BEGIN TEXT);
    client_await_close(&silent);
    client_expect(&silent, BEGUN "421 4.4.2 *");
    client_close(&silent);
    fixture_release_spool(); /* whoever waits for the spool is not silent */
    client_await_lines(&waiting, 1);
    client_expect(&waiting, "250 2.0.0 queued as *");
    client_close(&waiting);
    assert_int_equal(fixture_stored_count(&fixture), 1);
    fixture_close(&fixture);
}

static int count_timer(const struct event_base *base, const struct event *event, void *ctx)
{
    unsigned *count = ctx;

    (void)base;
    *count += event_pending(event, EV_TIMEOUT, NULL) != 0;
    return 0;
}

static unsigned timer_count(const struct fixture *fixture)
{
    unsigned count = 0;

    (void)event_base_foreach_event(fixture->base, count_timer, &count);
    return count;
}

/* Nothing wakes the loop up while no client is there. */
static void test_no_timer_at_rest(void **state)
{
    struct fixture fixture;
    struct client client;
    int64_t deadline_ms = clock_monotonic_ms() + FIXTURE_PATIENCE_MS;

    (void)state;
    fixture_open(&fixture, "", 400);
    unsigned at_rest = timer_count(&fixture);
    assert_int_equal(at_rest, 1); /* the fixture's own */
    client_open(&client, &fixture);
    client_await(&client, "220 *");
    assert_int_equal(timer_count(&fixture), at_rest + 1);
    client_close(&client);
    fixture_settle(&fixture);
    while (timer_count(&fixture) > at_rest)
        fixture_step(&fixture, deadline_ms);
    fixture_close(&fixture);
}

static void test_sessions_in_all(void **state)
{
    static const struct {
        uint64_t descriptors;
        unsigned sessions;
    } cases[] = {
        { 256, 128 }, { 1024, 512 }, { 20000, 15000 }, { 1048576, 20000 }, { UINT64_MAX, 20000 },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(intake_sessions_max(cases[i].descriptors), cases[i].sessions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thousand_recipients), cmocka_unit_test(test_line_limits),
        cmocka_unit_test(test_size_while_reading),  cmocka_unit_test(test_header_limit),
        cmocka_unit_test(test_too_many_errors),     cmocka_unit_test(test_sessions_of_a_user),
        cmocka_unit_test(test_access_rule),         cmocka_unit_test(test_idle),
        cmocka_unit_test(test_no_timer_at_rest),    cmocka_unit_test(test_sessions_in_all),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
