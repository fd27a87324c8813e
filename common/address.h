/* RFC 5321 4.1.2 mailboxes as they stand in MAIL, RCPT and on command lines, with SMTPUTF8 (RFC 6531).
   Accepted: dot-strings, quoted local parts, domains, address literals; limits of 4.5.3.1 (local part 64, domain
   255, path 254). Refused: source routes, control bytes anywhere (also inside quotes), invalid UTF-8.
   Linear, no recursion, no allocation beyond the result. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct error;

enum { ADDRESS_MAX = 254 };

enum address_kind {
    ADDRESS_NULL,        /* "<>", the null sender */
    ADDRESS_UNQUALIFIED, /* "root": a local part alone */
    ADDRESS_FULL,
};

struct address {
    enum address_kind kind;
    bool needs_smtputf8;        /* a byte above 127 somewhere */
    char text[ADDRESS_MAX + 1]; /* without angle brackets; "" for the null sender */
    size_t local_len;           /* bytes of text before the '@' */
};

/* Reads one path at the start of text: "<a@b>" (a bare "a@b" ends at a space). ret_end is the first byte behind it. */
bool address_parse_path(const char *text, size_t len, struct address *ret_address, size_t *ret_end,
                        struct error *err);
/* The whole of text is one address, with or without angle brackets. */
bool address_parse(const char *text, struct address *ret_address, struct error *err);
/* Behind the '@'; "" when there is none. */
const char *address_domain(const struct address *address);
/* The domain of an address kept as text ("" when none): behind the last '@'. */
const char *address_text_domain(const char *text);
