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
#include "inflight.h"
#include "strbuf.h"
#include "xalloc.h"

#define GREETING                                                                                   \
    {                                                                                              \
        NULL, "220 fake ESMTP\r\n", FAKE_GO_ON                                                     \
    }
#define HELLO(lines)                                                                               \
    {                                                                                              \
        "EHLO app1.example.com", "250-fake\r\n" lines, FAKE_GO_ON                                  \
    }
#define PLAIN_HELLO     HELLO("250-SIZE 1000000\r\n250 8BITMIME\r\n")
#define PIPELINED_HELLO HELLO("250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n")
#define SAY(command, reply)                                                                        \
    {                                                                                              \
        command, reply "\r\n", FAKE_GO_ON                                                          \
    }
#define MAIL_OK    SAY("MAIL FROM:<s@example.com>", "250 2.1.0 sender ok")
#define RCPT_A_OK  SAY("RCPT TO:<a@example.com>", "250 2.1.5 a ok")
#define RCPT_B_BAD SAY("RCPT TO:<b@example.com>", "550 5.1.1 b no such user")
#define RCPT_C_OK  SAY("RCPT TO:<c@example.com>", "250 2.1.5 c ok")
#define DATA_OK    SAY("DATA", "354 go on")
#define DOT_OK     SAY(".", "250 2.0.0 queued as 4711")
#define QUIT       SAY("QUIT", "221 2.0.0 bye")
#define RSET       SAY("RSET", "250 2.0.0 reset")

static const char plain[] = "tls = \"none\";";
static const struct trial_message three = { .recipients =
                                                "a@example.com b@example.com c@example.com" };
static const struct trial_message one = { .recipients = "a@example.com" };

/* --- A dialogue with one order --- */

struct dialogue {
    const char *name;
    const struct fake_row *script;
    struct trial_message message;
    const char *outcome;
    const char *reply; /* of the first recipient; NULL: not looked at */
    unsigned messages; /* that the smarthost got */
};

static const struct fake_row step_by_step[] = { GREETING,   PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                                RCPT_B_BAD, RCPT_C_OK,   DATA_OK, DOT_OK,
                                                QUIT,       FAKE_END };
static const struct fake_row pipelined[] = { GREETING,   PIPELINED_HELLO, MAIL_OK, RCPT_A_OK,
                                             RCPT_B_BAD, RCPT_C_OK,       DATA_OK, DOT_OK,
                                             QUIT,       FAKE_END };
static const struct fake_row all_refused[] = { GREETING,   PLAIN_HELLO,
                                               MAIL_OK,    SAY("RCPT TO:<a@", "550 5.1.1 no"),
                                               RCPT_B_BAD, SAY("RCPT TO:<c@", "450 4.2.1 later"),
                                               RSET,       QUIT,
                                               FAKE_END };
static const struct fake_row all_refused_pipelined[] = { GREETING,
                                                         PIPELINED_HELLO,
                                                         MAIL_OK,
                                                         SAY("RCPT TO:<a@", "550 5.1.1 no"),
                                                         RCPT_B_BAD,
                                                         SAY("RCPT TO:<c@", "450 4.2.1 later"),
                                                         SAY("DATA",
                                                             "554 5.5.1 no valid recipients"),
                                                         RSET,
                                                         QUIT,
                                                         FAKE_END };
/* RFC 2920: 354 although there is nobody: an empty message, and its reply means nothing. */
static const struct fake_row lone_dot[] = { GREETING, PIPELINED_HELLO,
                                            MAIL_OK,  SAY("RCPT TO:<a@", "550 5.1.1 no"),
                                            DATA_OK,  DOT_OK,
                                            QUIT,     FAKE_END };
static const struct fake_row lone_dot_refused[] = { GREETING, PIPELINED_HELLO,
                                                    MAIL_OK,  SAY("RCPT TO:<a@", "550 5.1.1 no"),
                                                    DATA_OK,  SAY(".", "554 5.5.0 nobody"),
                                                    RSET,     QUIT,
                                                    FAKE_END };
