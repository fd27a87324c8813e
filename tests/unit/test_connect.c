/* What is this machine itself: there, and nowhere else, mail and passwords may go in clear. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "cleanup.h"
#include "connect.h"
#include "resolver.h"

static struct resolver_address address_of(const char *text)
{
    struct resolver_address address = { .len = sizeof(struct sockaddr_in) };
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        (void)memcpy(&address.address, &in, sizeof in);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
        (void)memcpy(&address.address, &in6, sizeof in6);
        address.len = sizeof in6;
    }
    return address;
}

static void test_loopback(void **state)
{
    static const struct {
        const char *address;
        bool is_loopback;
    } rows[] = {
        { "127.0.0.1", true },    { "127.255.255.254", true },
        { "::1", true },          { "126.255.255.255", false },
        { "128.0.0.1", false },   { "0.0.0.0", false },
        { "10.0.0.1", false },    { "1.0.0.127", false },
        { "::", false },          { "::2", false },
        { "fe80::1", false },     { "::ffff:10.0.0.1", false },
        { "2001:db8::1", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct resolver_address address = address_of(rows[i].address);
        if (connect_is_loopback(&address) != rows[i].is_loopback)
            fail_msg("%s", rows[i].address);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
