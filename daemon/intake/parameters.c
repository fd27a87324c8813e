/* Keyword and value of each parameter, then its row's own check. */
#include "parameters.h"

#include <string.h>
#include <strings.h>

#include "cleanup.h"

#include "refusal.h"

struct parameter {
    const char *keyword;
    const char *value; /* not ended by NUL; NULL when there is none */
    size_t value_len;
};

struct mail_context {
    struct mail_parameters *parameters;
    int64_t size_max_bytes;
    struct refusal *refusal;
};

typedef bool parameter_fn(const struct parameter *parameter, const struct mail_context *ctx);

static bool value_is(const struct parameter *parameter, const char *word)
{
    return parameter->value != NULL && parameter->value_len == strlen(word) &&
           strncasecmp(parameter->value, word, parameter->value_len) == 0;
}

/* RFC 1870: 1 to 20 digits. Counts that do not fit are too large all the same, not an error of syntax. */
static bool read_size(const struct parameter *parameter, const struct mail_context *ctx)
{
    int64_t size = 0;

    if (parameter->value == NULL || parameter->value_len > 20 ||
        strspn(parameter->value, "0123456789") < parameter->value_len)
        return refuse(ctx->refusal, 501, "5.5.4", "SIZE needs a number of bytes");
    for (size_t i = 0; i < parameter->value_len; i++) {
        if (size > ctx->size_max_bytes)
            break;
        size = size * 10 + (parameter->value[i] - '0');
    }
    if (size > ctx->size_max_bytes)
        return refuse(ctx->refusal, 552, "5.3.4", "message larger than %lld bytes",
                      (long long)ctx->size_max_bytes);
    ctx->parameters->size_bytes = size;
    return true;
}

static bool read_body(const struct parameter *parameter, const struct mail_context *ctx)
{
    ctx->parameters->is_8bitmime = value_is(parameter, "8BITMIME");
    if (!ctx->parameters->is_8bitmime && !value_is(parameter, "7BIT"))
        return refuse(ctx->refusal, 501, "5.5.4", "BODY is 7BIT or 8BITMIME");
    return true;
}

static bool read_smtputf8(const struct parameter *parameter, const struct mail_context *ctx)
{
    if (parameter->value != NULL)
        return refuse(ctx->refusal, 501, "5.5.4", "SMTPUTF8 takes no value");
    ctx->parameters->is_smtputf8 = true;
    return true;
}

static const struct parameter_row {
    const char *keyword;
    parameter_fn *read;
} mail_rows[] = {
    {"SIZE",      read_size    },
    { "BODY",     read_body    },
    { "SMTPUTF8", read_smtputf8},
};

static bool is_keyword_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

/* Moves text behind one parameter. esmtp-param = esmtp-keyword ["=" esmtp-value] */
static bool next_parameter(const char **text, struct parameter *ret_parameter, size_t *ret_len)
{
    const char *keyword = *text;
    size_t keyword_len = 0;

    while (is_keyword_byte(keyword[keyword_len]))
        keyword_len++;
    const char *end = keyword + keyword_len;
    *ret_parameter = (struct parameter){ .keyword = keyword };
    if (*end == '=') {
        const char *value = end + 1;
        end = value;
        while (*end > ' ' && *end < 127 && *end != '=')
            end++;
        ret_parameter->value = value;
        ret_parameter->value_len = (size_t)(end - value);
        if (end == value)
            return false;
    }
    if (keyword_len == 0 || keyword[0] == '-' || (*end != ' ' && *end != '\0'))
        return false;
    *ret_len = keyword_len;
    *text = end;
    return true;
}

static const struct parameter_row *find_row(const char *keyword, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(mail_rows); i++)
        if (strlen(mail_rows[i].keyword) == len &&
            strncasecmp(mail_rows[i].keyword, keyword, len) == 0)
            return &mail_rows[i];
    return NULL;
}

/* RFC 5321 4.1.1.11: a parameter that is not known is refused, it might matter. */
static bool refuse_unknown(const char *keyword, size_t len, struct refusal *refusal)
{
    return refuse(refusal, 555, "5.5.4", "parameter %.*s is not supported",
                  len < 64 ? (int)len : 64, keyword);
}

bool parameters_parse_mail(const char *text, int64_t size_max_bytes,
                           struct mail_parameters *ret_parameters, struct refusal *refusal)
{
    struct mail_parameters parameters = { .size_bytes = -1 };
    const struct mail_context ctx = { &parameters, size_max_bytes, refusal };
    bool is_given[COUNT_OF(mail_rows)] = { false };

    for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
        struct parameter parameter;
        size_t len = 0;
        if (!next_parameter(&text, &parameter, &len))
            return refuse(refusal, 501, "5.5.4", "parameters are KEYWORD or KEYWORD=VALUE");
        const struct parameter_row *row = find_row(parameter.keyword, len);
        if (row == NULL)
            return refuse_unknown(parameter.keyword, len, refusal);
        if (is_given[row - mail_rows])
            return refuse(refusal, 501, "5.5.4", "%s is given twice", row->keyword);
        is_given[row - mail_rows] = true;
        if (!row->read(&parameter, &ctx))
            return false;
    }
    *ret_parameters = parameters;
    return true;
}

bool parameters_parse_rcpt(const char *text, struct refusal *refusal)
{
    struct parameter parameter;
    size_t len = 0;

    text += strspn(text, " ");
    if (*text == '\0')
        return true;
    if (!next_parameter(&text, &parameter, &len))
        return refuse(refusal, 501, "5.5.4", "parameters are KEYWORD or KEYWORD=VALUE");
    return refuse_unknown(parameter.keyword, len, refusal);
}
