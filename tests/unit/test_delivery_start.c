/* Threads that can't be started: an error in words, and everything is given back. */
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "delivery.h"
#include "resolver.h"
#include "xalloc.h"

enum { THREADS = 3 };

static unsigned threads_left; /* that may still be started */

/* Of every module in this program; linked with --wrap. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *arg)
{
    if (threads_left == 0)
        return EAGAIN;
    threads_left--;
    return __real_pthread_create(thread, attributes, run, arg);
}

static void test_a_thread_cannot_be_started(void **state)
{
    const char *tmp = getenv("TMPDIR");
    AUTO_FREE char *directory = xasprintf("%s/deliveryXXXXXX", tmp != NULL ? tmp : "/tmp");
    struct error err = { 0 };

    (void)state;
    assert_non_null(mkdtemp(directory));
    threads_left = 2;
    struct resolver *resolver = resolver_start(1, &err);
    assert_non_null(resolver);
    struct delivery_options options = { .threads = THREADS,
                                        .slots_max = 8,
                                        .marks_max = 8,
                                        .state_directory = directory,
                                        .resolver = resolver };
    for (unsigned i = 0; i <= THREADS; i++) {
        threads_left = i;
        struct delivery *delivery = delivery_start(&options, &err);
        if (i == THREADS) {
            assert_non_null(delivery);
            delivery_stop(delivery, 0);
            delivery_free(delivery);
        } else {
            assert_null(delivery);
            assert_int_equal(err.code, ERROR_BUSY);
            assert_non_null(strstr(err.text, strerror(EAGAIN)));
        }
    }
    resolver_stop(resolver, 10000);
    AUTO_FREE char *marks = xasprintf("%s/inflight", directory);
    assert_int_equal(remove(marks), 0);
    assert_int_equal(remove(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_thread_cannot_be_started),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
