/* Presets: every one leads to a host, and regions choose among hosts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "providers.h"

struct provider_case {
    const char *name;
    const char *region;
    const char *host; /* NULL: refused */
    unsigned port;
    const char *username;
};

static const struct provider_case cases[] = {
    {"gmail",            NULL,        "smtp.gmail.com",                     587, NULL    },
    { "workspace-relay", NULL,        "smtp-relay.gmail.com",               587, NULL    },
    { "ses",             "eu-west-1", "email-smtp.eu-west-1.amazonaws.com", 587, NULL    },
    { "ses",             "us-east-2", "email-smtp.us-east-2.amazonaws.com", 587, NULL    },
    { "ses",             NULL,        NULL,                                 0,   NULL    },
    { "office365",       NULL,        "smtp.office365.com",                 587, NULL    },
    { "outlook",         NULL,        "smtp-mail.outlook.com",              587, NULL    },
    { "sendgrid",        NULL,        "smtp.sendgrid.net",                  587, "apikey"},
    { "mailgun",         NULL,        "smtp.mailgun.org",                   587, NULL    },
    { "mailgun",         "us",        "smtp.mailgun.org",                   587, NULL    },
    { "mailgun",         "eu",        "smtp.eu.mailgun.org",                587, NULL    },
    { "mailgun",         "mars",      NULL,                                 0,   NULL    },
    { "postmark",        NULL,        "smtp.postmarkapp.com",               587, NULL    },
    { "fastmail",        NULL,        "smtp.fastmail.com",                  465, NULL    },
    { "icloud",          NULL,        "smtp.mail.me.com",                   587, NULL    },
    { "yahoo",           NULL,        "smtp.mail.yahoo.com",                465, NULL    },
    { "brevo",           NULL,        "smtp-relay.brevo.com",               587, NULL    },
    { "zoho",            NULL,        "smtp.zoho.com",                      465, NULL    },
    { "zoho",            "com.au",    "smtp.zoho.com.au",                   465, NULL    },
    { "resend",          NULL,        "smtp.resend.com",                    465, "resend"},
    { "gmail",           "eu",        NULL,                                 0,   NULL    },
    { "Gmail",           NULL,        NULL,                                 0,   NULL    },
    { "",                NULL,        NULL,                                 0,   NULL    },
};

static void test_find(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct provider_case *row = &cases[i];
        const struct provider *provider = provider_find(row->name, row->region);
        if (row->host == NULL) {
            assert_null(provider);
            continue;
        }
        if (provider == NULL)
            fail_msg("%s: not found", row->name);
        AUTO_FREE char *host = provider_host(provider, row->region);
        assert_string_equal(host, row->host);
        assert_int_equal(provider->port, row->port);
        if (row->username == NULL)
            assert_null(provider->username);
        else
            assert_string_equal(provider->username, row->username);
    }
}

static void test_known(void **state)
{
    (void)state;
    assert_true(provider_is_known("ses"));
    assert_false(provider_is_known("sess"));
    assert_string_equal(provider_suggest("sendgird"), "sendgrid");
    assert_null(provider_suggest("my own relay"));
    AUTO_FREE char *regions = provider_regions("mailgun");
    assert_string_equal(regions, "us, eu");
    AUTO_FREE char *none = provider_regions("gmail");
    assert_string_equal(none, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
