/* TLS and logins: what must not be trusted, what must never be said in clear. */
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "delivery_fixture.h"
#include "delivery_rows.h"
#include "tls.h"
#include "xalloc.h"

#define STARTTLS_HELLO HELLO("250-AUTH PLAIN\r\n250 STARTTLS\r\n")
#define AUTH_HELLO     HELLO("250 AUTH PLAIN\r\n")
#define TRANSACTION    MAIL_OK, RCPT_A_OK, DATA_OK, DOT_OK, QUIT, FAKE_END

static const struct trial_message message = { .recipients = "a@x" };

static const struct fake_row starttls_script[] = { GREETING,   STARTTLS_HELLO, START_TLS,
                                                   AUTH_HELLO, AUTH_PLAIN_OK,  TRANSACTION };
static const struct fake_row implicit_script[] = { GREETING, AUTH_HELLO, AUTH_PLAIN_OK,
                                                   TRANSACTION };

/* --- Trials with a certificate --- */

struct encounter {
    enum fake_certificate certificate;
    bool is_implicit;
    bool has_tls; /* else the smarthost has none at all */
    const char *host;
    const char *ca_file; /* in the directory; NULL: the system's */
    const char *max_protocol;
    const struct fake_row *script;
};

struct impression {
    char *outcome;
    char *trouble;
    char *heard;
    char *heard_in_clear;
    char *server_name;
};

static void impression_done(struct impression *impression)
{
    free(impression->outcome);
    free(impression->trouble);
    free(impression->heard);
    free(impression->heard_in_clear);
    free(impression->server_name);
}
#define AUTO_IMPRESSION __attribute__((cleanup(impression_done)))

static char *settings_for(const struct encounter *encounter)
{
    const char *mode = encounter->is_implicit ? "implicit" : "starttls";

    if (encounter->ca_file == NULL)
        return xasprintf("tls = \"%s\"; " LOGIN_SETTINGS, mode);
    return xasprintf("tls = \"%s\"; ca-file = \"%s/%s\"; " LOGIN_SETTINGS, mode,
                     delivery_fixture_directory(), encounter->ca_file);
}

static struct impression meet(const struct encounter *encounter)
{
    const char *directory = delivery_fixture_directory();
    AUTO_FREE char *certificate = fake_certificate_path(directory, encounter->certificate);
    AUTO_FREE char *key = fake_certificate_key_path(directory, encounter->certificate);
    AUTO_FREE char *settings = settings_for(encounter);
    const struct fake_row *const scripts[] = { encounter->script, NULL };
    struct trial_options options = {
        .fake = { .scripts = scripts,
                  .certificate = certificate,
                  .key = key,
                  .is_implicit_tls = encounter->is_implicit && encounter->has_tls,
                  .max_protocol = encounter->max_protocol,
                  .cut_at = -1 },
        .host = encounter->host,
        .settings = settings,
    };
    struct trial *trial = trial_new(&options);
    struct delivery_order *order = trial_run(trial, &message);
    struct impression impression = { .outcome = outcome_text(order),
                                     .trouble = xstrdup_or_null(order->trouble_text) };

    trial_stop(trial, 1000);
    fake_smarthost_stop(trial_fake(trial));
    impression.heard = xstrdup(fake_smarthost_heard(trial_fake(trial)));
    impression.heard_in_clear = xstrdup(fake_smarthost_heard_in_clear(trial_fake(trial)));
    impression.server_name = xstrdup(fake_smarthost_server_name(trial_fake(trial)));
    trial_end(trial);
    return impression;
}

/* Neither the command nor the secret, in whatever form. */
static void check_nothing_said(const struct impression *impression)
{
    assert_null(strstr(impression->heard, "AUTH"));
    assert_null(strstr(impression->heard, "S3cr3t"));
    assert_null(strstr(impression->heard, "UzNjcjN0"));
    assert_null(strstr(impression->heard, "MAIL"));
}

