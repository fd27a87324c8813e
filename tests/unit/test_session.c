/* Whole dialogues: what is said, in which order, and what becomes of each recipient. */
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
#include "inflight.h"
#include "strbuf.h"
#include "xalloc.h"

static const char plain[] = "tls = \"none\";";
static const struct trial_message three = { .recipients = "a@x b@x c@x" };
static const struct trial_message one = { .recipients = "a@x" };

/* --- A dialogue with one order --- */

struct dialogue {
    const char *name;
    const struct fake_row *script;
    struct trial_message message;
    const char *outcome;
    const char *reply; /* of the first recipient; NULL: not looked at */
    unsigned messages; /* that the smarthost got */
    bool is_lone_dot;  /* it got nothing but the end of one */
};

static const struct fake_row nothing_sent[] = { GREETING, HELLO("250 SIZE 1000\r\n"), QUIT,
                                                FAKE_END };
static const struct fake_row step_by_step[] = { GREETING,   PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                                RCPT_B_BAD, RCPT_C_OK,   DATA_OK, DOT_OK,
                                                QUIT,       FAKE_END };

#define B_REFUSED "a@x done 250, b@x refused 550 recipients-refused, c@x done 250"
#define ALL_REFUSED                                                                                \
    "a@x refused 550 recipients-refused, b@x refused 550 recipients-refused, c@x refused 450 "     \
    "recipients-refused"

