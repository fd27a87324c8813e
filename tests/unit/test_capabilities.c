/* The EHLO parser, and the AUTH mechanisms that it names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "auth.h"
#include "capabilities.h"
#include "cleanup.h"
#include "strbuf.h"

static void test_all_keywords(void **state)
{
    struct capabilities offered;

    (void)state;
    capabilities_parse("mail.example.com at your service\nPIPELINING\nSIZE "
                       "35882577\n8BITMIME\nSMTPUTF8\nSTARTTLS\n"
                       "ENHANCEDSTATUSCODES\nDSN\nAUTH LOGIN PLAIN XOAUTH2\nLIMITS MAILMAX=20 "
                       "RCPTMAX=100 X=1\nCHUNKING",
                       &offered);
    assert_true(offered.has_pipelining && offered.has_8bitmime && offered.has_smtputf8);
    assert_true(offered.has_starttls && offered.has_enhanced_codes && offered.has_dsn);
    assert_true(offered.has_size && offered.has_auth);
    assert_int_equal(offered.size_max, 35882577);
    assert_int_equal(offered.mail_max, 20);
    assert_int_equal(offered.rcpt_max, 100);
    assert_int_equal(offered.auth_mechanisms,
                     auth_mechanism_bit("PLAIN", 5) | auth_mechanism_bit("LOGIN", 5));
}

/* What each reply must say, and what it must not. */
static const struct {
    const char *name;
    const char *text;
    struct capabilities expected;
} rows[] = {
    {"nothing",                "hello",                                { 0 }                                           },
    { "the first line greets", "STARTTLS\nDSN",                        { .has_dsn = true }                             },
    { "lower case",            "x\nstarttls\npipelining",              { .has_starttls = true, .has_pipelining = true }},
    { "longer words",          "x\nSTARTTLSX\nXSTARTTLS\nDSNS",        { 0 }                                           },
    { "SIZE alone",            "x\nSIZE",                              { .has_size = true }                            },
    { "SIZE 0: no limit",      "x\nSIZE 0",                            { .has_size = true }                            },
    { "SIZE of no use",        "x\nSIZE 10x",                          { .has_size = true }                            },
    { "SIZE negative",         "x\nSIZE -1",                           { .has_size = true }                            },
    { "SIZE beyond numbers",   "x\nSIZE 99999999999999999999",         { .has_size = true }                            },
    { "AUTH alone",            "x\nAUTH",                              { .has_auth = true }                            },
    { "AUTH unknown",          "x\nAUTH GSSAPI NTLM",                  { .has_auth = true }                            },
    { "AUTH in lower case",    "x\nauth plain",                        { .has_auth = true, .auth_mechanisms = 1 }      },
    { "AUTH= of old",          "x\nAUTH=PLAIN",                        { .has_auth = true, .auth_mechanisms = 1 }      },
    { "AUTH twice",            "x\nAUTH PLAIN\nAUTH=LOGIN",            { .has_auth = true, .auth_mechanisms = 3 }      },
    { "AUTH, a longer name",   "x\nAUTH PLAINER PLAI",                 { .has_auth = true }                            },
    { "LIMITS without values", "x\nLIMITS RCPTMAX= RCPTMAX MAILMAX=x", { 0 }                                           },
    { "LIMITS too large",      "x\nLIMITS RCPTMAX=12345678",           { 0 }                                           },
    { "blanks around",         "x\nSIZE   7  ",                        { .has_size = true, .size_max = 7 }             },
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct capabilities offered;
        const struct capabilities *expected = &rows[i].expected;
        print_message("%s\n", rows[i].name);
        capabilities_parse(rows[i].text, &offered);
        assert_int_equal(offered.has_pipelining, expected->has_pipelining);
        assert_int_equal(offered.has_starttls, expected->has_starttls);
        assert_int_equal(offered.has_dsn, expected->has_dsn);
        assert_int_equal(offered.has_size, expected->has_size);
        assert_int_equal(offered.size_max, expected->size_max);
        assert_int_equal(offered.has_auth, expected->has_auth);
        assert_int_equal(offered.auth_mechanisms, expected->auth_mechanisms);
        assert_int_equal(offered.mail_max, expected->mail_max);
        assert_int_equal(offered.rcpt_max, expected->rcpt_max);
    }
}