static void test_good_certificate(void **state)
{
    static const char *const hosts[] = { "localhost", "127.0.0.1", "LocalHost" };
    static const char *const names[] = { "localhost", "", "LocalHost" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        for (int is_implicit = 0; is_implicit < 2; is_implicit++) {
            struct encounter encounter = { .certificate = CERTIFICATE_GOOD,
                                           .is_implicit = is_implicit != 0,
                                           .has_tls = true,
                                           .host = hosts[i],
                                           .ca_file = "ca.pem",
                                           .script =
                                               is_implicit ? implicit_script : starttls_script };
            AUTO_IMPRESSION struct impression impression = meet(&encounter);
            assert_string_equal(impression.outcome, "a@x done 250");
            assert_non_null(strstr(impression.heard, "AUTH PLAIN"));
            assert_null(strstr(impression.heard_in_clear, "AUTH"));
            assert_string_equal(impression.server_name, names[i]);
        }
    }
}

static void check_not_trusted(const struct encounter *encounter, const char *reason)
{
    AUTO_IMPRESSION struct impression impression = meet(encounter);

    assert_string_equal(impression.outcome, "a@x untried; trouble tls-failed at starttls");
    check_nothing_said(&impression);
    if (strstr(impression.trouble, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", impression.trouble, reason);
}

static const struct {
    enum fake_certificate certificate;
    const char *host;
    const char *ca_file;
    const char *reason;
} untrusted[] = {
    { CERTIFICATE_SELF_SIGNED, "localhost", "ca.pem", "self-signed" },
    { CERTIFICATE_SELF_SIGNED, "localhost", NULL, "self-signed" },
    { CERTIFICATE_OTHER_AUTHORITY, "localhost", "ca.pem", "unable to get local" },
    { CERTIFICATE_GOOD, "localhost", NULL, "unable to get local" },
    { CERTIFICATE_WRONG_NAME, "localhost", "ca.pem", "not for localhost" },
    { CERTIFICATE_WRONG_NAME, "127.0.0.1", "ca.pem", "not for 127.0.0.1" },
    { CERTIFICATE_EXPIRED, "localhost", "ca.pem", "expired" },
    { CERTIFICATE_NOT_YET_VALID, "localhost", "ca.pem", "not yet valid" },
    { CERTIFICATE_NAME_ONLY_IN_SUBJECT, "localhost", "ca.pem", "not for localhost" },
    { CERTIFICATE_NAME_FOR_ADDRESS, "127.0.0.1", "ca.pem", "not for 127.0.0.1" },
    { CERTIFICATE_PARTIAL_WILDCARD, "localhost", "ca.pem", "not for localhost" },
    { CERTIFICATE_SUPERSTRING, "localhost", "ca.pem", "not for localhost" },
    { CERTIFICATE_WRONG_USAGE, "localhost", "ca.pem", "purpose" },
    { CERTIFICATE_ISSUED_BY_NON_CA, "localhost", "ca.pem", "invalid CA" },
};

static void test_bad_certificates(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(untrusted); i++) {
        struct encounter encounter = { .certificate = untrusted[i].certificate,
                                       .has_tls = true,
                                       .host = untrusted[i].host,
                                       .ca_file = untrusted[i].ca_file,
                                       .script = starttls_script };
        print_message("%s for %s\n", fake_certificate_name(encounter.certificate), encounter.host);
        check_not_trusted(&encounter, untrusted[i].reason);
        encounter.is_implicit = true;
        encounter.script = implicit_script;
        check_not_trusted(&encounter, untrusted[i].reason);
    }
}

static void test_old_protocol(void **state)
{
    struct encounter encounter = {
        .has_tls = true, .ca_file = "ca.pem", .max_protocol = "TLSv1.1", .script = starttls_script
    };

    (void)state;
    check_not_trusted(&encounter, "TLS 1.1");
    encounter.is_implicit = true;
    encounter.script = implicit_script;
    check_not_trusted(&encounter, "TLS 1.1");
}

static void test_ca_file_of_no_use(void **state)
{
    struct encounter encounter = { .has_tls = true,
                                   .ca_file = "good.key",
                                   .script = starttls_script };

    (void)state;
    check_not_trusted(&encounter, "good.key");
}

static void copy_file(const char *from, const char *to)
{
    char bytes[16384];
    AUTO_FREE char *source = xasprintf("%s/%s", delivery_fixture_directory(), from);
    AUTO_FREE char *copy = xasprintf("%s/%s", delivery_fixture_directory(), to);
    FILE *in = fopen(source, "r");
    FILE *out = fopen(copy, "w");

    assert_true(in != NULL && out != NULL);
    size_t len = fread(bytes, 1, sizeof bytes, in);
    assert_true(len > 0 && fwrite(bytes, 1, len, out) == len);
    assert_int_equal(fclose(in) | fclose(out), 0);
}

/* Those of one file are not used for another, nor when the file has become another. */
static void test_anchors_are_kept_apart(void **state)
{
    const char *directory = delivery_fixture_directory();
    AUTO_FREE char *certificate = fake_certificate_path(directory, CERTIFICATE_GOOD);
    AUTO_FREE char *key = fake_certificate_key_path(directory, CERTIFICATE_GOOD);
    AUTO_FREE char *good =
        xasprintf("tls = \"starttls\"; ca-file = \"%s/ca.pem\"; " LOGIN_SETTINGS, directory);
    AUTO_FREE char *changing =
        xasprintf("tls = \"starttls\"; ca-file = \"%s/anchors.pem\"; " LOGIN_SETTINGS, directory);
    static const struct fake_row refused[] = { GREETING, STARTTLS_HELLO, START_TLS, FAKE_END };
    const struct fake_row *const scripts[] = { starttls_script, refused, starttls_script, refused,
                                               NULL };
    struct trial_options options = {
        .fake = { .scripts = scripts, .certificate = certificate, .key = key, .cut_at = -1 },
        .settings = good,
    };
    static const char not_trusted[] = "a@x untried; trouble tls-failed at starttls";
    struct trial *trial = trial_new(&options);

    (void)state;
    copy_file("good.pem", "anchors.pem");
    check_outcome(trial_run(trial, &message), "a@x done 250");
    trial_reload(trial, changing);
    copy_file("wrong-name.pem", "anchors.pem");
    check_outcome(trial_run(trial, &message), not_trusted);
    copy_file("ca.pem", "anchors.pem");
    check_outcome(trial_run(trial, &message), "a@x done 250");
    delivery_slot_close(trial_delivery(trial), 0);
    copy_file("wrong-name.pem", "anchors.pem");
    check_outcome(trial_run(trial, &message), not_trusted);
    trial_end_whatever(trial);
}

/* --- STARTTLS withheld, broken, or made use of --- */

static const struct {
    const char *name;
    const struct fake_row *script;
    const char *outcome;
    const char *words; /* NULL: any */
} attacks[] = {
    { "not offered", (const struct fake_row[]){ GREETING, AUTH_HELLO, QUIT, FAKE_END },
      "a@x untried; trouble tls-failed at ehlo", "does not offer STARTTLS" },
    { "454",
      (const struct fake_row[]){ GREETING, STARTTLS_HELLO, SAY("STARTTLS", "454 4.7.0 not now"),
                                 QUIT, FAKE_END },
      "a@x untried; trouble tls-failed at starttls 454", NULL },
    { "500",
      (const struct fake_row[]){ GREETING, STARTTLS_HELLO, SAY("STARTTLS", "500 5.5.1 what"), QUIT,
                                 FAKE_END },
      "a@x untried; trouble tls-failed at starttls 500", NULL },
    { "354",
      (const struct fake_row[]){
          GREETING, STARTTLS_HELLO, { "STARTTLS", "354 go on\r\n", FAKE_STALL } },
      "a@x untried; trouble protocol-error at starttls", NULL },
    { "220, then garbage",
      (const struct fake_row[]){ GREETING,
                                 STARTTLS_HELLO,
                                 SAY("STARTTLS", "220 go"),
                                 { NULL, "not TLS at all\r\n", FAKE_STALL } },
      "a@x untried; trouble tls-failed at starttls", NULL },
    { "220, then nothing",
      (const struct fake_row[]){
          GREETING, STARTTLS_HELLO, { "STARTTLS", "220 go\r\n", FAKE_CLOSE } },
      "a@x untried; trouble tls-failed at starttls",
      "closed the connection during the TLS handshake" },
    { "220, then a reset",
      (const struct fake_row[]){
          GREETING, STARTTLS_HELLO, { "STARTTLS", "220 go\r\n", FAKE_RESET } },
      "a@x untried; trouble tls-failed at starttls",
      "closed the connection during the TLS handshake" },
    { "injection behind the 220",
      (const struct fake_row[]){
          GREETING,
          STARTTLS_HELLO,
          { "STARTTLS", "220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n", FAKE_TLS } },
      "a@x untried; trouble tls-failed at starttls", "more after its reply to STARTTLS" },
    { "injection of a single byte",
      (const struct fake_row[]){
          GREETING, STARTTLS_HELLO, { "STARTTLS", "220 go\r\n2", FAKE_TLS } },
      "a@x untried; trouble tls-failed at starttls", "more after its reply to STARTTLS" },
    { "injection a little later",
      (const struct fake_row[]){ GREETING,
                                 STARTTLS_HELLO,
                                 SAY("STARTTLS", "220 go"),
                                 { NULL, "250-evil\r\n250 AUTH PLAIN\r\n", FAKE_TLS } },
      "a@x untried; trouble tls-failed at starttls", NULL },
    { "EHLO refused",
      (const struct fake_row[]){ GREETING, SAY("EHLO", "502 5.5.1 unknown"), QUIT, FAKE_END }, NULL,
      NULL },
    { "what was offered before TLS",
      (const struct fake_row[]){ GREETING, STARTTLS_HELLO, START_TLS, HELLO("250 SIZE\r\n"), QUIT,
                                 FAKE_END },
      "a@x untried; trouble auth-failed at auth", "does not offer AUTH" },
};

static void test_attacks_on_starttls(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(attacks); i++) {
        struct encounter encounter = { .has_tls = true,
                                       .ca_file = "ca.pem",
                                       .script = attacks[i].script };
        AUTO_IMPRESSION struct impression impression = meet(&encounter);
        print_message("%s: %s\n", attacks[i].name, impression.trouble);
        check_nothing_said(&impression);
        assert_null(strstr(impression.heard, "HELO"));
        if (attacks[i].outcome != NULL)
            assert_string_equal(impression.outcome, attacks[i].outcome);
        if (attacks[i].words != NULL)
            assert_non_null(strstr(impression.trouble, attacks[i].words));
    }
}

