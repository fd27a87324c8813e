/* The real intake with the real spool against scripted clients: dialogues, and what is stored of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "strbuf.h"
#include "xalloc.h"

#include "intake.h"

#include "intake_client.h"
#include "intake_fixture.h"

/* --- Dialogues --- */

#define DIALOGUE(name, accepted, input, replies)                                                   \
    {                                                                                              \
        name, accepted, input, sizeof(input) - 1, replies                                          \
    }

static const struct dialogue {
    const char *name;
    unsigned accepted;
    const char *input; /* ends with QUIT, so that the server closes */
    size_t len;
    const char *replies;
} dialogues[] = {
    DIALOGUE("a message", 1, BEGIN TEXT ".\r\n" QUIT, BEGUN QUEUED BYE),
    DIALOGUE("two messages", 2, BEGIN TEXT ".\r\n" MAIL RCPT RCPT "DATA\r\n.\r\n" QUIT,
             BEGUN QUEUED "250 2.1.0 ok\n250 2.1.5 ok\n250 2.1.5 ok\n354 *\n" QUEUED BYE),
    DIALOGUE("HELO", 1, "HELO x\r\n" MAIL RCPT "DATA\r\n" TEXT ".\r\n" QUIT,
             GREETING "250 host.example\n250 2.1.0 ok\n250 2.1.5 ok\n354 *\n" QUEUED BYE),
    DIALOGUE(
        "LMTP answers each recipient", 1,
        "LHLO x\r\n" MAIL RCPT "RCPT TO:<c@y>\r\nRCPT TO:<\r\n" RCPT "DATA\r\n" TEXT ".\r\n" QUIT,
        GREETING EHLO_REPLY
        "250 2.1.0 ok\n250 2.1.5 ok\n250 2.1.5 ok\n501 5.1.3 *\n250 2.1.5 ok\n354 *\n" QUEUED QUEUED
            QUEUED BYE),
    DIALOGUE("LMTP refuses each recipient", 0,
             "LHLO x\r\n" MAIL RCPT RCPT "DATA\r\na\nb\r\n.\r\n" QUIT,
             GREETING EHLO_REPLY
             "250 2.1.0 ok\n250 2.1.5 ok\n250 2.1.5 ok\n354 *\n550 5.6.11 *\n550 5.6.11 *\n" BYE),
    DIALOGUE("LMTP without a recipient", 0, "LHLO x\r\n" MAIL "RCPT TO:<>\r\nDATA\r\n" QUIT,
             GREETING EHLO_REPLY "250 2.1.0 ok\n501 5.1.3 *\n503 5.5.1 *\n" BYE),
    DIALOGUE("order", 0, MAIL RCPT "DATA\r\n" EHLO RCPT "DATA\r\n" MAIL MAIL "DATA\r\n" QUIT,
             GREETING "503 5.5.1 *\n503 5.5.1 *\n503 5.5.1 *\n" EHLO_REPLY
                      "503 5.5.1 *\n503 5.5.1 *\n250 2.1.0 ok\n"
                      "503 5.5.1 *\n503 5.5.1 *\n" BYE),
    DIALOGUE("RSET", 0,
             "RSET\r\n" EHLO MAIL RCPT "RSET\r\nDATA\r\n" RCPT MAIL RCPT EHLO "DATA\r\n" QUIT,
             GREETING "250 2.0.0 ok\n" EHLO_REPLY
                      "250 2.1.0 ok\n250 2.1.5 ok\n250 2.0.0 ok\n503 5.5.1 *\n503 5.5.1 *\n"
                      "250 2.1.0 ok\n250 2.1.5 ok\n" EHLO_REPLY "503 5.5.1 *\n" BYE),
    DIALOGUE("not offered", 0,
             EHLO
             "STARTTLS\r\nMAIL FROM:<x>\r\nAUTH PLAIN AHgAeQ==\r\nBDAT 3 LAST\r\nEXPN x\r\nHELP\r\n"
             "VRFY x\r\nVRFY <x@y.example>\r\nVRFY John Doe\r\nNOOP x\r\nXYZZY\r\n\r\n" QUIT,
             GREETING EHLO_REPLY "502 5.5.1 *\n250 2.1.0 ok\n502 5.5.1 *\n502 5.5.1 *\n502 5.5.1 "
                                 "*\n214 2.0.0 *\n252 2.5.0 <x@default.example> *\n"
                                 "252 2.5.0 <x@y.example> *\n252 2.5.0 send *\n"
                                 "250 2.0.0 ok\n500 5.5.1 *\n500 5.5.1 *\n" BYE),
    DIALOGUE(
        "arguments", 0,
        "EHLO\r\nHELO \r\nehlo x  \r\nDATA x\r\nRSET x\r\nmail from: <A@x.example>  size=5 \r\n"
        "RCPT TO: b@y.example\r\nRCPT TO:<c@y.example> NOTIFY=NEVER\r\nQUIT x\r\n" QUIT,
        GREETING "501 5.5.4 *\n501 5.5.4 *\n" EHLO_REPLY
                 "501 5.5.4 *\n501 5.5.4 *\n250 2.1.0 ok\n250 2.1.5 ok\n"
                 "555 5.5.4 *\n501 5.5.4 *\n" BYE),
    DIALOGUE(
        "envelope addresses", 0,
        EHLO
        "MAIL FROM:<\"a\rb\"@x>\r\nMAIL FROM:<\"a\0b\"@x>\r\nMAIL FROM:<a@x\r\nMAIL FROM:a "
        "b@x\r\nMAIL <a@x>\r\n"
        "MAIL FROM:<a@x>SIZE=1\r\nMAIL FROM:<@r:a@x>\r\nMAIL FROM:<>\r\nRCPT TO:<root>\r\n" QUIT,
        GREETING EHLO_REPLY "501 5.5.2 *\n501 5.5.2 *\n501 5.1.7 *\n501 5.5.4 *\n501 5.1.7 *\n501 "
                            "5.1.7 *\n501 5.1.7 *\n"
                            "250 2.1.0 ok\n250 2.1.5 ok\n" BYE),
    DIALOGUE("bare LF in commands", 0, "EHLO x\n" EHLO "MAIL FROM:<a@x>\nNOOP\n" QUIT,
             GREETING "500 5.5.2 *\n" EHLO_REPLY "500 5.5.2 *\n500 5.5.2 *\n" BYE),
    DIALOGUE("SIZE", 0,
             EHLO "MAIL FROM:<a@x> SIZE=52428801\r\nMAIL FROM:<a@x> SIZE=x\r\nMAIL FROM:<a@x> "
                  "SIZE=52428800\r\n" QUIT,
             GREETING EHLO_REPLY "552 5.3.4 *\n501 5.5.4 *\n250 2.1.0 ok\n" BYE),
    DIALOGUE("NUL in DATA", 0, BEGIN "a\0b\r\n.\r\n" QUIT, BEGUN "554 5.6.0 *\n" BYE),
    DIALOGUE("steering that is not there yet", 1,
             BEGIN "X-Outbox-Send-At: +1h\r\n\r\n.\r\n" MAIL RCPT "DATA\r\n" TEXT ".\r\n" QUIT,
             BEGUN "554 5.5.4 *\n250 2.1.0 ok\n250 2.1.5 ok\n354 *\n" QUEUED BYE),
    DIALOGUE("smuggling", 0,
             BEGIN "x\r\n.\nMAIL FROM:<e@x>\r\nRCPT TO:<f@y>\r\nDATA\r\nx\n.\r\n.\r\n" QUIT,
             BEGUN "550 5.6.11 *\n" BYE),
};