static const struct fake_row sender_refused[] = {
    GREETING, PLAIN_HELLO, SAY("MAIL FROM:<s@", "501 5.1.7 bad sender address syntax"),
    RSET,     QUIT,        FAKE_END
};
static const struct fake_row sender_refused_pipelined[] = {
    GREETING,
    PIPELINED_HELLO,
    SAY("MAIL FROM:<s@", "501 5.1.7 bad sender address syntax"),
    SAY("RCPT", "503 5.5.1 MAIL first"),
    SAY("DATA", "503 5.5.1 RCPT first"),
    RSET,
    QUIT,
    FAKE_END
};
static const struct fake_row data_refused[] = {
    GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK, SAY("DATA", "554 5.6.0 content refused"),
    RSET,     QUIT,        FAKE_END
};
static const struct fake_row dot_refused[] = {
    GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK, DATA_OK, SAY(".", "554 5.6.0 content refused"),
    RSET,     QUIT,        FAKE_END
};
static const struct fake_row dot_later[] = {
    GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK, DATA_OK, SAY(".", "451 4.3.0 try again"),
    RSET,     QUIT,        FAKE_END
};
static const struct fake_row size_given[] = {
    GREETING,  PLAIN_HELLO, SAY("MAIL FROM:<s@example.com> SIZE=35 BODY=8BITMIME", "250 ok"),
    RCPT_A_OK, DATA_OK,     DOT_OK,
    QUIT,      FAKE_END
};
static const struct fake_row smtputf8[] = { GREETING,
                                            HELLO("250-8BITMIME\r\n250 SMTPUTF8\r\n"),
                                            SAY("MAIL FROM:<s@example.com> SMTPUTF8", "250 ok"),
                                            SAY("RCPT TO:<\xc3\xa4@example.com>", "250 ok"),
                                            DATA_OK,
                                            DOT_OK,
                                            QUIT,
                                            FAKE_END };
static const struct fake_row nothing_sent[] = { GREETING, HELLO("250 SIZE 1000\r\n"), QUIT,
                                                FAKE_END };
static const struct fake_row null_sender[] = {
    GREETING, PLAIN_HELLO, SAY("MAIL FROM:<> SIZE=", "250 ok"), RCPT_A_OK, DATA_OK, DOT_OK,
    QUIT,     FAKE_END
};
static const struct fake_row helo[] = {
    GREETING,
    SAY("EHLO app1.example.com", "502 5.5.1 unknown"),
    SAY("HELO app1.example.com", "250 fake"),
    {"MAIL FROM:<s@example.com>", "250 ok\r\n", FAKE_GO_ON},
    RCPT_A_OK,
    DATA_OK,
    DOT_OK,
    QUIT,
    FAKE_END
};
static const struct fake_row multi_line[] = {
    {NULL, "220-fake\r\n220 ESMTP\r\n", FAKE_GO_ON},
    PLAIN_HELLO,
    SAY("MAIL", "250-2.1.0 yes\r\n250 2.1.0 ok"),
    SAY("RCPT", "251 2.1.5 forwarded"),
    DATA_OK,
    SAY(".", "250-2.0.0 queued\r\n250 2.0.0 as 1"),
    QUIT,
    FAKE_END
};
static const struct fake_row limits[] = { GREETING,   HELLO("250 LIMITS RCPTMAX=2\r\n"),
                                          MAIL_OK,    RCPT_A_OK,
                                          RCPT_B_BAD, DATA_OK,
                                          DOT_OK,     QUIT,
                                          FAKE_END };
static const struct fake_row busy_greeting[] = {
    {NULL, "421 4.3.2 busy\r\n", FAKE_CLOSE}
};
static const struct fake_row refused_greeting[] = {
    {NULL, "554 5.7.1 go away\r\n", FAKE_GO_ON},
    QUIT, FAKE_END
};
static const struct fake_row shutdown_at_rcpt[] = {
    GREETING, PLAIN_HELLO, MAIL_OK, {"RCPT", "421 4.3.2 shutting down\r\n", FAKE_CLOSE}
};
static const struct fake_row shutdown_at_dot[] = {
    GREETING,  PLAIN_HELLO, MAIL_OK,
    RCPT_A_OK, DATA_OK,     {".", "421 4.3.2 shutting down\r\n", FAKE_CLOSE}
};

#define ALL_THREE                                                                                  \
    "a@example.com done 250, b@example.com refused 550 recipients-refused, c@example.com done 250"