/* A 220 that was there before STARTTLS left answers nothing. One read ends just before it, so that it is not seen with
   the reply to EHLO. */
static void test_answer_before_starttls(void **state)
{
    enum { READ_BYTES = 4096 };
    static const char offer[] = "250 STARTTLS\r\n";
    static const char answer[] = "220 go\r\n";
    char reply[READ_BYTES + sizeof answer];
    int width = READ_BYTES - (int)(strlen("250-\r\n") + strlen(offer));
    const struct fake_row script[] = { GREETING, { "EHLO", reply, FAKE_TLS }, FAKE_END };
    struct encounter encounter = { .has_tls = true, .ca_file = "ca.pem", .script = script };

    (void)state;
    int len = snprintf(reply, sizeof reply, "250-%0*d\r\n%s%s", width, 0, offer, answer);
    assert_int_equal(len, sizeof reply - 1);
    AUTO_IMPRESSION struct impression impression = meet(&encounter);
    assert_string_equal(impression.outcome, "a@x untried; trouble tls-failed at starttls");
    assert_non_null(strstr(impression.trouble, "before it was asked"));
    check_nothing_said(&impression);
}

/* Who refuses EHLO is greeted with HELO only where neither TLS nor a login is asked for. */
static void test_no_way_around_by_helo(void **state)
{
    static const struct fake_row script[] = { GREETING,
                                              SAY("EHLO", "502 5.5.1 unknown"),
                                              { "*", NULL, FAKE_CLOSE } };
    static const char *const settings[] = { "tls = \"starttls\";",
                                            "tls = \"none\"; " LOGIN_SETTINGS };
    const struct fake_row *const scripts[] = { script, NULL };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        struct trial_options options = { .fake = { .scripts = scripts, .cut_at = -1 },
                                         .settings = settings[i] };
        struct trial *trial = trial_new(&options);
        struct delivery_order *order = trial_run(trial, &message);
        assert_true(order->has_trouble && !order->was_connected);
        trial_stop(trial, 1000);
        fake_smarthost_stop(trial_fake(trial));
        assert_null(strstr(fake_smarthost_heard(trial_fake(trial)), "HELO app1"));
        trial_end(trial);
    }
}