static const struct dialogue dialogues[] = {
    {
        .name = "step by step",
        .script = step_by_step,
        .message = { .recipients = "a@x b@x c@x" },
        .outcome = B_REFUSED,
        .reply = "queued as 4711",
        .messages = 1,
    },
    {
        .name = "pipelined",
        .script =
            (const struct fake_row[]){ GREETING, PIPELINED_HELLO, MAIL_OK, RCPT_A_OK, RCPT_B_BAD,
                                       RCPT_C_OK, DATA_OK, DOT_OK, QUIT, FAKE_END },
        .message = { .recipients = "a@x b@x c@x" },
        .outcome = B_REFUSED,
        .reply = "queued as 4711",
        .messages = 1,
    },
    {
        .name = "all recipients refused",
        .script = (const struct fake_row[]){ GREETING, PLAIN_HELLO, MAIL_OK,
                                             SAY("RCPT TO:<a@", "550 5.1.1 no"), RCPT_B_BAD,
                                             SAY("RCPT TO:<c@", "450 4.2.1 later"), RSET, QUIT,
                                             FAKE_END },
        .message = { .recipients = "a@x b@x c@x" },
        .outcome = ALL_REFUSED,
        .reply = "no",
    },
    {
        .name = "all recipients refused, pipelined",
        .script = (const struct fake_row[]){ GREETING, PIPELINED_HELLO, MAIL_OK,
                                             SAY("RCPT TO:<a@", "550 5.1.1 no"), RCPT_B_BAD,
                                             SAY("RCPT TO:<c@", "450 4.2.1 later"),
                                             SAY("DATA", "554 5.5.1 no valid recipients"), RSET,
                                             QUIT, FAKE_END },
        .message = { .recipients = "a@x b@x c@x" },
        .outcome = ALL_REFUSED,
        .reply = "no",
    },
    {
        .name = "354 for nobody: a lone dot",
        .script = (const struct fake_row[]){ GREETING, PIPELINED_HELLO, MAIL_OK,
                                             SAY("RCPT TO:<a@", "550 5.1.1 no"), DATA_OK, DOT_OK,
                                             QUIT, FAKE_END },
        .outcome = "a@x refused 550 recipients-refused",
        .reply = "no",
        .messages = 1,
        .is_lone_dot = true,
    },
    {
        .name = "354 for nobody, the dot refused",
        .script = (const struct fake_row[]){ GREETING, PIPELINED_HELLO, MAIL_OK,
                                             SAY("RCPT TO:<a@", "550 5.1.1 no"), DATA_OK,
                                             SAY(".", "554 5.5.0 nobody"), RSET, QUIT, FAKE_END },
        .outcome = "a@x refused 550 recipients-refused",
        .reply = "no",
        .messages = 1,
    },
    {
        .name = "sender refused",
        .script = (const struct fake_row[]){ GREETING, PLAIN_HELLO,
                                             SAY("MAIL FROM:<s@", "501 5.1.7 bad syntax"), RSET,
                                             QUIT, FAKE_END },
        .outcome = "a@x refused 501 sender-refused",
        .reply = "bad syntax",
    },
    {
        .name = "sender refused, pipelined",
        .script =
            (const struct fake_row[]){ GREETING, PIPELINED_HELLO,
                                       SAY("MAIL FROM:<s@", "501 5.1.7 bad syntax"),
                                       SAY("RCPT", "503 5.5.1 MAIL first"),
                                       SAY("DATA", "503 5.5.1 RCPT first"), RSET, QUIT, FAKE_END },
        .outcome = "a@x refused 501 sender-refused",
        .reply = "bad syntax",
    },
    {
        .name = "refused at DATA",
        .script = (const struct fake_row[]){ GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                             SAY("DATA", "554 5.6.0 content refused"), RSET, QUIT,
                                             FAKE_END },
        .outcome = "a@x refused 554 data-error",
        .reply = "content refused",
    },
    {
        .name = "refused at the dot",
        .script = (const struct fake_row[]){ GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK, DATA_OK,
                                             SAY(".", "554 5.6.0 content refused"), RSET, QUIT,
                                             FAKE_END },
        .outcome = "a@x refused 554 data-error",
        .reply = "content refused",
        .messages = 1,
    },
    {
        .name = "later at the dot",
        .script =
            (const struct fake_row[]){ GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK, DATA_OK,
                                       SAY(".", "451 4.3.0 try again"), RSET, QUIT, FAKE_END },
        .outcome = "a@x untried; trouble server-trouble at end-of-data 451",
        .messages = 1,
    },
    {
        .name = "refused while the body is sent",
        .script = (const struct fake_row[]){ GREETING,
                                             PLAIN_HELLO,
                                             MAIL_OK,
                                             RCPT_A_OK,
                                             { "DATA", "354 go on\r\n552 5.3.4 too big\r\n",
                                               FAKE_STALL } },
        .message = { .body = "Subject: x\r\n\r\nx\r\n", .chunk_size = 4, .is_spool_dead = true },
        .outcome = "a@x refused 552 data-error",
        .reply = "too big",
    },
    {
        .name = "parameters of MAIL",
        .script = (const struct fake_row[]){ GREETING, PLAIN_HELLO,
                                             SAY("MAIL FROM:<s@x> SIZE=35 BODY=8BITMIME", "250 ok"),
                                             RCPT_A_OK, DATA_OK, DOT_OK, QUIT, FAKE_END },
        .message = { .is_8bit = true },
        .outcome = "a@x done 250",
        .messages = 1,
    },
    {
        .name = "SMTPUTF8",
        .script = (const struct fake_row[]){ GREETING, HELLO("250-8BITMIME\r\n250 SMTPUTF8\r\n"),
                                             SAY("MAIL FROM:<s@x> SMTPUTF8", "250 ok"),
                                             SAY("RCPT TO:<\xc3\xa4@x>", "250 ok"), DATA_OK, DOT_OK,
                                             QUIT, FAKE_END },
        .message = { .recipients = "\xc3\xa4@x", .needs_smtputf8 = true },
        .outcome = "\xc3\xa4@x done 250",
        .messages = 1,
    },
    {
        .name = "too large",
        .script = nothing_sent,
        .message = { .size_bytes = 1001 },
        .outcome = "a@x refused data-error",
        .reply = "the message is larger than the smarthost takes (SIZE)",
    },
    {
        .name = "as large as it may be",
        .script = (const struct fake_row[]){ GREETING, HELLO("250 SIZE 1000\r\n"),
                                             SAY("MAIL FROM:<s@x> SIZE=1000", "250 ok"), RCPT_A_OK,
                                             DATA_OK, DOT_OK, QUIT, FAKE_END },
        .message = { .size_bytes = 1000 },
        .outcome = "a@x done 250",
        .messages = 1,
    },
    {
        .name = "a line break in the sender",
        .script = nothing_sent,
        .message = { .sender = "s@x>\r\nRSET\r\nMAIL FROM:<t@x" },
        .outcome = "a@x refused server-trouble",
        .reply = "a stored address contains control characters",
    },
    {
        .name = "a line break in a recipient",
        .script = nothing_sent,
        .message = { .recipients = "a@x b\r@x" },
        .outcome = "a@x refused server-trouble, b\r@x refused server-trouble",
        .reply = "a stored address contains control characters",
    },
    {
        .name = "8-bit, no 8BITMIME",
        .script = nothing_sent,
        .message = { .is_8bit = true },
        .outcome = "a@x refused data-error",
    },
    {
        .name = "no SMTPUTF8",
        .script = nothing_sent,
        .message = { .needs_smtputf8 = true },
        .outcome = "a@x refused data-error",
    },
    {
        .name = "null sender",
        .script =
            (const struct fake_row[]){ GREETING, PLAIN_HELLO, SAY("MAIL FROM:<> SIZE=", "250 ok"),
                                       RCPT_A_OK, DATA_OK, DOT_OK, QUIT, FAKE_END },
        .message = { .sender = "" },
        .outcome = "a@x done 250",
        .messages = 1,
    },
    {
        .name = "HELO",
        .script =
            (const struct fake_row[]){ GREETING, SAY("EHLO app1.example.com", "502 5.5.1 unknown"),
                                       SAY("HELO app1.example.com", "250 fake"),
                                       SAY("MAIL FROM:<s@x>", "250 ok"), RCPT_A_OK, DATA_OK, DOT_OK,
                                       QUIT, FAKE_END },
        .outcome = "a@x done 250",
        .messages = 1,
    },
    {
        .name = "replies of several lines",
        .script = (const struct fake_row[]){ { NULL, "220-fake\r\n220 ESMTP\r\n", FAKE_GO_ON },
                                             PLAIN_HELLO,
                                             SAY("MAIL", "250-2.1.0 yes\r\n250 2.1.0 ok"),
                                             SAY("RCPT", "251 2.1.5 forwarded"),
                                             DATA_OK,
                                             SAY(".", "250-2.0.0 queued\r\n250 2.0.0 as 1"),
                                             QUIT,
                                             FAKE_END },
        .outcome = "a@x done 250",
        .reply = "queued\nas 1",
        .messages = 1,
    },
    {
        .name = "fewer recipients at once",
        .script =
            (const struct fake_row[]){ GREETING, HELLO("250 LIMITS RCPTMAX=2\r\n"), MAIL_OK,
                                       RCPT_A_OK, RCPT_B_BAD, DATA_OK, DOT_OK, QUIT, FAKE_END },
        .message = { .recipients = "a@x b@x c@x" },
        .outcome =
            "a@x done 250, b@x refused 550 recipients-refused, c@x refused recipients-refused",
        .reply = "queued as 4711",
        .messages = 1,
    },
    {
        .name = "421 for a greeting",
        .script = (const struct fake_row[]){ { NULL, "421 4.3.2 busy\r\n", FAKE_CLOSE } },
        .outcome = "a@x untried; trouble server-trouble at connect 421",
    },
    {
        .name = "554 for a greeting",
        .script = (const struct fake_row[]){ { NULL, "554 5.7.1 go away\r\n", FAKE_GO_ON },
                                             QUIT,
                                             FAKE_END },
        .outcome = "a@x untried; trouble policy-refused at connect 554",
    },
    {
        .name = "421 at RCPT",
        .script = (const struct fake_row[]){ GREETING,
                                             PLAIN_HELLO,
                                             MAIL_OK,
                                             { "RCPT", "421 4.3.2 shutting down\r\n",
                                               FAKE_CLOSE } },
        .outcome = "a@x untried; trouble server-trouble at rcpt 421",
    },
    {
        .name = "421 at the dot",
        .script = (const struct fake_row[]){ GREETING,
                                             PLAIN_HELLO,
                                             MAIL_OK,
                                             RCPT_A_OK,
                                             DATA_OK,
                                             { ".", "421 4.3.2 shutting down\r\n", FAKE_CLOSE } },
        .outcome = "a@x untried; trouble server-trouble at end-of-data 421",
        .messages = 1,
    },
};