static const struct dialogue dialogues[] = {
    {"step by step",
     step_by_step,                                      { .recipients = "a@example.com b@example.com c@example.com" },
     ALL_THREE,                                                                                                                                                           "queued as 4711",
     1                                                                                                                                                                                                                              },
    { "pipelined",
     pipelined,                                         { .recipients = "a@example.com b@example.com c@example.com" },
     ALL_THREE,                                                                                                                                                           "queued as 4711",
     1                                                                                                                                                                                                                              },
    { "all recipients refused",
     all_refused,                                       { .recipients = "a@example.com b@example.com c@example.com" },
     "a@example.com refused 550 recipients-refused, b@example.com refused 550 recipients-refused, "
     "c@example.com refused 450 recipients-refused",                                                                                                                      "no",
     0                                                                                                                                                                                                                              },
    { "all recipients refused, pipelined",
     all_refused_pipelined,                             { .recipients = "a@example.com b@example.com c@example.com" },
     "a@example.com refused 550 recipients-refused, b@example.com refused 550 recipients-refused, "
     "c@example.com refused 450 recipients-refused",                                                                                                                      "no",
     0                                                                                                                                                                                                                              },
    { "354 for nobody",                    lone_dot,    { 0 },                                                            "a@example.com refused 550 recipients-refused", "no",                                                    1},
    { "354 for nobody, then refused",
     lone_dot_refused,                                  { 0 },
     "a@example.com refused 550 recipients-refused",                                                                                                                      "no",
     1                                                                                                                                                                                                                              },
    { "sender refused",
     sender_refused,                                    { 0 },
     "a@example.com refused 501 sender-refused",                                                                                                                          "bad sender address syntax",
     0                                                                                                                                                                                                                              },
    { "sender refused, pipelined",
     sender_refused_pipelined,                          { 0 },
     "a@example.com refused 501 sender-refused",                                                                                                                          "bad sender address syntax",
     0                                                                                                                                                                                                                              },
    { "refused at DATA",
     data_refused,                                      { 0 },
     "a@example.com refused 554 data-error",                                                                                                                              "content refused",
     0                                                                                                                                                                                                                              },
    { "refused at the dot",
     dot_refused,                                       { 0 },
     "a@example.com refused 554 data-error",                                                                                                                              "content refused",
     1                                                                                                                                                                                                                              },
    { "later at the dot", dot_later, { 0 }, "a@example.com untried; trouble server-trouble at end-of-data 451", NULL, 1 },
    { "parameters of MAIL",                size_given,  { .is_8bit = true },                                              "a@example.com done 250",                       NULL,                                                    1},
    { "SMTPUTF8",
     smtputf8,                                          { .recipients = "\xc3\xa4@example.com", .needs_smtputf8 = true },
     "\xc3\xa4@example.com done 250",                                                                                                                                     NULL,
     1                                                                                                                                                                                                                              },
    { "too large",
     nothing_sent,                                      { .size_bytes = 1001 },
     "a@example.com refused data-error",                                                                                                                                  "the message is larger than the smarthost takes (SIZE)",
     0                                                                                                                                                                                                                              },
    { "8-bit, no 8BITMIME",
     nothing_sent,                                      { .is_8bit = true },
     "a@example.com refused data-error",                                                                                                                                  NULL,
     0                                                                                                                                                                                                                              },
    { "no SMTPUTF8",
     nothing_sent,                                      { .needs_smtputf8 = true },
     "a@example.com refused data-error",                                                                                                                                  NULL,
     0                                                                                                                                                                                                                              },
    { "null sender",                       null_sender, { .sender = "" },                                                 "a@example.com done 250",                       NULL,                                                    1},
    { "HELO",                              helo,        { 0 },                                                            "a@example.com done 250",                       NULL,                                                    1},
    { "replies of several lines",          multi_line,  { 0 },                                                            "a@example.com done 250",                       "queued\nas 1",                                          1},
    { "fewer recipients at once",
     limits,                                            { .recipients = "a@example.com b@example.com c@example.com" },
     "a@example.com done 250, b@example.com refused 550 recipients-refused, c@example.com refused "
     "throttled",                                                                                                                                                         "queued as 4711",
     1                                                                                                                                                                                                                              },
    { "421 for a greeting",
     busy_greeting,                                     { 0 },
     "a@example.com untried; trouble server-trouble at connect 421",                                                                                                      NULL,
     0                                                                                                                                                                                                                              },
    { "554 for a greeting",
     refused_greeting,                                  { 0 },
     "a@example.com untried; trouble policy-refused at connect 554",                                                                                                      NULL,
     0                                                                                                                                                                                                                              },
    { "421 at RCPT",
     shutdown_at_rcpt,                                  { 0 },
     "a@example.com untried; trouble server-trouble at rcpt 421",                                                                                                         NULL,
     0                                                                                                                                                                                                                              },
    { "421 at the dot",
     shutdown_at_dot,                                   { 0 },
     "a@example.com untried; trouble server-trouble at end-of-data 421",                                                                                                  NULL,
     1                                                                                                                                                                                                                              },
};