/* --- Ends --- */

static int connect_to(const struct fake_smarthost *fake)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                   .sin_port = htons((uint16_t)fake_smarthost_port(fake)) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* A smarthost that stops reading says why first: its reply waits in the socket when a write fails. */
static void test_reply_behind_a_failed_write(void **state)
{
    static const char reply[] = "552 5.3.4 too big\r\n";
    static const struct fake_row script[] = { { NULL, reply, FAKE_RESET } };
    const struct fake_row *const scripts[] = { script, NULL };
    const char *directory = delivery_fixture_directory();
    AUTO_FREE char *certificate = fake_certificate_path(directory, CERTIFICATE_GOOD);
    AUTO_FREE char *key = fake_certificate_key_path(directory, CERTIFICATE_GOOD);
    AUTO_FREE char *anchors = xasprintf("%s/ca.pem", directory);
    struct fake_options options = { .scripts = scripts,
                                    .certificate = certificate,
                                    .key = key,
                                    .is_implicit_tls = true,
                                    .cut_at = -1 };
    struct fake_smarthost *fake = fake_smarthost_start(&options);
    struct tls_store *store = tls_store_new();
    AUTO_CLOSE int fd = connect_to(fake);
    struct pollfd gone = { .fd = fd }; /* POLLERR and POLLHUP come unasked */
    char bytes[256] = "";
    char text[TLS_TEXT_SIZE];
    size_t len = 0;
    struct error err;

    (void)state;
    struct tls *tls = tls_new(store, fd, "localhost", anchors, &err);
    assert_non_null(tls);
    assert_int_equal(tls_handshake(tls), TRANSFER_DONE);
    assert_int_equal(poll(&gone, 1, -1), 1);
    assert_int_equal(tls_write(tls, "body", 4, &len), TRANSFER_OVER);
    assert_int_equal(tls_read(tls, bytes, sizeof bytes - 1, &len), TRANSFER_DONE);
    assert_string_equal(bytes, reply);
    assert_int_equal(tls_write(tls, "body", 4, &len), TRANSFER_OVER);
    assert_int_equal(tls_read(tls, bytes, sizeof bytes - 1, &len), TRANSFER_OVER);
    assert_int_equal(tls_explain(tls, "localhost", text), TROUBLE_LOST);
    assert_string_equal(text, strerror(ECONNRESET));
    tls_free(tls);
    tls_store_free(store);
    fake_smarthost_free(fake);
}

