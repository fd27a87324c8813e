/* Recipients: completed, merged, many. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "address.h"
#include "cleanup.h"

#include "envelope.h"

static void add(struct envelope *envelope, const char *text)
{
    struct address address;
    struct error err;

    assert_true(address_parse(text, &address, &err));
    assert_true(envelope_add_recipient(envelope, &address, "default.example"));
}

static void test_merged(void **state)
{
    static const struct row {
        const char *recipient;
        size_t different; /* so far */
    } rows[] = {
        {"<a@x.example>",        1},
        { "<a@X.EXAMPLE>",       1},
        { "<A@x.example>",       2}, /* whether local parts have case is the receiver's business */
        { "<a>",                 3},
        { "<a@default.example>", 3},
        { "<\"a@b\"@x.example>", 4},
        { "<a@x.example>",       4},
    };
    struct envelope envelope;

    (void)state;
    envelope_init(&envelope);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        print_message("%s\n", rows[i].recipient);
        add(&envelope, rows[i].recipient);
        assert_int_equal(envelope.recipient_count, rows[i].different);
        assert_int_equal(envelope.accepted_count, i + 1);
    }
    assert_string_equal(envelope.recipients[2], "a@default.example");
    envelope_done(&envelope);
}

static void test_many_keep_their_order(void **state)
{
    enum { COUNT = 65535 };
    struct envelope envelope;
    char text[64];

    (void)state;
    envelope_init(&envelope);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < COUNT; i++) {
            (void)snprintf(text, sizeof text, "u%u@x.example", i);
            add(&envelope, text);
        }
    assert_int_equal(envelope.recipient_count, COUNT);
    assert_int_equal(envelope.accepted_count, 2 * COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof text, "u%u@x.example", i);
        assert_string_equal(envelope.recipients[i], text);
    }
    envelope_done(&envelope);
}

static void test_completed_address_that_does_not_fit(void **state)
{
    struct address address = { .kind = ADDRESS_UNQUALIFIED };
    struct envelope envelope;
    char domain[252];

    (void)state;
    envelope_init(&envelope);
    (void)strcpy(address.text, "abc");
    (void)memset(domain, 'd', sizeof domain - 1);
    domain[sizeof domain - 1] = '\0';
    assert_false(envelope_set_sender(&envelope, &address, domain));
    assert_false(envelope_add_recipient(&envelope, &address, domain));
    domain[250] = '\0'; /* 3 + 1 + 250 is the limit */
    assert_true(envelope_add_recipient(&envelope, &address, domain));
    envelope_done(&envelope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merged),
        cmocka_unit_test(test_many_keep_their_order),
        cmocka_unit_test(test_completed_address_that_does_not_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
