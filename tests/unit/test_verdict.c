/* The classifier beyond the recorded replies: what RFC 5321 and 3463 say alone, replies of the same kinds in other
   words, text that tries to steer, and the promises that hold for every rule. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "verdict.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

struct reply_case {
    const char *provider;
    enum verdict_stage stage;
    const char *reply;
    enum verdict_class class;
    enum verdict_scope scope;
    enum verdict_action action; /* ACTION_BOUNCE is permanent, nothing else is */
};

/* clang-format off */
static const struct reply_case plain_cases[] = {
    /* Before MAIL: never about mail. */
    { NULL, STAGE_CONNECT, "554 No SMTP service here", CLASS_POLICY_REFUSED, SCOPE_SMARTHOST, ACTION_PARK },
    { NULL, STAGE_CONNECT, "421 Service not available", CLASS_SERVER_TROUBLE, SCOPE_SMARTHOST, ACTION_RETRY },
    { NULL, STAGE_CONNECT, "450 too frequent connects from 192.0.2.1, please try again later.", CLASS_THROTTLED, SCOPE_SMARTHOST, ACTION_SLOW },
    { NULL, STAGE_CONNECT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", CLASS_POLICY_REFUSED, SCOPE_SMARTHOST, ACTION_PARK },
    { NULL, STAGE_EHLO, "502 5.5.1 Command not implemented", CLASS_PROTOCOL_ERROR, SCOPE_SMARTHOST, ACTION_PARK },
    { NULL, STAGE_STARTTLS, "454 4.7.0 TLS not available due to local problem", CLASS_TLS_FAILED, SCOPE_SMARTHOST, ACTION_RETRY },
    { NULL, STAGE_STARTTLS, "502 5.5.1 not supported", CLASS_TLS_FAILED, SCOPE_SMARTHOST, ACTION_PARK },
    { NULL, STAGE_AUTH, "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", CLASS_AUTH_FAILED, SCOPE_ACCOUNT, ACTION_PARK },
    { NULL, STAGE_AUTH, "454 4.7.0 Temporary authentication failure", CLASS_SERVER_TROUBLE, SCOPE_ACCOUNT, ACTION_RETRY },
    { NULL, STAGE_AUTH, "454 4.7.0 Too many login attempts, please try again later.", CLASS_THROTTLED, SCOPE_ACCOUNT, ACTION_SLOW },
    { NULL, STAGE_AUTH, "432 4.7.12 A password transition is needed", CLASS_AUTH_FAILED, SCOPE_ACCOUNT, ACTION_PARK },
    { NULL, STAGE_AUTH, "538 5.7.11 Encryption required for requested authentication mechanism", CLASS_TLS_FAILED, SCOPE_SMARTHOST, ACTION_PARK },
    { NULL, STAGE_AUTH, "500 5.5.6 Authentication exchange line is too long", CLASS_AUTH_FAILED, SCOPE_ACCOUNT, ACTION_PARK },
    /* MAIL. */
    { NULL, STAGE_MAIL, "550 something unheard of", CLASS_SENDER_REFUSED, SCOPE_SENDER, ACTION_PARK },
    { NULL, STAGE_MAIL, "554 5.7.1 something unheard of", CLASS_SENDER_REFUSED, SCOPE_SENDER, ACTION_PARK },
    { NULL, STAGE_MAIL, "501 5.1.7 Bad sender address syntax", CLASS_SENDER_REFUSED, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_MAIL, "553 sorry, your envelope address is malformed", CLASS_SENDER_REFUSED, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_MAIL, "553 5.7.1 <a@example.com>: Sender address rejected: not owned by user app", CLASS_SENDER_REFUSED, SCOPE_SENDER, ACTION_PARK },
    { NULL, STAGE_MAIL, "550 5.1.8 <a@example.com>: Sender address rejected: Domain not found", CLASS_SENDER_REFUSED, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_MAIL, "450 4.1.8 <a@example.com>: Sender address rejected: Domain not found", CLASS_SENDER_REFUSED, SCOPE_SENDER, ACTION_RETRY },
    { NULL, STAGE_MAIL, "552 5.3.4 Message size exceeds fixed limit", CLASS_DATA_ERROR, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_MAIL, "452 4.3.1 Insufficient system storage", CLASS_SERVER_TROUBLE, SCOPE_SMARTHOST, ACTION_RETRY },
    { NULL, STAGE_MAIL, "451 Requested action aborted: local error in processing", CLASS_SERVER_TROUBLE, SCOPE_SMARTHOST, ACTION_RETRY },
    { NULL, STAGE_MAIL, "503 5.5.1 Bad sequence of commands", CLASS_PROTOCOL_ERROR, SCOPE_CONNECTION, ACTION_RECONNECT },
    { NULL, STAGE_MAIL, "503 Error: need EHLO and AUTH first !", CLASS_AUTH_FAILED, SCOPE_ACCOUNT, ACTION_PARK },
    /* RCPT. */
    { NULL, STAGE_RCPT, "550 5.1.1 <u@example.com>: Recipient address rejected: User unknown in local recipient table", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "550 no", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "551 User not local; please try <v@example.org>", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "553 5.1.3 Invalid address", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "556 5.1.10 Recipient address has null MX", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "550 5.2.1 The email account that you tried to reach is disabled.", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "550 5.4.4 Host or domain name not found", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "554 5.7.1 <u@example.com>: Relay access denied", CLASS_AUTH_FAILED, SCOPE_SMARTHOST, ACTION_PARK },
    { NULL, STAGE_RCPT, "554 5.7.1 <u@example.com>: Recipient address rejected: Access denied", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "554 5.7.1 <host[192.0.2.1]>: Client host rejected: Access denied", CLASS_POLICY_REFUSED, SCOPE_SMARTHOST, ACTION_PARK },
    { NULL, STAGE_RCPT, "550 5.7.1 refused", CLASS_POLICY_REFUSED, SCOPE_SENDER, ACTION_PARK },
    { NULL, STAGE_RCPT, "452 4.5.3 Error: too many recipients", CLASS_RECIPIENTS_REFUSED, SCOPE_MESSAGE, ACTION_SPLIT },
    { NULL, STAGE_RCPT, "452 wait", CLASS_RECIPIENTS_REFUSED, SCOPE_MESSAGE, ACTION_SPLIT },
    { NULL, STAGE_RCPT, "452 4.3.1 Insufficient system storage", CLASS_SERVER_TROUBLE, SCOPE_SMARTHOST, ACTION_RETRY },
    { NULL, STAGE_RCPT, "450 4.2.0 <u@example.com>: Recipient address rejected: Greylisted", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_RETRY },
    { NULL, STAGE_RCPT, "450 4.1.2 <u@example.com>: Recipient address rejected: Domain not found", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_RETRY },
    { NULL, STAGE_RCPT, "552 5.2.2 <u@example.com> Quota exceeded (mailbox for user is full)", CLASS_QUOTA_EXCEEDED, SCOPE_RECIPIENT, ACTION_RETRY },
    { NULL, STAGE_RCPT, "550 5.2.121 Recipient's per hour message receive limit from this sender exceeded", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_RETRY },
    { NULL, STAGE_RCPT, "451 Temporary local problem - please try later", CLASS_SERVER_TROUBLE, SCOPE_RECIPIENT, ACTION_RETRY },
    { NULL, STAGE_RCPT, "421 4.3.2 Service shutting down", CLASS_SERVER_TROUBLE, SCOPE_SMARTHOST, ACTION_RETRY },
    { NULL, STAGE_RCPT, "452 Too many recipients received this hour", CLASS_QUOTA_EXCEEDED, SCOPE_ACCOUNT, ACTION_PARK },
    { NULL, STAGE_RCPT, "550 User app@example.com has exceeded its 24-hour sending limit.", CLASS_QUOTA_EXCEEDED, SCOPE_ACCOUNT, ACTION_PARK },
    /* DATA and the dot. */
    { NULL, STAGE_DATA, "451 4.3.0 queue file write error", CLASS_SERVER_TROUBLE, SCOPE_SMARTHOST, ACTION_RETRY },
    { NULL, STAGE_DATA, "554 5.5.1 Error: no valid recipients", CLASS_PROTOCOL_ERROR, SCOPE_MESSAGE, ACTION_RETRY },
    { NULL, STAGE_END_OF_DATA, "554 Transaction failed", CLASS_DATA_ERROR, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_END_OF_DATA, "552 5.3.4 Message too big", CLASS_DATA_ERROR, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_END_OF_DATA, "550 5.6.11 Bare <LF> not allowed", CLASS_DATA_ERROR, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_END_OF_DATA, "554 5.4.6 Too many hops", CLASS_DATA_ERROR, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_END_OF_DATA, "550-5.7.1 Our system has detected that this message is\\n550 5.7.1 likely unsolicited mail.", CLASS_POLICY_REFUSED, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_END_OF_DATA, "452 4.3.1 Insufficient system storage", CLASS_SERVER_TROUBLE, SCOPE_SMARTHOST, ACTION_RETRY },
    { NULL, STAGE_END_OF_DATA, "451 4.7.1 Greylisting in action, please come back later", CLASS_POLICY_REFUSED, SCOPE_MESSAGE, ACTION_RETRY },
    { NULL, STAGE_END_OF_DATA, "554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: app@example.com", CLASS_SENDER_REFUSED, SCOPE_SENDER, ACTION_PARK },
    { NULL, STAGE_END_OF_DATA, "454 Throttling failure: Daily message quota exceeded.", CLASS_QUOTA_EXCEEDED, SCOPE_ACCOUNT, ACTION_PARK },
    { NULL, STAGE_END_OF_DATA, "550 5.4.6 Unusual sending activity detected. Please try after sometime", CLASS_POLICY_REFUSED, SCOPE_ACCOUNT, ACTION_PARK },
    { NULL, STAGE_END_OF_DATA, "421 Domain mg.example.com is not allowed to send: recipient limit exceeded, try again after Sat, 01 Oct 2022 14:00:00 GMT", CLASS_QUOTA_EXCEEDED, SCOPE_ACCOUNT, ACTION_PARK },
    { NULL, STAGE_END_OF_DATA, "550 refused for now, try again later", CLASS_THROTTLED, SCOPE_ACCOUNT, ACTION_SLOW },
    { "office365", STAGE_END_OF_DATA, "554 5.2.0 STOREDRV.Submission.Exception:SomethingNewException", CLASS_POLICY_REFUSED, SCOPE_ACCOUNT, ACTION_PARK },
    { NULL, STAGE_ANY, "421 4.4.2 mx.example.com Error: timeout exceeded", CLASS_CONNECT_FAILED, SCOPE_CONNECTION, ACTION_RECONNECT },
    { NULL, STAGE_MAIL, "421 4.7.0 too many errors", CLASS_PROTOCOL_ERROR, SCOPE_CONNECTION, ACTION_RECONNECT },
    { NULL, STAGE_RCPT, "553 sorry, that domain isn't in my list of allowed rcpthosts", CLASS_AUTH_FAILED, SCOPE_SMARTHOST, ACTION_PARK },
    { NULL, STAGE_RCPT, "550-Verification failed for <a@example.com>\\n550 Sender verify failed", CLASS_SENDER_REFUSED, SCOPE_SENDER, ACTION_PARK },
    { NULL, STAGE_END_OF_DATA, "451 You have exceeded your messaging limits", CLASS_QUOTA_EXCEEDED, SCOPE_ACCOUNT, ACTION_PARK },
    { NULL, STAGE_END_OF_DATA, "552 5.7.0 Our system detected an illegal attachment on your message.", CLASS_POLICY_REFUSED, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_MAIL, "250 2.1.0 Ok then", CLASS_NONE, SCOPE_RECIPIENT, ACTION_RETRY },
};

/* The words of somebody else: of the address, of the subject, of a third server. */
static const struct reply_case hostile_cases[] = {
    { NULL, STAGE_RCPT, "550 5.1.1 <quota.exceeded@example.com>: User unknown", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "550 <daily-limit-exceeded@example.com>... no", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "550 your-account@suspended.example no", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "550 \"your account is suspended\"@example.com no", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "550 must-issue-a-starttls.example.com: no", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "550 host mx.example.com said: 535 5.7.8 authentication required, your account is suspended", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_BOUNCE },
    { NULL, STAGE_RCPT, "451 4.7.1 wait: 550 5.1.1 user unknown", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_RETRY },
    { NULL, STAGE_RCPT, "450 refused (550 5.1.1 user unknown)", CLASS_RECIPIENTS_REFUSED, SCOPE_RECIPIENT, ACTION_RETRY },
    { NULL, STAGE_END_OF_DATA, "554 message \"your account is suspended\" is spam", CLASS_POLICY_REFUSED, SCOPE_MESSAGE, ACTION_BOUNCE },
    { NULL, STAGE_END_OF_DATA, "451 see https://example.com/data-was-invalid/you-must-provide", CLASS_SERVER_TROUBLE, SCOPE_MESSAGE, ACTION_RETRY },
    /* Not an enhanced code: wrong place, wrong class, a dotted quad, too many digits. */
    { NULL, STAGE_MAIL, "550 refused 5.6.0 here", CLASS_SENDER_REFUSED, SCOPE_SENDER, ACTION_PARK },
    { NULL, STAGE_MAIL, "451 5.1.7 bad address", CLASS_SERVER_TROUBLE, SCOPE_SMARTHOST, ACTION_RETRY },
    { NULL, STAGE_MAIL, "550 5.6.0.1 is your address", CLASS_SENDER_REFUSED, SCOPE_SENDER, ACTION_PARK },
    { NULL, STAGE_MAIL, "550 5.6.0000 no", CLASS_SENDER_REFUSED, SCOPE_SENDER, ACTION_PARK },
    { NULL, STAGE_MAIL, "550 (size 535 KB) no", CLASS_SENDER_REFUSED, SCOPE_SENDER, ACTION_PARK },
};
/* clang-format on */

static struct verdict judge(const struct reply_case *c)
{
    struct smtp_reply reply;
    AUTO_FREE char *text = NULL;
    struct error err;

    if (!smtp_reply_parse(c->reply, &reply, &text, &err))
        fail_msg("%s: %s", c->reply, err.text);
    return verdict_of_reply(c->provider, c->stage, &reply);
}

static void check_cases(const struct reply_case *cases, size_t count)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < count; i++) {
        const struct reply_case *c = &cases[i];
        struct verdict verdict = judge(c);
        bool is_right = verdict.class == c->class && verdict.scope == c->scope &&
                        verdict.action == c->action &&
                        verdict.is_permanent == (c->action == ACTION_BOUNCE) &&
                        verdict.is_success == (c->class == CLASS_NONE);
        if (is_right)
            continue;
        wrong++;
        print_message("%s: %s\n    rule %s: class %d, %s, %s\n", verdict_stage_name(c->stage),
                      c->reply, verdict.rule, (int)verdict.class, verdict_scope_name(verdict.scope),
                      verdict_action_name(verdict.action));
    }
    assert_int_equal(wrong, 0);
}