/* --- AUTH --- */

static void check_line(struct strbuf *line, const char *expected)
{
    assert_string_equal(line->data, expected);
    strbuf_clear(line);
}

static void test_plain(void **state)
{
    struct auth_exchange exchange;
    AUTO_STRBUF struct strbuf line;

    (void)state;
    strbuf_init(&line);
    assert_true(auth_begin(3, "tim", "tanstaaftanstaaf", &exchange));
    assert_string_equal(auth_mechanism_name(&exchange), "PLAIN");
    auth_command(&exchange, &line);
    check_line(&line, "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n"); /* RFC 4954, 4.1 */
    assert_false(auth_respond(&exchange, &line));
}

static void test_login(void **state)
{
    struct auth_exchange exchange;
    AUTO_STRBUF struct strbuf line;

    (void)state;
    strbuf_init(&line);
    assert_true(auth_begin(auth_mechanism_bit("login", 5), "user", "pass", &exchange));
    auth_command(&exchange, &line);
    check_line(&line, "AUTH LOGIN\r\n");
    assert_true(auth_respond(&exchange, &line));
    check_line(&line, "dXNlcg==\r\n");
    assert_true(auth_respond(&exchange, &line));
    check_line(&line, "cGFzcw==\r\n");
    assert_false(auth_respond(&exchange, &line));
}

/* An initial response that makes the command too long waits for its challenge. */
static void test_long_password(void **state)
{
    struct auth_exchange exchange;
    char password[9209 + 1];
    AUTO_STRBUF struct strbuf line;

    (void)state;
    strbuf_init(&line);
    (void)memset(password, 'p', sizeof password);
    password[sizeof password - 1] = '\0';
    assert_true(auth_begin(1, "u", password, &exchange));
    auth_command(&exchange, &line);
    check_line(&line, "AUTH PLAIN\r\n");
    assert_true(auth_respond(&exchange, &line));
    assert_true(line.len <= AUTH_LINE_MAX && line.len > 12200);
}

static void test_none(void **state)
{
    struct auth_exchange exchange;

    (void)state;
    assert_false(auth_begin(0, "u", "p", &exchange));
    assert_int_equal(auth_mechanism_bit("GSSAPI", 6), 0);
}

static void test_secret_in_text(void **state)
{
    static const struct {
        const char *text;
        bool is_in;
    } texts[] = {
        {"Authentication failed",                      false},
        { "bad password S3cr3t-canary",                true },
        { "bad password s3cr3T-CANARY, sorry",         true },
        { "S3cr3t-canar",                              false},
        { "failed: AHRpbQBTM2NyM3QtY2FuYXJ5",          true }, /* \0tim\0 before it */
        { "failed: AHVzZXIAUzNjcjN0LWNhbmFyeQ==",      true }, /* \0user\0 */
        { "failed: AGJvYmJ5AFMzY3IzdC1jYW5hcnk=",      true }, /* \0bobby\0 */
        { "failed: UzNjcjN0LWNhbmFyeQ==",              true }, /* alone */
        { "failed: 53336372 53337233742d63616e617279", false},
        { "failed: 5333637233742d63616e617279",        true },
        { "failed: 5333637233742D63616E617279",        true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        print_message("%s\n", texts[i].text);
        assert_int_equal(auth_is_secret_in("S3cr3t-canary", texts[i].text), texts[i].is_in);
    }
    assert_false(auth_is_secret_in("", "anything"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_keywords),   cmocka_unit_test(test_rows),
        cmocka_unit_test(test_plain),          cmocka_unit_test(test_login),
        cmocka_unit_test(test_long_password),  cmocka_unit_test(test_none),
        cmocka_unit_test(test_secret_in_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