/* --- TLS and plain at the wrong places --- */

static void test_plain_where_tls_was_to_be(void **state)
{
    struct encounter encounter = { .is_implicit = true, .ca_file = "ca.pem" };
    static const struct fake_row script[] = { { NULL, "220 plain ESMTP\r\n", FAKE_STALL } };

    (void)state;
    encounter.script = script;
    AUTO_IMPRESSION struct impression impression = meet(&encounter);
    assert_string_equal(impression.outcome, "a@x untried; trouble tls-failed at starttls");
    assert_non_null(strstr(impression.trouble, "set tls = starttls"));
}

static void test_tls_where_a_greeting_was_to_be(void **state)
{
    struct encounter encounter = { .ca_file = "ca.pem" };
    static const struct fake_row script[] = { { NULL, "\x15\x03\x01", FAKE_STALL } };

    (void)state;
    encounter.script = script;
    AUTO_IMPRESSION struct impression impression = meet(&encounter);
    assert_string_equal(impression.outcome, "a@x untried; trouble protocol-error at connect");
    assert_non_null(strstr(impression.trouble, "set tls = implicit"));
}

/* --- Logins --- */

#define UNDER_TLS GREETING, STARTTLS_HELLO, START_TLS
#define ECHO      "(withheld: it repeats the password)"

