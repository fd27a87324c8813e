/* Routes: the first whose conditions all hold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "route.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

static char *billing[] = { (char[]){ "*@billing.example.com" }, (char[]){ "invoice@*" } };
static char *null_sender[] = { (char[]){ "" } };
static char *web_users[] = { (char[]){ "www-*" } };
static char *staff[] = { (char[]){ "staff" } };
static char *any[] = { (char[]){ "*" } };
static char *own_domain[] = { (char[]){ "*@example.com" } };
static unsigned first_smarthost[] = { 0 };

#define ONE(list)                                                                                  \
    {                                                                                              \
        .patterns = (list), .count = COUNT_OF(list)                                                \
    }

static const struct route routes[] = {
    {.conditions = { [ROUTE_SENDER] = ONE(billing), [ROUTE_RECIPIENT] = ONE(own_domain) },
     .smarthosts = first_smarthost,
     .smarthost_count = 1 },
    { .conditions = { [ROUTE_SENDER] = ONE(null_sender) },
     .smarthosts = first_smarthost,
     .smarthost_count = 1 },
    { .conditions = { [ROUTE_USER] = ONE(web_users) },
     .smarthosts = first_smarthost,
     .smarthost_count = 1 },
    { .conditions = { [ROUTE_GROUP] = ONE(staff) },
     .smarthosts = first_smarthost,
     .smarthost_count = 1 },
    { .conditions = { [ROUTE_TAG] = ONE(any) },
     .smarthosts = first_smarthost,
     .smarthost_count = 1 },
    { .smarthosts = first_smarthost,                                                                                   .smarthost_count = 1           },
};

static void test_choices(void **state)
{
    static const char *const groups[] = { "users", "staff", NULL };
    static const struct {
        struct route_question question;
        size_t route;
    } rows[] = {
        {{ "a@billing.example.com", "u@example.com", "root", NULL, NULL },  0},
        { { "INVOICE@x", "U@EXAMPLE.COM", "root", NULL, NULL },             0},
        { { "a@billing.example.com", "u@example.org", "root", NULL, NULL }, 5},
        { { "", "u@example.org", "www-data", NULL, NULL },                  1},
        { { "a@b", "u@example.org", "www-data", groups, NULL },             2},
        { { "a@b", "u@example.org", "#1000", groups, "t" },                 3},
        { { "a@b", "u@example.org", "#1000", NULL, "t" },                   4},
        { { "a@b", "u@example.org", "#1000", NULL, NULL },                  5},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_ptr_equal(route_choose(routes, COUNT_OF(routes), &rows[i].question),
                         &routes[rows[i].route]);
}

static void test_none_fits(void **state)
{
    const struct route_question question = { .sender = "a@b", .recipient = "c@d", .user = "root" };

    (void)state;
    assert_null(route_choose(routes, 2, &question));
    assert_null(route_choose(NULL, 0, &question));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_none_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