static void say_whole(struct client *client, const struct dialogue *dialogue)
{
    client_send(client, dialogue->input, dialogue->len);
}

static void say_bytewise(struct client *client, const struct dialogue *dialogue)
{
    client_send_bytewise(client, dialogue->input, dialogue->len);
}

static void run_dialogues(void (*say)(struct client *client, const struct dialogue *dialogue))
{
    struct fixture fixture;

    fixture_open(&fixture, "", 0);
    for (size_t i = 0; i < COUNT_OF(dialogues); i++) {
        struct client client;
        print_message("%s\n", dialogues[i].name);
        size_t before = fixture.accepted_count;
        client_open(&client, &fixture);
        say(&client, &dialogues[i]);
        client_await_close(&client);
        client_expect(&client, dialogues[i].replies);
        client_close(&client);
        assert_int_equal(fixture.accepted_count - before, dialogues[i].accepted);
    }
    assert_int_equal(fixture_stored_count(&fixture), fixture.accepted_count);
    assert_int_equal(intake_counts(fixture.intake).accepted, fixture.accepted_count);
    fixture_close(&fixture);
}

static void test_in_one_write(void **state)
{
    (void)state;
    run_dialogues(say_whole);
}

static void test_one_byte_per_write(void **state)
{
    (void)state;
    run_dialogues(say_bytewise);
}