static const struct {
    const char *name;
    const struct fake_row *script;
    const char *outcome;
    const char *words;
} logins[] = {
    { "refused",
      (const struct fake_row[]){ UNDER_TLS, AUTH_HELLO,
                                 SAY("AUTH PLAIN", "535 5.7.8 bad credentials"), QUIT, FAKE_END },
      "a@x untried; trouble auth-failed at auth 535", "bad credentials" },
    { "refused, with an echo",
      (const struct fake_row[]){ UNDER_TLS, AUTH_HELLO,
                                 SAY("AUTH PLAIN", "535 5.7.8 bad password S3cr3t-canary"), QUIT,
                                 FAKE_END },
      "a@x untried; trouble auth-failed at auth 535", ECHO },
    { "refused, with an echo in base64",
      (const struct fake_row[]){
          UNDER_TLS, AUTH_HELLO,
          SAY("AUTH PLAIN", "535 5.7.8 Error: authentication failed: AHVzZXIAUzNjcjN0LWNhbmFyeQ=="),
          QUIT, FAKE_END },
      "a@x untried; trouble auth-failed at auth 535", ECHO },
    { "refused, with an echo in per cent",
      (const struct fake_row[]){ UNDER_TLS, AUTH_HELLO,
                                 SAY("AUTH PLAIN", "535 5.7.8 see /login?p=%533cr3t%2dcanary"),
                                 QUIT, FAKE_END },
      "a@x untried; trouble auth-failed at auth 535", ECHO },
    { "a login needed at MAIL, with an echo",
      (const struct fake_row[]){ UNDER_TLS, AUTH_HELLO, AUTH_PLAIN_OK,
                                 SAY("MAIL FROM", "530 5.7.0 log in, not as S3cr3t-canary"), RSET,
                                 QUIT, FAKE_END },
      "a@x untried; trouble auth-failed at mail 530", ECHO },
    { "no mechanism of ours",
      (const struct fake_row[]){ UNDER_TLS, HELLO("250 AUTH GSSAPI NTLM\r\n"), QUIT, FAKE_END },
      "a@x untried; trouble auth-failed at auth", "no AUTH mechanism" },
    { "LOGIN when PLAIN is missing",
      (const struct fake_row[]){ UNDER_TLS, HELLO("250 AUTH LOGIN\r\n"), AUTH_LOGIN_OK,
                                 TRANSACTION },
      "a@x done 250", NULL },
    { "LOGIN refused at the name",
      (const struct fake_row[]){ UNDER_TLS, HELLO("250 AUTH LOGIN\r\n"),
                                 SAY("AUTH LOGIN", "334 VXNlcm5hbWU6"),
                                 SAY("dXNlcg==", "535 5.7.8 who?"), QUIT, FAKE_END },
      "a@x untried; trouble auth-failed at auth 535", "who?" },
    { "endless challenges",
      (const struct fake_row[]){
          UNDER_TLS, AUTH_HELLO, { "AUTH PLAIN", "334 more\r\n", FAKE_STALL } },
      "a@x untried; trouble protocol-error at auth", "more challenges" },
    { "421",
      (const struct fake_row[]){
          UNDER_TLS, AUTH_HELLO, { "AUTH PLAIN", "421 4.7.0 too many logins\r\n", FAKE_CLOSE } },
      NULL, "too many logins" },
    { "cut",
      (const struct fake_row[]){
          UNDER_TLS, AUTH_HELLO, { "AUTH PLAIN", "235 2.7.0 welc", FAKE_CLOSE } },
      "a@x untried; trouble connect-failed at auth", "lost connection while logging in" },
};

