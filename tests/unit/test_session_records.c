/* What TLS does below the dialogue: many records, sockets that are full, new keys in between, and the goodbye. */
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
#include "strbuf.h"
#include "xalloc.h"

#define TRANSACTION MAIL_OK, RCPT_A_OK, DATA_OK, DOT_OK

static const struct fake_row script[] = { GREETING,
                                          HELLO("250-PIPELINING\r\n250 8BITMIME\r\n"),
                                          TRANSACTION,
                                          TRANSACTION,
                                          { "QUIT", "221 2.0.0 bye\r\n", FAKE_HEAR_GOODBYE } };
enum { ROWS_PLAYED = COUNT_OF(script) + 1 };

static const struct {
    const char *name;
    size_t write_max;
    size_t read_max;
    bool is_updating_keys;
    const char *max_protocol;
    bool is_corked;
} rows[] = {
    { .name = "all at once" },
    { .name = "new keys before each reply", .is_updating_keys = true },
    { .name = "new keys, a record for each byte", .is_updating_keys = true, .write_max = 1 },
    { .name = "TLS 1.2", .max_protocol = "TLSv1.2" },
    { .name = "a greeting right behind the handshake",
      .max_protocol = "TLSv1.2",
      .is_corked = true },
    { .name = "a slow reader", .read_max = 512 },
    { .name = "a slow reader, new keys", .read_max = 512, .is_updating_keys = true },
};

/* Larger than what sockets hold. */
static void make_body(struct strbuf *body)
{
    for (unsigned i = 0; i < 120000; i++)
        strbuf_append_format(body, "%sline %u of a message that takes many records, %u by %u\r\n",
                             i % 7 == 0 ? "." : "", i, i / 7, i % 7);
}

static void hold(size_t row, const char *body)
{
    const char *directory = delivery_fixture_directory();
    AUTO_FREE char *certificate = fake_certificate_path(directory, CERTIFICATE_GOOD);
    AUTO_FREE char *key = fake_certificate_key_path(directory, CERTIFICATE_GOOD);
    AUTO_FREE char *settings = xasprintf("tls = \"implicit\"; ca-file = \"%s/ca.pem\";", directory);
    const struct fake_row *const scripts[] = { script, NULL };
    const struct trial_message message = { .body = body, .chunk_size = 262144 };
    struct trial_options options = { .fake = { .scripts = scripts,
                                               .certificate = certificate,
                                               .key = key,
                                               .is_implicit_tls = true,
                                               .write_max = rows[row].write_max,
                                               .read_max = rows[row].read_max,
                                               .max_protocol = rows[row].max_protocol,
                                               .is_corked = rows[row].is_corked,
                                               .is_updating_keys = rows[row].is_updating_keys,
                                               .cut_at = -1 },
                                     .settings = settings };
    struct trial *trial = trial_new(&options);
    size_t len = 0;

    print_message("%s\n", rows[row].name);
    check_outcome(trial_run(trial, &message), "a@x done 250");
    check_outcome(trial_run(trial, &message), "a@x done 250");
    trial_stop(trial, 1000);
    fake_smarthost_wait(trial_fake(trial), ROWS_PLAYED);
    fake_smarthost_stop(trial_fake(trial));
    assert_int_equal(fake_smarthost_messages(trial_fake(trial)), 2);
    const char *received = fake_smarthost_message(trial_fake(trial), &len);
    assert_int_equal(len, strlen(body));
    assert_memory_equal(received, body, len);
    trial_end(trial);
}

static void test_large_bodies(void **state)
{
    AUTO_STRBUF struct strbuf body;

    (void)state;
    strbuf_init(&body);
    make_body(&body);
    for (size_t row = 0; row < COUNT_OF(rows); row++)
        hold(row, body.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_bodies),
    };

    return cmocka_run_group_tests(tests, delivery_fixture_set_up, delivery_fixture_tear_down);
}