enum cut { CUT_AT_ONCE, CUT_AFTER_READING, CUT_HALF };

/* The client goes away after any byte, before or after the server has read it, or only ends its side: a message is
   there if its dot was, else not. */
static void cut_everywhere(enum cut cut)
{
    static const char whole[] = BEGIN TEXT ".\r\n" QUIT;
    size_t complete_len = sizeof whole - 1 - strlen(QUIT);
    struct fixture fixture;

    fixture_open(&fixture, "", 0);
    for (size_t len = 0; len < sizeof whole; len++) {
        struct client client;
        size_t before = fixture.accepted_count;
        client_open(&client, &fixture);
        client_send(&client, whole, len);
        if (cut == CUT_AFTER_READING)
            fixture_run(&fixture);
        if (cut == CUT_HALF) {
            client_shutdown_write(&client);
            client_await_close(&client);
            if (len == complete_len)
                client_expect(&client, BEGUN "250 2.0.0 queued as *");
        }
        client_close(&client);
        fixture_settle(&fixture);
        size_t accepted = fixture.accepted_count - before;
        if (len < complete_len)
            assert_int_equal(accepted, 0);
        else if (cut == CUT_HALF)
            assert_int_equal(accepted, 1);
        else
            assert_true(accepted <= 1);
    }
    assert_int_equal(fixture_stored_count(&fixture), fixture.accepted_count);
    assert_int_equal(intake_counts(fixture.intake).sessions, 0);
    fixture_close(&fixture);
}

static void test_closed_after_any_byte(void **state)
{
    (void)state;
    cut_everywhere(CUT_AT_ONCE);
}

static void test_closed_after_any_byte_was_read(void **state)
{
    (void)state;
    cut_everywhere(CUT_AFTER_READING);
}

static void test_half_closed_after_any_byte(void **state)
{
    (void)state;
    cut_everywhere(CUT_HALF);
}

/* --- What is stored --- */

static void test_stored_message(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture,
                 "routes = ( { recipient = \"*@Two.example\"; smarthosts = [ \"two\" ]; },"
                 " { tag = \"t\"; smarthosts = [ \"two\" ]; }, { smarthosts = [ \"one\" ]; } );",
                 0);
    client_exchange(&fixture,
                    EHLO "MAIL FROM:<me>\r\nRCPT TO:<root>\r\nRCPT TO:<x@two.example>\r\nRCPT "
                         "TO:<root@DEFAULT.example>\r\n"
                         "DATA\r\nSubject: x\r\nBcc: secret@z\r\n\r\n..dot\r\nlast\r\n.\r\n");
    assert_int_equal(fixture.accepted_count, 1);
    const struct accepted_message *last = &fixture.last;
    assert_string_equal(last->sender, "me@default.example");
    assert_int_equal(last->recipient_count, 2);
    assert_string_equal(last->recipients[0], "root@default.example");
    assert_string_equal(last->smarthosts[0], "one");
    assert_string_equal(last->smarthosts[1], "two");
    assert_int_equal(last->size_bytes, last->body_len);
    assert_int_equal(last->chunk_count, 1);
    assert_false(last->is_8bit);
    assert_null(last->tag);
    assert_null(strstr(last->body, "secret"));
    assert_int_equal(strncmp(last->body, BYTES("Received: by host.example (outbox, from user ")),
                     0);
    assert_non_null(strstr(last->body, "with ESMTP id "));
    assert_non_null(strstr(last->body, last->id));
    assert_non_null(strstr(last->body, "\r\nSubject: x\r\nDate: "));
    assert_non_null(strstr(last->body, "\r\nFrom: me@default.example\r\n\r\n.dot\r\nlast\r\n"));

    client_exchange(&fixture, EHLO MAIL RCPT
                    "DATA\r\nX-Outbox-Tag: t\r\nFrom: J <j@x.example>\r\n\r\n\xFF\r\n.\r\n");
    assert_string_equal(last->tag, "t");
    assert_string_equal(last->header_from, "j@x.example");
    assert_string_equal(last->smarthosts[0], "two");
    assert_true(last->is_8bit);
    assert_false(last->needs_smtputf8);

    client_exchange(&fixture, EHLO "MAIL FROM:<> SMTPUTF8\r\n" RCPT
                                   "DATA\r\nSubject: \xC3\xA4\r\n\r\nx\r\n.\r\n");
    assert_string_equal(last->sender, "");
    assert_true(last->needs_smtputf8);
    assert_false(last->is_8bit);
    assert_non_null(strstr(last->body, "with UTF8SMTP id "));
    fixture_close(&fixture);
}