static void hold(const struct dialogue *dialogue, size_t write_max)
{
    const struct fake_row *const scripts[] = { dialogue->script, NULL };
    struct trial_options options = {
        .fake = { .scripts = scripts, .cut_at = -1, .write_max = write_max }, .settings = plain
    };
    struct trial *trial = trial_new(&options);
    struct delivery_order *order = trial_run(trial, &dialogue->message);

    check_outcome(order, dialogue->outcome);
    if (dialogue->reply != NULL)
        assert_string_equal(order->recipients[0].reply, dialogue->reply);
    assert_int_equal(fake_smarthost_messages(trial_fake(trial)), dialogue->messages);
    trial_stop(trial, 1000);
    fake_smarthost_stop(trial_fake(trial));
    if (dialogue->is_lone_dot)
        assert_null(strstr(fake_smarthost_heard(trial_fake(trial)), "Subject"));
    trial_end(trial);
}

static void test_dialogues(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(dialogues); i++) {
        print_message("%s\n", dialogues[i].name);
        hold(&dialogues[i], 0);
        hold(&dialogues[i], 1);
    }
}

static void test_what_arrives(void **state)
{
    const struct fake_row *const scripts[] = { step_by_step, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = plain };
    struct trial *trial = trial_new(&options);
    char host[64];
    size_t len = 0;

    (void)state;
    struct delivery_order *order = trial_run(trial, &three);
    assert_true(order->was_connected && order->is_session_open && !order->has_trouble);
    (void)snprintf(host, sizeof host, "localhost [127.0.0.1]:%u",
                   fake_smarthost_port(trial_fake(trial)));
    assert_string_equal(order->host, host);
    assert_true(order->started_ms > 0 && order->duration_ms >= 0);
    assert_string_equal(order->recipients[1].enhanced, "5.1.1");
    assert_int_equal(order->recipients[1].stage, STAGE_RCPT);
    assert_true(order->recipients[0].verdict.is_success);
    trial_stop(trial, 1000);
    fake_smarthost_stop(trial_fake(trial));
    assert_string_equal(fake_smarthost_message(trial_fake(trial), &len),
                        "Subject: test\r\n\r\n.dot\r\n..\r\n.\r\nend\r\n");
    assert_non_null(
        strstr(fake_smarthost_heard(trial_fake(trial)), "\r\n..dot\r\n...\r\n..\r\nend\r\n.\r\n"));
    trial_end(trial);
}

