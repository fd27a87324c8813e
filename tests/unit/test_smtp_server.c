/* The real intake with the real spool against scripted clients. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "invariant.h"
#include "strbuf.h"
#include "xalloc.h"

#include "intake.h"

#include "intake_fixture.h"

#define BYTES(text) (text), sizeof(text) - 1

#define GREETING "220 host.example ESMTP outbox\n"
#define EHLO     "EHLO client\r\n"
#define EHLO_REPLY                                                                                 \
    "250-host.example\n250-PIPELINING\n250-SIZE 52428800\n250-8BITMIME\n250-SMTPUTF8\n"            \
    "250-LIMITS RCPTMAX=1000\n250 ENHANCEDSTATUSCODES\n"
#define MAIL   "MAIL FROM:<a@x.example>\r\n"
#define RCPT   "RCPT TO:<b@y.example>\r\n"
#define BEGIN  EHLO MAIL RCPT "DATA\r\n"
#define BEGUN  GREETING EHLO_REPLY "250 2.1.0 ok\n250 2.1.5 ok\n354 *\n"
#define TEXT   "From: a@x.example\r\nDate: x\r\nMessage-ID: <1>\r\n\r\nText\r\n..\r\n"
#define QUEUED "250 2.0.0 queued as *\n"
#define QUIT   "QUIT\r\n"
#define BYE    "221 2.0.0 bye"

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
             "VRFY x\r\nNOOP x\r\nXYZZY\r\n\r\n" QUIT,
             GREETING EHLO_REPLY "502 5.5.1 *\n250 2.1.0 ok\n502 5.5.1 *\n502 5.5.1 *\n502 5.5.1 "
                                 "*\n214 2.0.0 *\n252 2.5.0 *\n"
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

static void exchange(struct fixture *fixture, const char *input)
{
    struct client client;

    client_open(&client, fixture);
    client_send_text(&client, input);
    client_send_text(&client, QUIT);
    client_await_close(&client);
    client_close(&client);
}

static void test_stored_message(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture,
                 "routes = ( { recipient = \"*@Two.example\"; smarthosts = [ \"two\" ]; },"
                 " { tag = \"t\"; smarthosts = [ \"two\" ]; }, { smarthosts = [ \"one\" ]; } );",
                 0);
    exchange(&fixture, EHLO "MAIL FROM:<me>\r\nRCPT TO:<root>\r\nRCPT TO:<x@two.example>\r\nRCPT "
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

    exchange(&fixture, EHLO MAIL RCPT
             "DATA\r\nX-Outbox-Tag: t\r\nFrom: J <j@x.example>\r\n\r\n\xFF\r\n.\r\n");
    assert_string_equal(last->tag, "t");
    assert_string_equal(last->header_from, "j@x.example");
    assert_string_equal(last->smarthosts[0], "two");
    assert_true(last->is_8bit);
    assert_false(last->needs_smtputf8);

    exchange(&fixture,
             EHLO "MAIL FROM:<> SMTPUTF8\r\n" RCPT "DATA\r\nSubject: \xC3\xA4\r\n\r\nx\r\n.\r\n");
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
        {".\r\n",                                 "From: a@x.example\r\n"                             },
        { "\r\n.\r\n",                            "From: a@x.example\r\n\r\n"                         },
        { "\r\nbody\r\n.\r\n",                    "From: a@x.example\r\n\r\nbody\r\n"                 },
        { "no header\r\n\r\nbody\r\n.\r\n",       "From: a@x.example\r\n\r\nno header\r\n\r\nbody\r\n"},
        { "From: q\r\nA: b\r\nno field\r\n.\r\n", "@host.example>\r\n\r\nno field\r\n"                },
    };
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", 0);
    for (size_t i = 0; i < COUNT_OF(odds); i++) {
        AUTO_FREE char *input = xasprintf("%s%s", BEGIN, odds[i].input);
        exchange(&fixture, input);
        assert_int_equal(fixture.accepted_count, i + 1);
        const struct accepted_message *last = &fixture.last;
        assert_true(last->body_len >= strlen(odds[i].end));
        assert_string_equal(last->body + last->body_len - strlen(odds[i].end), odds[i].end);
    }
    fixture_close(&fixture);
}

static void append_lines(struct strbuf *buf, size_t len)
{
    for (size_t line = 0; buf->len < len; line++)
        strbuf_append_format(buf, "line %zu of many that all differ\r\n", line);
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

/* --- Limits --- */

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