static void test_plain_replies(void **state)
{
    (void)state;
    check_cases(plain_cases, COUNT_OF(plain_cases));
}

static void test_hostile_replies(void **state)
{
    (void)state;
    check_cases(hostile_cases, COUNT_OF(hostile_cases));
}

/* Every code with every enhanced code and every text that we know, said too early. */
static void test_nothing_before_mail_is_permanent(void **state)
{
    static const enum verdict_stage stages[] = { STAGE_CONNECT, STAGE_EHLO, STAGE_STARTTLS,
                                                 STAGE_AUTH, STAGE_ANY };

    (void)state;
    for (size_t s = 0; s < COUNT_OF(stages); s++) {
        for (int code = 400; code <= 599; code += code % 100 < 60 ? 1 : 39) {
            for (size_t i = 0; i < COUNT_OF(plain_cases); i++) {
                struct smtp_reply reply = { .code = code, .text = plain_cases[i].reply + 4 };
                (void)smtp_reply_enhanced(code, reply.text, reply.enhanced);
                struct verdict verdict = verdict_of_reply("gmail", stages[s], &reply);
                assert_false(verdict.is_permanent);
                assert_int_not_equal(verdict.action, ACTION_BOUNCE);
                assert_int_not_equal(verdict.scope, SCOPE_RECIPIENT);
                assert_false(verdict.is_success);
            }
        }
    }
}