/* MAIL, RCPT and DATA leave in one write where that is offered: the smarthost has them before its first reply. */
static void test_pipelining_is_used(void **state)
{
    static const struct fake_row script[] = { GREETING,
                                              PIPELINED_HELLO,
                                              { "MAIL", NULL, FAKE_GO_ON },
                                              { "RCPT", NULL, FAKE_GO_ON },
                                              { "DATA", "250 a\r\n250 b\r\n354 c\r\n", FAKE_GO_ON },
                                              DOT_OK,
                                              QUIT,
                                              FAKE_END };
    const struct fake_row *const scripts[] = { script, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = plain };
    struct trial *trial = trial_new(&options);

    (void)state;
    check_outcome(trial_run(trial, &one), "a@x done 250");
    trial_end(trial);
}

/* They are no worse than the others: the next transaction takes them. */
static void test_surplus_recipients(void **state)
{
    static const struct fake_row script[] = { GREETING, HELLO("250 LIMITS RCPTMAX=1\r\n"),
                                              MAIL_OK,  RCPT_A_OK,
                                              DATA_OK,  DOT_OK,
                                              QUIT,     FAKE_END };
    const struct fake_row *const scripts[] = { script, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = plain };
    struct trial *trial = trial_new(&options);

    (void)state;
    struct delivery_order *order = trial_run(trial, &three);
    assert_int_equal(order->recipients[0].result, DELIVERY_DONE);
    assert_false(order->has_trouble);
    for (size_t i = 1; i < order->recipient_count; i++) {
        assert_int_equal(order->recipients[i].result, DELIVERY_REFUSED);
        assert_int_equal(order->recipients[i].verdict.action, ACTION_SPLIT);
        assert_false(order->recipients[i].verdict.is_permanent);
        assert_int_equal(order->recipients[i].code, 0); /* nobody said it */
    }
    trial_end(trial);
}

/* --- Bodies in chunks --- */

