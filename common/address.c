/* Mailboxes, read from left to right in one pass. */
#include "address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "error.h"
#include "escape.h"

enum { LOCAL_MAX = 64, DOMAIN_MAX = 255, LABEL_MAX = 63, NO_BYTE = -1 };

struct cursor {
    const unsigned char *text;
    size_t len;
    size_t at;
    struct error *err;
};

static int peek(const struct cursor *in)
{
    return in->at < in->len ? in->text[in->at] : NO_BYTE;
}

static bool is_alnum(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* RFC 5322 3.2.3, and every byte above ASCII by RFC 6531 3.3; that those are valid UTF-8 is checked at the end. */
static bool is_atext(int c)
{
    return is_alnum(c) || c > 127 || (c > 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Underscores are against RFC 5321, and common in the names of hosts and containers. */
static bool is_label_byte(int c)
{
    return is_alnum(c) || c > 127 || c == '-' || c == '_';
}

static bool is_control(int c)
{
    return (c >= 0 && c < 0x20) || c == 0x7F;
}

/* The byte at the cursor can't stand there. Shows it only when it is printable ASCII. */
static bool fail_here(const struct cursor *in, const char *where)
{
    int c = peek(in);

    if (c == NO_BYTE)
        return fail(in->err, ERROR_PROTOCOL, "the address ends in the middle of %s", where);
    if (is_control(c))
        return fail(in->err, ERROR_PROTOCOL, "control byte 0x%02X in the address", (unsigned)c);
    if (c > 127)
        return fail(in->err, ERROR_PROTOCOL, "byte 0x%02X does not belong in %s", (unsigned)c,
                    where);
    return fail(in->err, ERROR_PROTOCOL, "'%c' does not belong in %s", c, where);
}

/* atom *("." atom) */
static bool skip_dot_string(struct cursor *in)
{
    bool needs_atext = true;

    for (;; in->at++) {
        int c = peek(in);
        if (is_atext(c)) {
            needs_atext = false;
        } else if (c == '.' && !needs_atext) {
            needs_atext = true;
        } else if (needs_atext) {
            return c == '.' ? fail(in->err, ERROR_PROTOCOL,
                                   "a dot at the start of the local part, or two in a row")
                            : fail_here(in, "the local part");
        } else {
            return true;
        }
    }
}

/* DQUOTE *( qtext / quoted-pair ) DQUOTE, RFC 5321 4.1.2. */
static bool skip_quoted_string(struct cursor *in)
{
    in->at++;
    for (;; in->at++) {
        if (peek(in) == '"') {
            in->at++;
            return true;
        }
        if (peek(in) == '\\') {
            in->at++;
            if (peek(in) > 127)
                return fail_here(in, "a quoted pair");
        }
        if (peek(in) == NO_BYTE || is_control(peek(in)))
            return fail_here(in, "the quoted local part");
    }
}

static bool skip_local_part(struct cursor *in)
{
    size_t start = in->at;

    if (peek(in) == '@')
        return fail(in->err, ERROR_PROTOCOL,
                    "nothing before the '@' (source routes are not accepted)");
    if (!(peek(in) == '"' ? skip_quoted_string(in) : skip_dot_string(in)))
        return false;
    if (in->at - start > LOCAL_MAX)
        return fail(in->err, ERROR_PROTOCOL, "the local part is longer than %d bytes", LOCAL_MAX);
    return true;
}

static bool skip_label(struct cursor *in)
{
    size_t start = in->at;
    bool is_ascii = true;

    for (; is_label_byte(peek(in)); in->at++)
        if (peek(in) > 127)
            is_ascii = false;
    if (in->at == start)
        return peek(in) == '.' ? fail(in->err, ERROR_PROTOCOL, "an empty label in the domain")
                               : fail_here(in, "the domain");
    if (in->text[start] == '-' || in->text[in->at - 1] == '-')
        return fail(in->err, ERROR_PROTOCOL, "a label of the domain begins or ends with a hyphen");
    /* The limit is for the A-label; one in UTF-8 may take more bytes. */
    if (is_ascii && in->at - start > LABEL_MAX)
        return fail(in->err, ERROR_PROTOCOL, "a label of the domain is longer than %d bytes",
                    LABEL_MAX);
    return true;
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]", RFC 5321 4.1.3; no other tag was ever registered. */
static bool skip_literal(struct cursor *in)
{
    static const char tag[] = "IPv6:";
    char host[INET6_ADDRSTRLEN + sizeof tag];
    unsigned char binary[sizeof(struct in6_addr)];
    size_t len = 0;

    for (in->at++; is_alnum(peek(in)) || peek(in) == '.' || peek(in) == ':'; in->at++) {
        if (len + 1 == sizeof host)
            return fail(in->err, ERROR_PROTOCOL, "the address literal is too long");
        host[len++] = (char)in->text[in->at];
    }
    host[len] = '\0';
    if (peek(in) != ']')
        return fail_here(in, "an address literal");
    in->at++;
    bool is_v6 = strncasecmp(host, tag, strlen(tag)) == 0;
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, is_v6 ? host + strlen(tag) : host, binary) != 1)
        return fail(
            in->err, ERROR_PROTOCOL,
            "the address literal is no IP address: write [192.0.2.1] or [IPv6:2001:db8::1]");
    return true;
}

static bool skip_domain(struct cursor *in)
{
    size_t start = in->at;

    if (peek(in) == '[')
        return skip_literal(in);
    if (!skip_label(in))
        return false;
    while (peek(in) == '.') {
        in->at++;
        if (peek(in) == NO_BYTE || peek(in) == '>' || peek(in) == ' ')
            return fail(in->err, ERROR_PROTOCOL, "the domain ends with a dot");
        if (!skip_label(in))
            return false;
    }
    if (in->at - start > DOMAIN_MAX)
        return fail(in->err, ERROR_PROTOCOL, "the domain is longer than %d bytes", DOMAIN_MAX);
    return true;
}

/* What no grammar rule above looked at: whole characters. C1 controls and the Unicode line ends are control bytes
   to somebody down the line. */
static bool check_characters(const unsigned char *text, size_t len, struct error *err)
{
    if (!utf8_is_valid(text, len))
        return fail(err, ERROR_PROTOCOL, "the address is not valid UTF-8");
    for (size_t i = 0; i + 1 < len; i++) {
        bool is_c1 = text[i] == 0xC2 && text[i + 1] <= 0x9F;
        bool is_line_end = text[i] == 0xE2 && text[i + 1] == 0x80 && i + 2 < len &&
                           (text[i + 2] == 0xA8 || text[i + 2] == 0xA9);
        if (is_c1 || is_line_end)
            return fail(err, ERROR_PROTOCOL, "a control character in the address");
    }
    return true;
}

static bool skip_mailbox(struct cursor *in, struct address *ret_address)
{
    size_t start = in->at;

    ret_address->kind = ADDRESS_UNQUALIFIED;
    if (!skip_local_part(in))
        return false;
    ret_address->local_len = in->at - start;
    if (peek(in) == '@') {
        ret_address->kind = ADDRESS_FULL;
        in->at++;
        if (!skip_domain(in))
            return false;
    }
    size_t len = in->at - start;
    if (len > ADDRESS_MAX)
        return fail(in->err, ERROR_PROTOCOL, "the address is longer than %d bytes", ADDRESS_MAX);
    if (!check_characters(in->text + start, len, in->err))
        return false;
    ret_address->needs_smtputf8 = !bytes_are_ascii(in->text + start, len);
    (void)memcpy(ret_address->text, in->text + start, len);
    ret_address->text[len] = '\0';
    return true;
}

bool address_parse_path(const char *text, size_t len, struct address *ret_address, size_t *ret_end,
                        struct error *err)
{
    struct cursor in = { .text = (const unsigned char *)text, .len = len, .err = err };
    struct address address = { .kind = ADDRESS_NULL };
    bool is_bracketed = peek(&in) == '<';

    if (peek(&in) == NO_BYTE || peek(&in) == ' ')
        return fail(err, ERROR_PROTOCOL, "the address is missing");
    if (is_bracketed)
        in.at++;
    if (!(is_bracketed && peek(&in) == '>') && !skip_mailbox(&in, &address))
        return false;
    if (is_bracketed && peek(&in) != '>')
        return peek(&in) == NO_BYTE ? fail(err, ERROR_PROTOCOL, "the address has a '<' but no '>'")
                                    : fail_here(&in, "the address");
    if (is_bracketed)
        in.at++;
    else if (peek(&in) != NO_BYTE && peek(&in) != ' ')
        return fail_here(&in, "the address");
    *ret_address = address;
    *ret_end = in.at;
    return true;
}

bool address_parse(const char *text, struct address *ret_address, struct error *err)
{
    struct address address;
    size_t len = strlen(text);
    size_t end = 0;

    if (!address_parse_path(text, len, &address, &end, err))
        return false;
    if (end != len)
        return fail(err, ERROR_PROTOCOL, "there is more text behind the address");
    *ret_address = address;
    return true;
}

const char *address_domain(const struct address *address)
{
    return address->kind == ADDRESS_FULL ? address->text + address->local_len + 1 : "";
}

const char *address_text_domain(const char *text)
{
    const char *at = strrchr(text, '@');

    return at != NULL ? at + 1 : "";
}
