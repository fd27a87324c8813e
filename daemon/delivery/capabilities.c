/* The EHLO parser: one row per keyword. */
#include "capabilities.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "auth.h"
#include "cleanup.h"

/* One word of a line; len 0 at its end. */
struct word {
    const char *text;
    size_t len;
};

static struct word next_word(const char **p)
{
    while (**p == ' ' || **p == '\t')
        (*p)++;
    struct word word = { .text = *p, .len = strcspn(*p, " \t\n") };
    *p += word.len;
    return word;
}

/* Decimal digits only; what does not fit is as good as no limit. */
static int64_t parse_number(const char *text, size_t len)
{
    int64_t number = 0;

    if (len == 0 || len > 15)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

static void parse_size(const char *p, struct capabilities *capabilities)
{
    struct word word = next_word(&p);

    capabilities->has_size = true;
    capabilities->size_max = parse_number(word.text, word.len);
}

static void parse_auth(const char *p, struct capabilities *capabilities)
{
    capabilities->has_auth = true;
    for (struct word word = next_word(&p); word.len > 0; word = next_word(&p))
        capabilities->auth_mechanisms |= auth_mechanism_bit(word.text, word.len);
}

static void parse_limits(const char *p, struct capabilities *capabilities)
{
    static const char mail_max[] = "MAILMAX=";
    static const char rcpt_max[] = "RCPTMAX=";
    enum { NAME_LEN = sizeof mail_max - 1 };

    for (struct word word = next_word(&p); word.len > 0; word = next_word(&p)) {
        if (word.len <= NAME_LEN || word.len > NAME_LEN + 6)
            continue;
        unsigned value = (unsigned)parse_number(word.text + NAME_LEN, word.len - NAME_LEN);
        if (strncasecmp(word.text, mail_max, NAME_LEN) == 0)
            capabilities->mail_max = value;
        else if (strncasecmp(word.text, rcpt_max, NAME_LEN) == 0)
            capabilities->rcpt_max = value;
    }
}

struct keyword {
    const char *name;
    size_t flag; /* where the bool is that it sets; 0 with parse */
    void (*parse)(const char *rest, struct capabilities *capabilities);
};

#define FLAG(member) offsetof(struct capabilities, member)

static const struct keyword keywords[] = {
    { "PIPELINING", FLAG(has_pipelining), NULL },
    { "8BITMIME", FLAG(has_8bitmime), NULL },
    { "SMTPUTF8", FLAG(has_smtputf8), NULL },
    { "STARTTLS", FLAG(has_starttls), NULL },
    { "ENHANCEDSTATUSCODES", FLAG(has_enhanced_codes), NULL },
    { "DSN", FLAG(has_dsn), NULL },
    { "SIZE", 0, parse_size },
    { "AUTH", 0, parse_auth },
    { "LIMITS", 0, parse_limits },
};

static void parse_line(const char *line, struct capabilities *capabilities)
{
    /* "AUTH=LOGIN PLAIN" is how old servers say it. */
    size_t name_len = strcspn(line, " \t\n=");

    for (size_t i = 0; i < COUNT_OF(keywords); i++) {
        const struct keyword *keyword = &keywords[i];
        if (strlen(keyword->name) != name_len || strncasecmp(line, keyword->name, name_len) != 0)
            continue;
        const char *rest = line + name_len + (line[name_len] == '=' ? 1 : 0);
        if (keyword->parse != NULL)
            keyword->parse(rest, capabilities);
        else
            *(bool *)((char *)capabilities + keyword->flag) = true;
    }
}

void capabilities_parse(const char *text, struct capabilities *ret_capabilities)
{
    *ret_capabilities = (struct capabilities){ 0 };
    /* The first line greets; it is no keyword even if it looks like one. */
    for (const char *end = strchr(text, '\n'); end != NULL; end = strchr(end + 1, '\n'))
        parse_line(end + 1, ret_capabilities);
}