static void test_chunks(void **state)
{
    static const struct fake_row script[] = { GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                              DATA_OK,  DOT_OK,      QUIT,    FAKE_END };
    const struct fake_row *const scripts[] = { script, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = plain };
    AUTO_STRBUF struct strbuf body;
    size_t len = 0;

    (void)state;
    strbuf_init(&body);
    for (unsigned i = 0; i < 12000; i++)
        strbuf_append_format(&body, "%sline %u of a message that takes several chunks\r\n",
                             i % 7 == 0 ? "." : "", i);
    struct trial *trial = trial_new(&options);
    struct trial_message message = { .body = body.data, .chunk_size = 100000 };
    check_outcome(trial_run(trial, &message), "a@x done 250");
    trial_stop(trial, 1000);
    fake_smarthost_stop(trial_fake(trial));
    const char *received = fake_smarthost_message(trial_fake(trial), &len);
    assert_int_equal(len, body.len);
    assert_memory_equal(received, body.data, len);
    trial_end(trial);
}

static void test_missing_chunk_sends_no_dot(void **state)
{
    static const struct fake_row script[] = { GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                              DATA_OK,  DOT_OK,      FAKE_END };
    const struct fake_row *const scripts[] = { script, NULL };
    static const struct trial_message messages[] = {
        { .body = "Subject: x\r\n\r\nfirst\r\nsecond\r\n", .chunk_size = 10, .missing_chunk = 2 },
        { .body = "Subject: x\r\n\r\nfirst\r\nsecond\r\n",
          .chunk_size = 10,
          .is_spool_dead = true },
        { .body = "Subject: x\r\n\r\nbare\nline\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                         .settings = plain,
                                         .step_ms = 500 };
        struct trial *trial = trial_new(&options);
        struct delivery_order *order = trial_run(trial, &messages[i]);
        assert_int_not_equal(order->recipients[0].result, DELIVERY_DONE);
        assert_int_not_equal(order->recipients[0].result, DELIVERY_IN_DOUBT);
        assert_false(order->recipients[0].verdict.is_permanent);
        trial_stop(trial, 1000);
        fake_smarthost_stop(trial_fake(trial));
        assert_int_equal(fake_smarthost_messages(trial_fake(trial)), 0);
        trial_end(trial);
    }
}

/* --- Several orders, one session --- */

static void test_session_is_reused(void **state)
{
    static const struct fake_row script[] = {
        GREETING, PLAIN_HELLO, MAIL_OK,   RCPT_A_OK,
        DATA_OK,  DOT_OK,      MAIL_OK,   SAY("RCPT TO:<a@", "550 5.1.1 no"),
        RSET,     MAIL_OK,     RCPT_A_OK, DATA_OK,
        DOT_OK,   QUIT,        FAKE_END
    };
    const struct fake_row *const scripts[] = { script, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = plain };
    struct trial *trial = trial_new(&options);

    (void)state;
    check_outcome(trial_run(trial, &one), "a@x done 250");
    check_outcome(trial_run(trial, &one), "a@x refused 550 recipients-refused");
    struct delivery_order *order = trial_run(trial, &one);
    check_outcome(order, "a@x done 250");
    assert_non_null(order->host);
    assert_int_equal(fake_smarthost_connections(trial_fake(trial)), 1);
    trial_end(trial);
}

static void test_messages_per_connection(void **state)
{
    static const struct fake_row script[] = { GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                              DATA_OK,  DOT_OK,      MAIL_OK, RCPT_A_OK,
                                              DATA_OK,  DOT_OK,      QUIT,    FAKE_END };
    static const struct fake_row second[] = { GREETING, HELLO("250 LIMITS MAILMAX=1\r\n"),
                                              MAIL_OK,  RCPT_A_OK,
                                              DATA_OK,  DOT_OK,
                                              QUIT,     FAKE_END };
    const struct fake_row *const scripts[] = { script, second, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = "tls = \"none\"; messages-per-connection = 2;" };
    struct trial *trial = trial_new(&options);
    static const bool is_open[] = { true, false, false };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(is_open); i++) {
        struct delivery_order *order = trial_run(trial, &one);
        check_outcome(order, "a@x done 250");
        assert_int_equal(order->is_session_open, is_open[i]);
    }
    assert_int_equal(fake_smarthost_connections(trial_fake(trial)), 2);
    trial_end(trial);
}

