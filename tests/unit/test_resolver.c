/* Questions to the system: answers arrive on the asker's loop, and a blocked one keeps nobody from stopping.
   getaddrinfo() is replaced here, so that a name can block for as long as the test likes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "clock.h"
#include "resolver.h"

int __real_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res);
int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res);

/* Open until the end: a thread that is left behind may still use them. */
static int started_fd = -1; /* tells the test that a question blocks */
static int release_fd = -1; /* lets it go on */

int __wrap_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                       struct addrinfo **res)
{
    eventfd_t value = 0;

    if (strcmp(node, "blocked.example") != 0)
        return __real_getaddrinfo(node, service, hints, res);
    assert_int_equal(eventfd_write(started_fd, 1), 0);
    assert_int_equal(eventfd_read(release_fd, &value), 0);
    return EAI_AGAIN;
}

struct asker {
    struct event_base *base;
    struct mailbox *mailbox;
    struct resolver *resolver;
    struct resolver_hosts *hosts;
    struct resolver_user *user;
    unsigned answers;
};

static void on_hosts(struct resolver_hosts *answer)
{
    struct asker *asker = answer->ctx;

    free(asker->hosts);
    asker->hosts = answer;
    asker->answers++;
}

static void on_user(struct resolver_user *answer)
{
    struct asker *asker = answer->ctx;

    free(asker->user);
    asker->user = answer;
    asker->answers++;
}

static int set_up(void **state)
{
    struct asker *asker = test_calloc(1, sizeof *asker);
    struct error err;

    asker->base = event_base_new();
    asker->mailbox = mailbox_new(asker->base, NULL, NULL);
    asker->resolver = resolver_start(2, &err);
    assert_non_null(asker->resolver);
    *state = asker;
    return 0;
}

static int tear_down(void **state)
{
    struct asker *asker = *state;

    resolver_stop(asker->resolver, 10000);
    mailbox_free(asker->mailbox);
    event_base_free(asker->base);
    free(asker->hosts);
    free(asker->user);
    test_free(asker);
    return 0;
}

static void wait_for(struct asker *asker, unsigned answers)
{
    while (asker->answers < answers)
        assert_int_equal(event_base_loop(asker->base, EVLOOP_ONCE), 0);
}

static void wait_until_blocked(void)
{
    eventfd_t value = 0;

    assert_int_equal(eventfd_read(started_fd, &value), 0);
}

static void test_address(void **state)
{
    struct asker *asker = *state;

    resolver_host(asker->resolver, "127.0.0.1", 587, asker->mailbox, on_hosts, asker);
    wait_for(asker, 1);
    assert_int_equal(asker->hosts->gai_error, 0);
    assert_int_equal(asker->hosts->count, 1);
    struct sockaddr_in address;
    assert_int_equal(asker->hosts->addresses[0].len, sizeof address);
    memcpy(&address, &asker->hosts->addresses[0].address, sizeof address);
    assert_int_equal(address.sin_family, AF_INET);
    assert_int_equal(ntohs(address.sin_port), 587);
    assert_int_equal(ntohl(address.sin_addr.s_addr), INADDR_LOOPBACK);
}

static void test_hosts_file_counts(void **state)
{
    struct asker *asker = *state;

    resolver_host(asker->resolver, "localhost", 25, asker->mailbox, on_hosts, asker);
    wait_for(asker, 1);
    assert_int_equal(asker->hosts->gai_error, 0);
    assert_true(asker->hosts->count >= 1);
}

static void test_unknown_host(void **state)
{
    struct asker *asker = *state;

    resolver_host(asker->resolver, "not a name", 25, asker->mailbox, on_hosts, asker);
    wait_for(asker, 1);
    assert_int_not_equal(asker->hosts->gai_error, 0);
    assert_int_equal(asker->hosts->count, 0);
}

static void test_user(void **state)
{
    struct asker *asker = *state;
    const struct passwd *entry = getpwuid(0);

    if (entry == NULL)
        skip();
    resolver_user(asker->resolver, 0, asker->mailbox, on_user, asker);
    wait_for(asker, 1);
    assert_int_equal(asker->user->uid, 0);
    assert_string_equal(asker->user->name, entry->pw_name);
    assert_true(asker->user->is_admin);
    assert_true(asker->user->group_count >= 1);
}

static void test_unknown_user(void **state)
{
    struct asker *asker = *state;

    resolver_user(asker->resolver, 3999999999U, asker->mailbox, on_user, asker);
    wait_for(asker, 1);
    assert_string_equal(asker->user->name, "#3999999999");
    assert_string_equal(asker->user->full_name, "");
    assert_false(asker->user->is_admin);
    assert_int_equal(asker->user->group_count, 0);
}

/* With one of two threads stuck, names and users are still answered. */
static void test_blocked_name_delays_nobody(void **state)
{
    struct asker *asker = *state;

    resolver_host(asker->resolver, "blocked.example", 25, asker->mailbox, on_hosts, asker);
    wait_until_blocked();
    for (unsigned i = 0; i < 10; i++) {
        resolver_host(asker->resolver, "127.0.0.1", 25, asker->mailbox, on_hosts, asker);
        resolver_user(asker->resolver, 0, asker->mailbox, on_user, asker);
        wait_for(asker, 2 * i + 2);
    }
    assert_int_equal(eventfd_write(release_fd, 1), 0);
    wait_for(asker, 21);
    assert_int_equal(asker->hosts->gai_error, EAI_AGAIN);
}

/* What was asked before is answered before stop returns, if it can be. */
static void test_stop_answers(void **state)
{
    struct asker *asker = *state;

    for (unsigned i = 0; i < 50; i++)
        resolver_host(asker->resolver, "127.0.0.1", 25, asker->mailbox, on_hosts, asker);
    resolver_stop(asker->resolver, 60000);
    asker->resolver = NULL;
    assert_int_equal(event_base_loop(asker->base, EVLOOP_NONBLOCK), 0);
    assert_int_equal(asker->answers, 50);
}

/* A stuck thread is left behind; that its answer comes when the mailbox is gone harms nobody. */
static void test_stop_leaves_a_blocked_thread(void **state)
{
    struct asker *asker = *state;

    resolver_host(asker->resolver, "blocked.example", 25, asker->mailbox, on_hosts, asker);
    wait_until_blocked();
    resolver_stop(asker->resolver, 0);
    asker->resolver = NULL;
    mailbox_free(asker->mailbox);
    asker->mailbox = NULL;
    assert_int_equal(eventfd_write(release_fd, 1), 0);
    assert_int_equal(asker->answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_address, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hosts_file_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_host, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_user, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_user, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blocked_name_delays_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_leaves_a_blocked_thread, set_up, tear_down),
    };

    started_fd = eventfd(0, EFD_CLOEXEC);
    release_fd = eventfd(0, EFD_CLOEXEC);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