static void test_logins(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(logins); i++) {
        struct encounter encounter = { .has_tls = true,
                                       .ca_file = "ca.pem",
                                       .script = logins[i].script };
        AUTO_IMPRESSION struct impression impression = meet(&encounter);
        print_message("%s: %s\n", logins[i].name,
                      impression.trouble != NULL ? impression.trouble : "-");
        assert_null(strstr(impression.heard_in_clear, "AUTH"));
        if (logins[i].outcome != NULL)
            assert_string_equal(impression.outcome, logins[i].outcome);
        if (logins[i].words != NULL)
            assert_non_null(strstr(impression.trouble, logins[i].words));
    }
}

/* Wherever it is said: what is kept of a reply has no password in it, and means what the reply meant. */
static void test_echo_for_a_recipient(void **state)
{
    const struct {
        const struct fake_row *script;
        const char *outcome;
    } rows[] = {
        { (const struct fake_row[]){ UNDER_TLS, AUTH_HELLO, AUTH_PLAIN_OK, MAIL_OK,
                                     SAY("RCPT", "550 5.1.1 no user S3cr3t-canary"), RSET, QUIT,
                                     FAKE_END },
          "a@x refused 550 recipients-refused" },
        { (const struct fake_row[]){ UNDER_TLS, AUTH_HELLO, AUTH_PLAIN_OK, MAIL_OK, RCPT_A_OK,
                                     DATA_OK, SAY(".", "250 2.0.0 ok, UzNjcjN0LWNhbmFyeQ=="), QUIT,
                                     FAKE_END },
          "a@x done 250" },
    };
    AUTO_FREE char *settings =
        xasprintf("tls = \"starttls\"; ca-file = \"%s/ca.pem\"; " LOGIN_SETTINGS,
                  delivery_fixture_directory());
    AUTO_FREE char *certificate =
        fake_certificate_path(delivery_fixture_directory(), CERTIFICATE_GOOD);
    AUTO_FREE char *key = fake_certificate_key_path(delivery_fixture_directory(), CERTIFICATE_GOOD);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct fake_row *const scripts[] = { rows[i].script, NULL };
        struct trial_options options = {
            .fake = { .scripts = scripts, .certificate = certificate, .key = key, .cut_at = -1 },
            .settings = settings,
        };
        struct trial *trial = trial_new(&options);
        struct delivery_order *order = trial_run(trial, &message);
        check_outcome(order, rows[i].outcome);
        assert_string_equal(order->recipients[0].reply, ECHO);
        trial_end(trial);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_certificate),
        cmocka_unit_test(test_bad_certificates),
        cmocka_unit_test(test_old_protocol),
        cmocka_unit_test(test_ca_file_of_no_use),
        cmocka_unit_test(test_anchors_are_kept_apart),
        cmocka_unit_test(test_attacks_on_starttls),
        cmocka_unit_test(test_answer_before_starttls),
        cmocka_unit_test(test_no_way_around_by_helo),
        cmocka_unit_test(test_reply_behind_a_failed_write),
        cmocka_unit_test(test_plain_where_tls_was_to_be),
        cmocka_unit_test(test_tls_where_a_greeting_was_to_be),
        cmocka_unit_test(test_logins),
        cmocka_unit_test(test_echo_for_a_recipient),
    };

    return cmocka_run_group_tests(tests, delivery_fixture_set_up, delivery_fixture_tear_down);
}
