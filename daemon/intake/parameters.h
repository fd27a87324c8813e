/* The ESMTP parameters of MAIL and RCPT (RFC 5321 4.1.2). Pure. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct refusal;

struct mail_parameters {
    int64_t size_bytes; /* RFC 1870; -1 when not declared */
    bool is_8bitmime;   /* RFC 6152; 8-bit content is taken without it too */
    bool is_smtputf8;   /* RFC 6531 */
};

/* text is what stands behind the address, ended by NUL, free of control bytes. On failure the reply is in refusal. */
bool parameters_parse_mail(const char *text, int64_t size_max_bytes,
                           struct mail_parameters *ret_parameters, struct refusal *refusal);
bool parameters_parse_rcpt(const char *text, struct refusal *refusal);