/* Of a kind that has a header that is none. */
static void test_odd_messages(void **state)
{
    static const struct odd {
        const char *input; /* behind DATA */
        const char *end;   /* of what is stored */
    } odds[] = {
        { ".\r\n", "From: a@x.example\r\n" },
        { "\r\n.\r\n", "From: a@x.example\r\n\r\n" },
        { "\r\nbody\r\n.\r\n", "From: a@x.example\r\n\r\nbody\r\n" },
        { "no header\r\n\r\nbody\r\n.\r\n", "From: a@x.example\r\n\r\nno header\r\n\r\nbody\r\n" },
        { "From: q\r\nA: b\r\nno field\r\n.\r\n", "@host.example>\r\n\r\nno field\r\n" },
    };
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", 0);
    for (size_t i = 0; i < COUNT_OF(odds); i++) {
        AUTO_FREE char *input = xasprintf("%s%s", BEGIN, odds[i].input);
        client_exchange(&fixture, input);
        assert_int_equal(fixture.accepted_count, i + 1);
        const struct accepted_message *last = &fixture.last;
        assert_true(last->body_len >= strlen(odds[i].end));
        assert_string_equal(last->body + last->body_len - strlen(odds[i].end), odds[i].end);
    }
    fixture_close(&fixture);
}

/* Several chunks: bytes and their order survive. */
static void test_large_message(void **state)
{
    enum { LEN = 3 * 1024 * 1024 };
    AUTO_STRBUF struct strbuf body;
    struct fixture fixture;
    struct client client;
    size_t len = 0;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&body);
    append_lines(&body, LEN);
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN "\r\n");
    client_send(&client, body.data, body.len);
    client_send_text(&client, ".\r\n");
    client_await(&client, BEGUN "250 2.0.0 queued as *");
    client_close(&client);
    assert_true(fixture.last.chunk_count > LEN / (256 * 1024));
    AUTO_FREE char *stored = fixture_read_body(&fixture, &fixture.last, &len);
    assert_int_equal(len, fixture.last.size_bytes);
    assert_true(len > body.len);
    assert_memory_equal(stored + len - body.len, body.data, body.len);
    assert_memory_equal(stored + len - body.len - 4, "\r\n\r\n", 4);
    fixture_close(&fixture);
}

static void test_large_message_that_is_cut(void **state)
{
    AUTO_STRBUF struct strbuf body;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&body);
    append_lines(&body, 1024 * 1024);
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN "\r\n");
    client_send(&client, body.data, body.len);
    client_close(&client);
    fixture_settle(&fixture);
    assert_int_equal(fixture_stored_count(&fixture), 0);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_one_write),
        cmocka_unit_test(test_one_byte_per_write),
        cmocka_unit_test(test_closed_after_any_byte),
        cmocka_unit_test(test_closed_after_any_byte_was_read),
        cmocka_unit_test(test_half_closed_after_any_byte),
        cmocka_unit_test(test_stored_message),
        cmocka_unit_test(test_odd_messages),
        cmocka_unit_test(test_large_message),
        cmocka_unit_test(test_large_message_that_is_cut),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