static void hold(const struct dialogue *dialogue, size_t write_max)
{
    const struct fake_row *const scripts[] = { dialogue->script, NULL };
    struct trial_options options = {
        .fake = {.scripts = scripts, .cut_at = -1, .write_max = write_max},
          .settings = plain
    };
    struct trial *trial = trial_new(&options);
    struct delivery_order *order = trial_run(trial, &dialogue->message);

    check_outcome(order, dialogue->outcome);
    if (dialogue->reply != NULL)
        assert_string_equal(order->recipients[0].reply, dialogue->reply);
    assert_int_equal(fake_smarthost_messages(trial_fake(trial)), dialogue->messages);
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
    struct trial_options options = {
        .fake = {.scripts = scripts, .cut_at = -1},
          .settings = plain
    };
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
    static const struct fake_row script[] = {
        GREETING,
        PIPELINED_HELLO,
        {"MAIL",  NULL,                          FAKE_GO_ON},
        { "RCPT", NULL,                          FAKE_GO_ON},
        { "DATA", "250 a\r\n250 b\r\n354 c\r\n", FAKE_GO_ON},
        DOT_OK,
        QUIT,
        FAKE_END
    };
    const struct fake_row *const scripts[] = { script, NULL };
    struct trial_options options = {
        .fake = {.scripts = scripts, .cut_at = -1},
          .settings = plain
    };
    struct trial *trial = trial_new(&options);

    (void)state;
    check_outcome(trial_run(trial, &one), "a@example.com done 250");
    trial_end(trial);
}

/* --- Bodies in chunks --- */

static void test_chunks(void **state)
{
    static const struct fake_row script[] = { GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                              DATA_OK,  DOT_OK,      QUIT,    FAKE_END };
    const struct fake_row *const scripts[] = { script, NULL };
    struct trial_options options = {
        .fake = {.scripts = scripts, .cut_at = -1},
          .settings = plain
    };
    AUTO_STRBUF struct strbuf body;
    size_t len = 0;

    (void)state;
    strbuf_init(&body);
    for (unsigned i = 0; i < 12000; i++)
        strbuf_append_format(&body, "%sline %u of a message that takes several chunks\r\n",
                             i % 7 == 0 ? "." : "", i);
    struct trial *trial = trial_new(&options);
    struct trial_message message = { .body = body.data, .chunk_size = 100000 };
    check_outcome(trial_run(trial, &message), "a@example.com done 250");
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
        {.body = "Subject: x\r\n\r\nfirst\r\nsecond\r\n",  .chunk_size = 10, .missing_chunk = 2 },
        { .body = "Subject: x\r\n\r\nfirst\r\nsecond\r\n",
         .chunk_size = 10,
         .is_spool_dead = true },
        { .body = "Subject: x\r\n\r\nbare\nline\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(messages); i++) {
        struct trial_options options = {
            .fake = {.scripts = scripts, .cut_at = -1},
              .settings = plain, .step_ms = 500
        };
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
    struct trial_options options = {
        .fake = {.scripts = scripts, .cut_at = -1},
          .settings = plain
    };
    struct trial *trial = trial_new(&options);

    (void)state;
    check_outcome(trial_run(trial, &one), "a@example.com done 250");
    check_outcome(trial_run(trial, &one), "a@example.com refused 550 recipients-refused");
    struct delivery_order *order = trial_run(trial, &one);
    check_outcome(order, "a@example.com done 250");
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
    struct trial_options options = {
        .fake = {.scripts = scripts, .cut_at = -1},
        .settings = "tls = \"none\"; messages-per-connection = 2;"
    };
    struct trial *trial = trial_new(&options);
    static const bool is_open[] = { true, false, false };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(is_open); i++) {
        struct delivery_order *order = trial_run(trial, &one);
        check_outcome(order, "a@example.com done 250");
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
        GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK, DATA_OK, DOT_OK, {"MAIL", NULL, FAKE_CLOSE}
    };
    static const struct fake_row reset_at_mail[] = {
        GREETING, PIPELINED_HELLO, MAIL_OK, RCPT_A_OK, DATA_OK, DOT_OK, {"MAIL", NULL, FAKE_RESET}
    };
    static const struct fake_row told[] = {
        GREETING,  PLAIN_HELLO, MAIL_OK,
        RCPT_A_OK, DATA_OK,     {".", "250 ok\r\n421 4.4.2 idle too long\r\n", FAKE_CLOSE}
    };
    static const struct fake_row told_at_mail[] = {
        GREETING,
        PLAIN_HELLO,
        MAIL_OK,
        RCPT_A_OK,
        DATA_OK,
        DOT_OK,
        {"MAIL", "421 4.4.2 enough messages\r\n", FAKE_CLOSE}
    };
    static const struct fake_row babbling[] = {
        GREETING,
        PLAIN_HELLO,
        MAIL_OK,
        RCPT_A_OK,
        DATA_OK,
        DOT_OK,
        {"MAIL", "250 ok\r\n250 ok\r\n", FAKE_STALL}
    };
    static const struct fake_row fresh[] = { GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK,
                                             DATA_OK,  DOT_OK,      QUIT,    FAKE_END };
    static const struct {
        const char *name;
        const struct fake_row *script;
        const char *outcome;
    } rows[] = {
        {"closed",               closed,         "a@example.com done 250"},
        { "closed at MAIL",      closed_at_mail, "a@example.com done 250"},
        { "reset at MAIL",       reset_at_mail,  "a@example.com done 250"},
        { "421 behind the 250",  told,           "a@example.com done 250"},
        { "421 at MAIL",         told_at_mail,   "a@example.com done 250"},
        { "two replies to MAIL", babbling,
         "a@example.com untried; trouble protocol-error at rcpt"         },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct fake_row *const scripts[] = { rows[i].script, fresh, NULL };
        struct trial_options options = {
            .fake = {.scripts = scripts, .cut_at = -1},
              .settings = plain
        };
        struct trial *trial = trial_new(&options);
        print_message("%s\n", rows[i].name);
        check_outcome(trial_run(trial, &one), "a@example.com done 250");
        check_outcome(trial_run(trial, &one), rows[i].outcome);
        trial_end(trial);
    }
}