/* Ways in which an idle session can be dead when the next order comes: it goes to a new one, and nobody notices. */
static void test_dead_idle_session(void **state)
{
    static const struct fake_row closed[] = { GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                              DATA_OK,  DOT_OK,      FAKE_END };
    static const struct fake_row closed_at_mail[] = {
        GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK, DATA_OK, DOT_OK, { "MAIL", NULL, FAKE_CLOSE }
    };
    static const struct fake_row reset_at_mail[] = {
        GREETING, PIPELINED_HELLO, MAIL_OK, RCPT_A_OK, DATA_OK, DOT_OK, { "MAIL", NULL, FAKE_RESET }
    };
    static const struct fake_row told[] = {
        GREETING,  PLAIN_HELLO, MAIL_OK,
        RCPT_A_OK, DATA_OK,     { ".", "250 ok\r\n421 4.4.2 idle too long\r\n", FAKE_CLOSE }
    };
    static const struct fake_row told_at_mail[] = { GREETING,
                                                    PLAIN_HELLO,
                                                    MAIL_OK,
                                                    RCPT_A_OK,
                                                    DATA_OK,
                                                    DOT_OK,
                                                    { "MAIL", "421 4.4.2 enough messages\r\n",
                                                      FAKE_CLOSE } };
    static const struct fake_row babbling[] = { GREETING,
                                                PLAIN_HELLO,
                                                MAIL_OK,
                                                RCPT_A_OK,
                                                DATA_OK,
                                                DOT_OK,
                                                { "MAIL", "250 ok\r\n250 ok\r\n", FAKE_STALL } };
    static const struct fake_row fresh[] = { GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                             DATA_OK,  DOT_OK,      QUIT,    FAKE_END };
    static const struct {
        const char *name;
        const struct fake_row *script;
        const char *outcome;
    } rows[] = {
        { "closed", closed, "a@x done 250" },
        { "closed at MAIL", closed_at_mail, "a@x done 250" },
        { "reset at MAIL", reset_at_mail, "a@x done 250" },
        { "421 behind the 250", told, "a@x done 250" },
        { "421 at MAIL", told_at_mail, "a@x done 250" },
        { "two replies to MAIL", babbling, "a@x untried; trouble protocol-error at rcpt" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct fake_row *const scripts[] = { rows[i].script, fresh, NULL };
        struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                         .settings = plain };
        struct trial *trial = trial_new(&options);
        print_message("%s\n", rows[i].name);
        check_outcome(trial_run(trial, &one), "a@x done 250");
        check_outcome(trial_run(trial, &one), rows[i].outcome);
        trial_end(trial);
    }
}

/* Once only: a smarthost that drops every connection at MAIL is in trouble. */
static void test_fresh_session_is_not_stale(void **state)
{
    static const struct fake_row first[] = {
        GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK, DATA_OK, DOT_OK, { "MAIL", NULL, FAKE_CLOSE }
    };
    static const struct fake_row again[] = { GREETING, PLAIN_HELLO, { "MAIL", NULL, FAKE_CLOSE } };
    const struct fake_row *const scripts[] = { first, again, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = plain };
    struct trial *trial = trial_new(&options);

    (void)state;
    check_outcome(trial_run(trial, &one), "a@x done 250");
    struct delivery_order *order = trial_run(trial, &one);
    check_outcome(order, "a@x untried; trouble connect-failed at mail");
    assert_false(order->was_connected);
    assert_string_equal(order->trouble_text,
                        "lost connection while waiting for the reply to MAIL FROM");
    trial_end(trial);
}

static void test_slot_close_says_quit(void **state)
{
    static const struct fake_row script[] = { GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                              DATA_OK,  DOT_OK,      QUIT,    FAKE_END };
    const struct fake_row *const scripts[] = { script, script, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = plain };
    struct trial *trial = trial_new(&options);

    (void)state;
    check_outcome(trial_run(trial, &one), "a@x done 250");
    delivery_slot_close(trial_delivery(trial), 0);
    delivery_slot_close(trial_delivery(trial), 5);
    check_outcome(trial_run(trial, &one), "a@x done 250");
    assert_int_equal(fake_smarthost_connections(trial_fake(trial)), 2);
    trial_end(trial);
}