/* --- Trouble in the spool --- */

static void test_spool_failures(void **state)
{
    static const struct failure {
        const char *name;
        enum fixture_fault fault;
        int error_code;
        const char *reply;
    } failures[] = {
        {"full at the end",       FAULT_SUBMIT, ERROR_FULL,    BEGUN "452 4.3.1 *\n" BYE},
        { "broken at the end",    FAULT_SUBMIT, ERROR_IO,      BEGUN "451 4.3.0 *\n" BYE},
        { "full in the middle",   FAULT_CHUNK,  ERROR_FULL,    BEGUN "452 4.3.1 *\n" BYE},
        { "broken in the middle", FAULT_CHUNK,  ERROR_DAMAGED, BEGUN "451 4.3.0 *\n" BYE},
    };
    AUTO_STRBUF struct strbuf body;
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture.warnings_expected = COUNT_OF(failures);
    strbuf_init(&body);
    append_lines(&body, 600 * 1024);
    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        struct client client;
        print_message("%s\n", failures[i].name);
        fixture_fail_next(failures[i].fault, 1, failures[i].error_code);
        client_open(&client, &fixture);
        client_send_text(&client, BEGIN "\r\n");
        client_send(&client, body.data, body.len);
        client_send_text(&client, ".\r\n" QUIT);
        client_await_close(&client);
        client_expect(&client, failures[i].reply);
        client_close(&client);
    }
    assert_int_equal(fixture_stored_count(&fixture), 0);
    assert_int_equal(intake_counts(fixture.intake).refused, COUNT_OF(failures));
    fixture_close(&fixture);
}

/* No command is run before the answer, and none is lost. */
static void test_commands_wait_for_the_spool(void **state)
{
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture_hold_spool();
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN TEXT ".\r\nNOOP\r\n");
    client_await(&client, BEGUN);
    client_send_bytewise(&client, BYTES("NOOP\r\n" QUIT));
    assert_int_equal(client.received.len, 0);
    assert_int_equal(fixture_held_count(), 1);
    fixture_release_spool();
    client_await_close(&client);
    client_expect(&client, QUEUED "250 2.0.0 ok\n250 2.0.0 ok\n" BYE);
    client_close(&client);
    fixture_close(&fixture);
}

/* The client is gone before the answer: the message is accepted all the same. */
static void test_client_gone_before_the_answer(void **state)
{
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture_hold_spool();
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN TEXT ".\r\n");
    client_await(&client, BEGUN);
    client_close(&client);
    fixture_release_spool();
    fixture_settle(&fixture);
    assert_int_equal(fixture.accepted_count, 1);
    assert_int_equal(fixture_stored_count(&fixture), 1);
    fixture_close(&fixture);
}

/* A spool that does not keep up: 8 MiB of a user are on their way, then the socket is not read; another user is not
   to be had in a test, but the same one's commands still work. */
static void test_back_pressure(void **state)
{
    enum { LEN = 20 * 1024 * 1024 };
    AUTO_STRBUF struct strbuf body;
    struct fixture fixture;
    struct client client;
    struct client other;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&body);
    append_lines(&body, LEN);
    fixture_hold_spool();
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN "\r\n");
    client_await(&client, BEGUN);
    size_t sent = client_send_until_blocked(&client, body.data, body.len);
    assert_true(sent > 8 * 1024 * 1024 && sent < 10 * 1024 * 1024);
    assert_in_range(fixture_held_count(), 32, 33);
    client_open(&other, &fixture);
    client_send_text(&other, EHLO);
    client_await(&other, GREETING EHLO_REPLY);
    client_close(&other);
    fixture_release_spool();
    client_send(&client, body.data + sent, body.len - sent);
    client_send_text(&client, ".\r\n");
    client_await(&client, "250 2.0.0 queued as *");
    client_close(&client);
    assert_int_equal(fixture_stored_count(&fixture), 1);
    fixture_close(&fixture);
}

static void test_gone_while_held_back(void **state)
{
    AUTO_STRBUF struct strbuf body;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&body);
    append_lines(&body, 12 * 1024 * 1024);
    fixture_hold_spool();
    client_open(&client, &fixture);
    client_send_text(&client, BEGIN "\r\n");
    client_await(&client, BEGUN);
    (void)client_send_until_blocked(&client, body.data, body.len);
    client_close(&client);
    fixture_release_spool();
    fixture_settle(&fixture);
    assert_int_equal(fixture_stored_count(&fixture), 0);
    fixture_close(&fixture);
}

