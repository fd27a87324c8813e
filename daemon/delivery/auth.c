/* AUTH mechanisms: a row each, with one function that produces the n-th response. */
#include "auth.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "invariant.h"
#include "strbuf.h"
#include "xalloc.h"

struct auth_mechanism {
    const char *name;
    bool has_initial; /* response 0 goes with the command, if the line may be that long */
    unsigned responses;
    void (*respond)(const struct auth_exchange *exchange, unsigned number, struct strbuf *bytes);
};

static void respond_plain(const struct auth_exchange *exchange, unsigned number,
                          struct strbuf *bytes)
{
    MUST(number == 0);
    strbuf_append_char(bytes, '\0'); /* RFC 4616: no authorization identity */
    strbuf_append_text(bytes, exchange->username);
    strbuf_append_char(bytes, '\0');
    strbuf_append_text(bytes, exchange->password);
}

/* What servers write in their challenges differs; the order of the questions does not. */
static void respond_login(const struct auth_exchange *exchange, unsigned number,
                          struct strbuf *bytes)
{
    strbuf_append_text(bytes, number == 0 ? exchange->username : exchange->password);
}

/* Best first. */
static const struct auth_mechanism mechanisms[] = {
    { "PLAIN", true, 1, respond_plain },
    { "LOGIN", false, 2, respond_login },
};

uint32_t auth_mechanism_bit(const char *name, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
        if (strlen(mechanisms[i].name) == len && strncasecmp(name, mechanisms[i].name, len) == 0)
            return UINT32_C(1) << i;
    return 0;
}

bool auth_begin(uint32_t offered, const char *username, const char *password,
                struct auth_exchange *ret_exchange)
{
    for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
        if ((offered & UINT32_C(1) << i) == 0)
            continue;
        *ret_exchange = (struct auth_exchange){ .mechanism = &mechanisms[i],
                                                .username = username,
                                                .password = password };
        return true;
    }
    return false;
}

const char *auth_mechanism_name(const struct auth_exchange *exchange)
{
    return exchange->mechanism->name;
}

static char *base64(const void *bytes, size_t len)
{
    char *text = xcalloc(len / 3 + 1, 4 + 1);

    (void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
    return text;
}

static void wipe_and_free(char *text)
{
    explicit_bzero(text, strlen(text));
    free(text);
}

/* The response, in base64; wiped and freed by the caller. */
static char *next_response(struct auth_exchange *exchange)
{
    AUTO_STRBUF struct strbuf bytes;

    strbuf_init(&bytes);
    /* All at once: growing would leave copies behind. */
    strbuf_reserve(&bytes, strlen(exchange->username) + strlen(exchange->password) + 2);
    exchange->mechanism->respond(exchange, exchange->rounds++, &bytes);
    char *text = base64(bytes.data, bytes.len);
    explicit_bzero(bytes.data, bytes.len);
    return text;
}

void auth_command(struct auth_exchange *exchange, struct strbuf *line)
{
    const struct auth_mechanism *mechanism = exchange->mechanism;

    strbuf_append_format(line, "AUTH %s", mechanism->name);
    if (mechanism->has_initial) {
        char *response = next_response(exchange);
        size_t len = strlen(response);
        if (line->len + 1 + len + 2 > AUTH_LINE_MAX) {
            exchange->rounds = 0; /* to be asked for */
        } else {
            strbuf_reserve(line, 1 + len + 2);
            strbuf_append_char(line, ' ');
            strbuf_append_text(line, len > 0 ? response : "=");
        }
        wipe_and_free(response);
    }
    strbuf_append_text(line, "\r\n");
}

bool auth_respond(struct auth_exchange *exchange, struct strbuf *line)
{
    if (exchange->rounds >= exchange->mechanism->responses || exchange->rounds >= AUTH_ROUNDS_MAX)
        return false;
    char *response = next_response(exchange);
    size_t len = strlen(response);
    bool fits = len + 2 <= AUTH_LINE_MAX;
    if (fits) {
        strbuf_reserve(line, len + 2);
        strbuf_append_text(line, response);
        strbuf_append_text(line, "\r\n");
    }
    wipe_and_free(response);
    return fits;
}

static bool is_hex_of_in(const char *secret, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    size_t len = strlen(secret);
    char *hex = xcalloc(len, 2 + 1);

    for (size_t i = 0; i < len; i++) {
        hex[2 * i] = digits[(unsigned char)secret[i] >> 4];
        hex[2 * i + 1] = digits[(unsigned char)secret[i] & 15];
    }
    bool is_in = strcasestr(text, hex) != NULL;
    wipe_and_free(hex);
    return is_in;
}

/* In base64 the same bytes look different at each of the three places where they may stand; the characters at both
   ends mix with their neighbours and are left out. */
static bool is_base64_of_in(const char *secret, const char *text)
{
    size_t len = strlen(secret);
    bool is_in = false;

    for (size_t shift = 0; shift < 3 && !is_in; shift++) {
        size_t shifted_len = len + shift;
        char *shifted = xcalloc(shifted_len, 1);
        (void)memcpy(shifted + shift, secret, len);
        char *encoded = base64(shifted, shifted_len);
        size_t from = shift == 0 ? 0 : shift + 1;
        size_t to = shifted_len * 8 / 6;
        encoded[to] = '\0';
        is_in = to > from + 2 && strstr(text, encoded + from) != NULL;
        explicit_bzero(encoded, to);
        free(encoded);
        explicit_bzero(shifted, shifted_len);
        free(shifted);
    }
    return is_in;
}

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *digit = c != '\0' ? strchr(digits, tolower((unsigned char)c)) : NULL;

    return digit != NULL ? (int)(digit - digits) : -1;
}

/* As it stands in a URL, with as many of its bytes in per cent as the writer liked. */
static bool is_percent_of_in(const char *secret, const char *text)
{
    if (strchr(text, '%') == NULL)
        return false;
    char *plain = xcalloc(strlen(text) + 1, 1);
    size_t len = 0;

    for (const char *p = text; *p != '\0'; p++) {
        int high = *p == '%' ? hex_value(p[1]) : -1;
        int low = high >= 0 ? hex_value(p[2]) : -1;
        if (low > 0 || (low == 0 && high > 0)) {
            plain[len++] = (char)(high * 16 + low);
            p += 2;
        } else {
            plain[len++] = *p;
        }
    }
    bool is_in = strcasestr(plain, secret) != NULL;
    wipe_and_free(plain);
    return is_in;
}

bool auth_is_secret_in(const char *password, const char *text)
{
    if (*password == '\0')
        return false;
    return strcasestr(text, password) != NULL || is_base64_of_in(password, text) ||
           is_hex_of_in(password, text) || is_percent_of_in(password, text);
}