/* Once only: a smarthost that drops every connection at MAIL is in trouble. */
static void test_fresh_session_is_not_stale(void **state)
{
    static const struct fake_row first[] = {
        GREETING, PLAIN_HELLO, MAIL_OK, RCPT_A_OK, DATA_OK, DOT_OK, {"MAIL", NULL, FAKE_CLOSE}
    };
    static const struct fake_row again[] = {
        GREETING, PLAIN_HELLO, {"MAIL", NULL, FAKE_CLOSE}
    };
    const struct fake_row *const scripts[] = { first, again, NULL };
    struct trial_options options = {
        .fake = {.scripts = scripts, .cut_at = -1},
          .settings = plain
    };
    struct trial *trial = trial_new(&options);

    (void)state;
    check_outcome(trial_run(trial, &one), "a@example.com done 250");
    struct delivery_order *order = trial_run(trial, &one);
    check_outcome(order, "a@example.com untried; trouble connect-failed at mail");
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
    struct trial_options options = {
        .fake = {.scripts = scripts, .cut_at = -1},
          .settings = plain
    };
    struct trial *trial = trial_new(&options);

    (void)state;
    check_outcome(trial_run(trial, &one), "a@example.com done 250");
    delivery_slot_close(trial_delivery(trial), 0);
    delivery_slot_close(trial_delivery(trial), 5);
    check_outcome(trial_run(trial, &one), "a@example.com done 250");
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
    struct trial_options options = {
        .fake = {.scripts = scripts, .cut_at = -1},
          .settings = plain
    };
    struct trial *trial = trial_new(&options);
    struct inflight_mark mark;
    unsigned slot = 0;

    (void)state;
    (void)trial_run(trial, &three);
    assert_true(delivery_inflight_next(trial_delivery(trial), &slot, &mark));
    assert_int_equal(slot, 1);
    assert_int_equal(mark.phase, INFLIGHT_AT_DOT);
    assert_int_equal(mark.key, 1000);
    assert_string_equal(mark.smarthost, "relay");
    assert_int_equal(mark.number_count, 2); /* whom the smarthost has accepted */
    assert_int_equal(mark.numbers[0], 1);
    assert_int_equal(mark.numbers[1], 3);
    delivery_slot_committed(trial_delivery(trial), 0);
    assert_int_equal(trial_mark_phase(trial), INFLIGHT_NONE);
    (void)trial_run(trial, &three);
    slot = 0;
    assert_true(delivery_inflight_next(trial_delivery(trial), &slot, &mark));
    assert_int_equal(mark.phase, INFLIGHT_TAKEN);
    assert_int_equal(mark.number_count, 3);
    delivery_slot_committed(trial_delivery(trial), 0);
    trial_end(trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialogues),
        cmocka_unit_test(test_what_arrives),
        cmocka_unit_test(test_pipelining_is_used),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_missing_chunk_sends_no_dot),
        cmocka_unit_test(test_session_is_reused),
        cmocka_unit_test(test_messages_per_connection),
        cmocka_unit_test(test_dead_idle_session),
        cmocka_unit_test(test_fresh_session_is_not_stale),
        cmocka_unit_test(test_slot_close_says_quit),
        cmocka_unit_test(test_marks),
    };

    return cmocka_run_group_tests(tests, delivery_fixture_set_up, delivery_fixture_tear_down);
}