/* --- The end of the daemon, and hostile clients --- */

static void test_stop(void **state)
{
    struct fixture fixture;
    struct client idle;
    struct client reading;
    struct client committing;

    (void)state;
    fixture_open(&fixture, "", 0);
    fixture_hold_spool();
    client_open(&idle, &fixture);
    client_await(&idle, GREETING);
    client_open(&reading, &fixture);
    client_send_text(&reading, BEGIN TEXT);
    client_await(&reading, BEGUN);
    client_open(&committing, &fixture);
    client_send_text(&committing, BEGIN TEXT ".\r\n");
    client_await(&committing, BEGUN);
    intake_stop(fixture.intake);
    client_await_close(&idle);
    client_expect(&idle, "421 4.3.2 *");
    client_await_close(&reading);
    client_expect(&reading, "421 4.3.2 *");
    assert_false(intake_is_idle(fixture.intake));
    fixture_release_spool();
    client_await_close(&committing);
    client_expect(&committing, "250 2.0.0 queued as *\n421 4.3.2 *");
    client_close(&idle);
    client_close(&reading);
    client_close(&committing);
    assert_int_equal(fixture_stored_count(&fixture), 1);
    fixture_close(&fixture);
}

static void test_passed_descriptors_are_dropped(void **state)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
    char byte = 'N';
    struct iovec piece = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    struct fixture fixture;
    struct client client;
    int ends[2];

    (void)state;
    fixture_open(&fixture, "", 0);
    client_open(&client, &fixture);
    client_await(&client, GREETING);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    MUST(header != NULL);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    (void)memcpy(CMSG_DATA(header), &ends[1], sizeof(int));
    assert_int_equal(sendmsg(client.fd, &message, MSG_NOSIGNAL), 1);
    (void)close(ends[1]);
    client_send_text(&client, "OOP\r\n");
    client_await(&client, "250 2.0.0 ok");
    assert_int_equal(read(ends[0], &byte, 1), 0); /* end of file: nobody holds the other end */
    (void)close(ends[0]);
    client_close(&client);
    fixture_close(&fixture);
}

/* Output that is not read is not collected without end. */
static void test_client_that_does_not_read(void **state)
{
    enum { COUNT = 100000 };
    AUTO_STRBUF struct strbuf input;
    struct fixture fixture;
    struct client client;

    (void)state;
    fixture_open(&fixture, "", 0);
    strbuf_init(&input);
    for (unsigned i = 0; i < COUNT; i++)
        strbuf_append_text(&input, "HELP\r\n");
    client_open(&client, &fixture);
    size_t sent = client_send_until_blocked(&client, input.data, input.len);
    assert_true(sent < input.len);
    client_send(&client, input.data + sent, input.len - sent);
    client_await_lines(&client, COUNT + 1);
    assert_false(client.is_closed);
    client_close(&client);
    fixture_close(&fixture);
}

static void test_noise(void **state)
{
    struct fixture fixture;
    unsigned seed = 42;

    (void)state;
    fixture_open(&fixture, "", 0);
    for (unsigned round = 0; round < 50; round++) {
        char noise[2000];
        struct client client;
        for (size_t i = 0; i < sizeof noise; i++) {
            seed = seed * 1103515245U + 12345U;
            noise[i] = (char)(seed >> 16);
        }
        client_open(&client, &fixture);
        client_send(&client, noise, sizeof noise);
        client_close(&client);
    }
    exchange(&fixture, BEGIN TEXT ".\r\n");
    assert_int_equal(fixture.accepted_count, 1);
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
        cmocka_unit_test(test_thousand_recipients),
        cmocka_unit_test(test_line_limits),
        cmocka_unit_test(test_size_while_reading),
        cmocka_unit_test(test_header_limit),
        cmocka_unit_test(test_too_many_errors),
        cmocka_unit_test(test_sessions_of_a_user),
        cmocka_unit_test(test_access_rule),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_spool_failures),
        cmocka_unit_test(test_commands_wait_for_the_spool),
        cmocka_unit_test(test_client_gone_before_the_answer),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_gone_while_held_back),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_passed_descriptors_are_dropped),
        cmocka_unit_test(test_client_that_does_not_read),
        cmocka_unit_test(test_noise),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