static void test_4xx_without_words_is_never_permanent(void **state)
{
    static const int codes[] = { 400, 421, 432, 450, 451, 452, 454, 455, 499 };

    (void)state;
    for (enum verdict_stage stage = 0; stage < STAGE_COUNT; stage++) {
        for (size_t i = 0; i < COUNT_OF(codes); i++) {
            int code = codes[i];
            for (int subject = 0; subject <= 7; subject++) {
                for (int detail = 0; detail <= 30; detail++) {
                    struct smtp_reply reply = { .code = code, .text = "" };
                    char enhanced[32];
                    (void)snprintf(enhanced, sizeof enhanced, "4.%d.%d", subject, detail);
                    (void)smtp_reply_enhanced(code, enhanced, reply.enhanced);
                    assert_false(verdict_of_reply(NULL, stage, &reply).is_permanent);
                }
            }
        }
    }
}

static void test_any_code_and_bytes_get_a_verdict(void **state)
{
    uint32_t random = 12345;
    char text[300];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof text - 1; i++) {
            static const char bytes[] = "ab .:@<>\"'\\-/\n5\xE2\x80\x99\xFF(E";
            random = random * 1664525u + 1013904223u;
            text[i] = bytes[(random >> 16) % (sizeof bytes - 1)];
        }
        text[sizeof text - 1] = '\0';
        struct smtp_reply reply = { .code = (int)((random >> 8) % 1000), .text = text };
        enum verdict_stage stage = (enum verdict_stage)(random % STAGE_COUNT);
        assert_non_null(verdict_of_reply("gmail", stage, &reply).rule);
    }
}

