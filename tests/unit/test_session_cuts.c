/* Dialogues over each kind of connection: whole, byte by byte, and cut at every point, where what is known about each
   recipient must be exactly what the smarthost had said by then. */
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "delivery_fixture.h"
#include "delivery_rows.h"
#include "xalloc.h"

#define TRANSACTION MAIL_OK, RCPT_A_OK, RCPT_B_BAD, DATA_OK, DOT_OK, QUIT, FAKE_END

static const struct transport {
    const char *name;
    const char *settings;
    bool is_implicit_tls;
    const struct fake_row *script;
} transports[] = {
    {
        .name = "plain",
        .settings = "tls = \"none\";",
        .script = (const struct fake_row[]){ GREETING, PLAIN_HELLO, TRANSACTION },
    },
    {
        .name = "plain, pipelined",
        .settings = "tls = \"none\";",
        .script = (const struct fake_row[]){ GREETING, PIPELINED_HELLO, TRANSACTION },
    },
    {
        .name = "STARTTLS, AUTH PLAIN, pipelined",
        .settings = "tls = \"starttls\"; " LOGIN_SETTINGS,
        .script = (const struct fake_row[]){ GREETING, HELLO("250 STARTTLS\r\n"), START_TLS,
                                             HELLO("250-PIPELINING\r\n250 AUTH LOGIN PLAIN\r\n"),
                                             AUTH_PLAIN_OK, TRANSACTION },
    },
    {
        .name = "implicit TLS, AUTH LOGIN",
        .settings = "tls = \"implicit\"; " LOGIN_SETTINGS,
        .is_implicit_tls = true,
        .script = (const struct fake_row[]){ GREETING, HELLO("250 AUTH LOGIN\r\n"), AUTH_LOGIN_OK,
                                             TRANSACTION },
    },
};

static const struct trial_message message = { .recipients = "a@x b@x" };

/* How many bytes the smarthost has sent with the reply to the command that begins so. */
static size_t bytes_until(const struct fake_row *script, const char *command)
{
    size_t bytes = 0;

    for (const struct fake_row *row = script;; row++) {
        bytes += strlen(row->reply);
        if (row->expect != NULL && strncmp(row->expect, command, strlen(command)) == 0)
            return bytes;
    }
}

/* --- One trial --- */

struct trial_files {
    char *certificate;
    char *key;
    char *settings;
};

static void files_done(struct trial_files *files)
{
    free(files->certificate);
    free(files->key);
    free(files->settings);
}

static struct trial_options options_for(const struct transport *transport,
                                        const struct fake_row *const *scripts,
                                        struct trial_files *ret_files)
{
    ret_files->certificate = fake_certificate_path(delivery_fixture_directory(), CERTIFICATE_GOOD);
    ret_files->key = fake_certificate_key_path(delivery_fixture_directory(), CERTIFICATE_GOOD);
    ret_files->settings =
        xasprintf("%s ca-file = \"%s/ca.pem\";", transport->settings, delivery_fixture_directory());
    return (struct trial_options){
        .fake = { .scripts = scripts,
                  .certificate = ret_files->certificate,
                  .key = ret_files->key,
                  .is_implicit_tls = transport->is_implicit_tls,
                  .cut_at = -1 },
        .settings = ret_files->settings,
    };
}

static void hold_whole(const struct transport *transport, size_t write_max)
{
    const struct fake_row *const scripts[] = { transport->script, NULL };
    __attribute__((cleanup(files_done))) struct trial_files files;
    struct trial_options options = options_for(transport, scripts, &files);

    options.fake.write_max = write_max;
    struct trial *trial = trial_new(&options);
    check_outcome(trial_run(trial, &message), "a@x done 250, b@x refused 550 recipients-refused");
    trial_stop(trial, 1000);
    fake_smarthost_stop(trial_fake(trial));
    assert_int_equal(fake_smarthost_messages(trial_fake(trial)), 1);
    assert_null(strstr(fake_smarthost_heard_in_clear(trial_fake(trial)), "AUTH"));
    trial_end(trial);
}

static void test_whole_and_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        print_message("%s\n", transports[i].name);
        hold_whole(&transports[i], 0);
        hold_whole(&transports[i], 1);
        hold_whole(&transports[i], 3);
    }
}

/* --- Cuts --- */

static void check_cut(const struct transport *transport, const struct delivery_order *order,
                      size_t at, bool is_eager)
{
    size_t refused = bytes_until(transport->script, "RCPT TO:<b");
    size_t asked = bytes_until(transport->script, "DATA");
    size_t accepted = bytes_until(transport->script, ".");
    enum delivery_result expected = at < asked      ? DELIVERY_UNTRIED
                                    : at < accepted ? DELIVERY_IN_DOUBT
                                                    : DELIVERY_DONE;
    const struct delivery_recipient *a = &order->recipients[0];
    const struct delivery_recipient *b = &order->recipients[1];
    /* Cut as the 354 arrives: the dot may still have left, or not. */
    bool may_be_either = is_eager && at == asked && a->result == DELIVERY_UNTRIED;

    if (a->result != expected && !may_be_either)
        fail_msg("cut %s byte %zu: a@x is %d, not %d (%s)", is_eager ? "after" : "before", at,
                 (int)a->result, (int)expected,
                 order->trouble_text != NULL ? order->trouble_text : "-");
    if (b->result != (at < refused ? DELIVERY_UNTRIED : DELIVERY_REFUSED))
        fail_msg("cut at byte %zu: b@x is %d", at, (int)b->result);
    assert_int_equal(b->code, at < refused ? 0 : 550);
    assert_int_equal(order->has_trouble, at < accepted);
    assert_int_equal(order->was_connected, at >= bytes_until(transport->script, "MAIL"));
    if (a->result == DELIVERY_IN_DOUBT)
        assert_int_equal(a->verdict.is_success, false);
}

static void hold_cut(const struct transport *transport, size_t at, bool is_eager)
{
    const struct fake_row *const scripts[] = { transport->script, NULL };
    __attribute__((cleanup(files_done))) struct trial_files files;
    struct trial_options options = options_for(transport, scripts, &files);

    options.fake.cut_at = (long)at;
    options.fake.is_cut_eager = is_eager;
    struct trial *trial = trial_new(&options);
    check_cut(transport, trial_run(trial, &message), at, is_eager);
    trial_end(trial);
}

/* A cut before the first byte of TLS is a matter of handshakes, and tested with them. */
static void test_cut_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(transports); i++) {
        size_t end = bytes_until(transports[i].script, "QUIT");
        /* Handshakes cost time: with TLS every seventh byte, which still meets each line. */
        size_t step = strncmp(transports[i].name, "plain", 5) == 0 ? 1 : 7;
        print_message("%s: %zu bytes\n", transports[i].name, end);
        for (size_t at = 0; at <= end; at += step) {
            hold_cut(&transports[i], at, false);
            hold_cut(&transports[i], at, true);
        }
        hold_cut(&transports[i], bytes_until(transports[i].script, "DATA"), false);
        hold_cut(&transports[i], bytes_until(transports[i].script, ".") - 1, false);
        hold_cut(&transports[i], bytes_until(transports[i].script, "."), false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_and_byte_by_byte),
        cmocka_unit_test(test_cut_everywhere),
    };

    return cmocka_run_group_tests(tests, delivery_fixture_set_up, delivery_fixture_tear_down);
}