/* After a reload sessions go on, unless they would go elsewhere or log in as somebody else. */
static void test_session_after_a_reload(void **state)
{
    static const struct fake_row first[] = { GREETING,      HELLO("250 AUTH PLAIN\r\n"),
                                             AUTH_PLAIN_OK, MAIL_OK,
                                             RCPT_A_OK,     DATA_OK,
                                             DOT_OK,        MAIL_OK,
                                             RCPT_A_OK,     DATA_OK,
                                             DOT_OK,        QUIT,
                                             FAKE_END };
    static const struct fake_row second[] = { GREETING,
                                              HELLO("250 AUTH PLAIN\r\n"),
                                              SAY("AUTH PLAIN AHVzZXIAYW5vdGhlcg==",
                                                  "235 2.7.0 welcome"),
                                              MAIL_OK,
                                              RCPT_A_OK,
                                              DATA_OK,
                                              DOT_OK,
                                              QUIT,
                                              FAKE_END };
    const struct fake_row *const scripts[] = { first, second, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = "tls = \"none\"; " LOGIN_SETTINGS };
    struct trial *trial = trial_new(&options);

    (void)state;
    check_outcome(trial_run(trial, &one), "a@x done 250");
    trial_reload(trial, "tls = \"none\"; connections-max = 2; " LOGIN_SETTINGS);
    check_outcome(trial_run(trial, &one), "a@x done 250");
    trial_reload(trial,
                 "tls = \"none\"; username = \"user\"; password-env = \"TRIAL_PASSWORD_2\"; ");
    check_outcome(trial_run(trial, &one), "a@x done 250");
    assert_int_equal(fake_smarthost_connections(trial_fake(trial)), 2);
    trial_end(trial);
}

/* --- Marks --- */

static void test_marks(void **state)
{
    static const struct fake_row script[] = {
        GREETING,  PLAIN_HELLO, MAIL_OK,
        RCPT_A_OK, RCPT_B_BAD,  RCPT_C_OK,
        DATA_OK,   DOT_OK,      SAY("MAIL", "451 4.3.0 later"),
        RSET,      QUIT,        FAKE_END
    };
    const struct fake_row *const scripts[] = { script, NULL };
    struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                     .settings = plain };
    struct trial *trial = trial_new(&options);
    struct inflight_mark mark;
    unsigned number = 0;

    (void)state;
    (void)trial_run(trial, &three);
    assert_true(delivery_inflight_next(trial_delivery(trial), &number, &mark));
    assert_int_equal(number, 1);
    assert_int_equal(mark.phase, INFLIGHT_AT_DOT);
    assert_int_equal(mark.key, 1000);
    assert_string_equal(mark.smarthost, "relay");
    assert_int_equal(mark.number_count, 2); /* whom the smarthost has accepted */
    assert_int_equal(mark.numbers[0], 1);
    assert_int_equal(mark.numbers[1], 3);
    delivery_mark_committed(trial_delivery(trial), 0);
    assert_int_equal(trial_mark_phase(trial), INFLIGHT_NONE);
    (void)trial_run(trial, &three);
    number = 0;
    assert_true(delivery_inflight_next(trial_delivery(trial), &number, &mark));
    assert_int_equal(mark.phase, INFLIGHT_TAKEN);
    assert_int_equal(mark.number_count, 3);
    delivery_mark_committed(trial_delivery(trial), 0);
    trial_end(trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_what_arrives),
        cmocka_unit_test(test_pipelining_is_used),
        cmocka_unit_test(test_surplus_recipients),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_missing_chunk_sends_no_dot),
        cmocka_unit_test(test_session_is_reused),
        cmocka_unit_test(test_messages_per_connection),
        cmocka_unit_test(test_dead_idle_session),
        cmocka_unit_test(test_fresh_session_is_not_stale),
        cmocka_unit_test(test_slot_close_says_quit),
        cmocka_unit_test(test_session_after_a_reload),
        cmocka_unit_test(test_marks),
    };

    return cmocka_run_group_tests(tests, delivery_fixture_set_up, delivery_fixture_tear_down);
}