/* Quadratic work would show in a text of nothing but beginnings. */
static void test_endless_text_is_cut(void **state)
{
    enum { LEN = 1 << 20 };
    AUTO_FREE char *text = malloc(LEN + 1);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < LEN; i++)
        text[i] = "a-<\"."[i % 5];
    text[LEN] = '\0';
    struct smtp_reply reply = { .code = 550, .text = text };
    assert_string_equal(verdict_of_reply(NULL, STAGE_RCPT, &reply).rule, "rcpt-5xx-refused");
}

static void test_rule_names_are_words_and_unique(void **state)
{
    size_t count = 0;

    (void)state;
    for (; verdict_rule_name(count) != NULL; count++) {
        const char *name = verdict_rule_name(count);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyzX0123456789.-"), strlen(name));
        for (size_t i = 0; i < count; i++)
            assert_string_not_equal(name, verdict_rule_name(i));
    }
    assert_true(count > 100);
}

static void test_troubles(void **state)
{
    static const struct {
        enum trouble trouble;
        enum verdict_class class;
        enum verdict_scope scope;
        enum verdict_action action;
    } rows[] = {
        {TROUBLE_RESOLVE,          CLASS_CONNECT_FAILED, SCOPE_SMARTHOST,  ACTION_RETRY    },
        { TROUBLE_TIMEOUT,         CLASS_CONNECT_FAILED, SCOPE_SMARTHOST,  ACTION_RETRY    },
        { TROUBLE_LOST,            CLASS_CONNECT_FAILED, SCOPE_CONNECTION, ACTION_RECONNECT},
        { TROUBLE_TLS_CERTIFICATE, CLASS_TLS_FAILED,     SCOPE_SMARTHOST,  ACTION_PARK     },
        { TROUBLE_TLS_MISSING,     CLASS_TLS_FAILED,     SCOPE_SMARTHOST,  ACTION_PARK     },
        { TROUBLE_AUTH_MISSING,    CLASS_AUTH_FAILED,    SCOPE_ACCOUNT,    ACTION_PARK     },
        { TROUBLE_SECRET,          CLASS_AUTH_FAILED,    SCOPE_ACCOUNT,    ACTION_PARK     },
        { TROUBLE_TOO_LARGE,       CLASS_DATA_ERROR,     SCOPE_MESSAGE,    ACTION_BOUNCE   },
        { TROUBLE_BODY,            CLASS_SERVER_TROUBLE, SCOPE_MESSAGE,    ACTION_RETRY    },
        { TROUBLE_STOPPED,         CLASS_CONNECT_FAILED, SCOPE_CONNECTION, ACTION_RECONNECT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct verdict verdict = verdict_of_trouble(STAGE_MAIL, rows[i].trouble);
        assert_int_equal(verdict.class, rows[i].class);
        assert_int_equal(verdict.scope, rows[i].scope);
        assert_int_equal(verdict.action, rows[i].action);
        assert_int_equal(verdict.is_permanent, rows[i].action == ACTION_BOUNCE);
    }
    for (enum trouble trouble = 0; trouble < TROUBLE_COUNT; trouble++) {
        assert_non_null(trouble_name(trouble));
        assert_non_null(verdict_of_trouble(STAGE_ANY, trouble).rule);
    }
}

static void test_wait_texts(void **state)
{
    static const struct {
        int64_t wait_s;
        const char *text;
    } rows[] = {
        {WAIT_NONE,          ""            },
        { WAIT_HUMAN,        "human"       },
        { WAIT_PRINTED_TIME, "printed-time"},
        { 1,                 "1s"          },
        { 60,                "1m"          },
        { 5400,              "90m"         },
        { 86400,             "24h"         }
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[32];
        verdict_wait_text(rows[i].wait_s, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void test_words_read_back(void **state)
{
    (void)state;
    for (enum verdict_stage stage = 0; stage < STAGE_COUNT; stage++) {
        enum verdict_stage parsed = STAGE_COUNT;
        assert_true(verdict_stage_parse(verdict_stage_name(stage), &parsed));
        assert_int_equal(parsed, stage);
    }
    assert_null(verdict_class_name(CLASS_NONE));
    for (enum verdict_class value = CLASS_NONE + 1; value < CLASS_COUNT; value++) {
        enum verdict_class parsed = CLASS_NONE;
        assert_true(verdict_class_parse(verdict_class_name(value), &parsed));
        assert_int_equal(parsed, value);
    }
    enum verdict_class parsed = CLASS_NONE;
    assert_false(verdict_class_parse("bounced", &parsed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_replies),
        cmocka_unit_test(test_hostile_replies),
        cmocka_unit_test(test_nothing_before_mail_is_permanent),
        cmocka_unit_test(test_4xx_without_words_is_never_permanent),
        cmocka_unit_test(test_any_code_and_bytes_get_a_verdict),
        cmocka_unit_test(test_endless_text_is_cut),
        cmocka_unit_test(test_rule_names_are_words_and_unique),
        cmocka_unit_test(test_troubles),
        cmocka_unit_test(test_wait_texts),
        cmocka_unit_test(test_words_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
