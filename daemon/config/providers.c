/* The table of providers. Limits are those that the provider documents or announces for every account. */
#include "providers.h"

#include <string.h>

#include "cleanup.h"
#include "strbuf.h"
#include "suggest.h"

/* clang-format off */
static const struct provider providers[] = {
    /* name              region    host                                 port  username  conn. recipients */
    { "gmail",           NULL,     "smtp.gmail.com",                    587, NULL,      0,   0 },
    { "workspace-relay", NULL,     "smtp-relay.gmail.com",              587, NULL,      0, 100 },
    { "ses",             "*",      "email-smtp.%region.amazonaws.com",  587, NULL,      0,  50 },
    { "office365",       NULL,     "smtp.office365.com",                587, NULL,      3,   0 },
    { "hve",             NULL,     "smtp.hve.mx.microsoft",             587, NULL,      0,  50 },
    { "outlook",         NULL,     "smtp-mail.outlook.com",             587, NULL,      0,   0 },
    { "sendgrid",        NULL,     "smtp.sendgrid.net",                 587, "apikey",  0,   0 },
    { "mailgun",         "us",     "smtp.mailgun.org",                  587, NULL,      0,   0 },
    { "mailgun",         "eu",     "smtp.eu.mailgun.org",               587, NULL,      0,   0 },
    { "postmark",        NULL,     "smtp.postmarkapp.com",              587, NULL,      0,   0 },
    { "sparkpost",       NULL,     "smtp.sparkpostmail.com",            587, "SMTP_Injection", 10, 0 },
    { "brevo",           NULL,     "smtp-relay.brevo.com",              587, NULL,      0,   0 },
    { "mailjet",         NULL,     "in-v3.mailjet.com",                 587, NULL,      0,   0 },
    { "mailtrap",        NULL,     "live.smtp.mailtrap.io",             587, "api",     0,   0 },
    { "resend",          NULL,     "smtp.resend.com",                   465, "resend",  0,   0 },
    { "fastmail",        NULL,     "smtp.fastmail.com",                 465, NULL,      0,   0 },
    { "icloud",          NULL,     "smtp.mail.me.com",                  587, NULL,      0,   0 },
    { "yahoo",           NULL,     "smtp.mail.yahoo.com",               465, NULL,      0,   0 },
    { "gmx",             NULL,     "mail.gmx.net",                      465, NULL,      0,   0 },
    { "zoho",            "com",    "smtp.zoho.com",                     465, NULL,      0,   0 },
    { "zoho",            "eu",     "smtp.zoho.eu",                      465, NULL,      0,   0 },
    { "zoho",            "in",     "smtp.zoho.in",                      465, NULL,      0,   0 },
    { "zoho",            "com.au", "smtp.zoho.com.au",                  465, NULL,      0,   0 },
    { "zoho",            "jp",     "smtp.zoho.jp",                      465, NULL,      0,   0 },
};
/* clang-format on */

static bool region_fits(const struct provider *provider, const char *region)
{
    bool is_any = provider->region != NULL && strcmp(provider->region, "*") == 0;

    if (region == NULL)
        return !is_any;
    return is_any || (provider->region != NULL && strcmp(provider->region, region) == 0);
}

const struct provider *provider_find(const char *name, const char *region)
{
    for (size_t i = 0; i < COUNT_OF(providers); i++)
        if (strcmp(providers[i].name, name) == 0 && region_fits(&providers[i], region))
            return &providers[i];
    return NULL;
}

bool provider_is_known(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(providers); i++)
        if (strcmp(providers[i].name, name) == 0)
            return true;
    return false;
}

const char *provider_suggest(const char *word)
{
    const char *names[COUNT_OF(providers)];

    for (size_t i = 0; i < COUNT_OF(providers); i++)
        names[i] = providers[i].name;
    return suggest_nearest(word, names, COUNT_OF(names));
}

char *provider_regions(const char *name)
{
    AUTO_STRBUF struct strbuf buf;

    strbuf_init(&buf);
    for (size_t i = 0; i < COUNT_OF(providers); i++) {
        if (strcmp(providers[i].name, name) != 0 || providers[i].region == NULL)
            continue;
        if (buf.len > 0)
            strbuf_append_text(&buf, ", ");
        strbuf_append_text(&buf, providers[i].region);
    }
    return strbuf_take(&buf, NULL);
}

char *provider_host(const struct provider *provider, const char *region)
{
    static const char placeholder[] = "%region";
    const char *place = strstr(provider->host, placeholder);
    AUTO_STRBUF struct strbuf buf;

    strbuf_init(&buf);
    strbuf_append(&buf, provider->host,
                  place != NULL ? (size_t)(place - provider->host) : strlen(provider->host));
    if (place != NULL) {
        strbuf_append_text(&buf, region);
        strbuf_append_text(&buf, place + sizeof placeholder - 1);
    }
    return strbuf_take(&buf, NULL);
}
