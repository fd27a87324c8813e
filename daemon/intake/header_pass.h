/* What is done to the header of every message (DESIGN 2.3): Received put on top; Bcc, Resent-Bcc and the fields that
   steer taken out; Date, Message-ID and From added where they are missing, unless the message is signed (DKIM). All
   other bytes stay as they are. Pure: the time is an argument. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "strbuf.h"

struct refusal;

enum {
    HEADER_BYTES_MAX = 256 * 1024,
    HEADER_RECEIVED_MAX = 100, /* more are a loop (RFC 5321 6.3) */
    HEADER_TAG_MAX = 128,
    HEADER_FROM_MAX = 64, /* mailboxes looked at in From */
};

struct header_input {
    const char *header; /* as found by header_find_end, without the empty line */
    size_t len;
    const char *hostname;
    const char *default_domain;
    const char *protocol; /* "ESMTP" and so on (RFC 3848, RFC 6531 4.3) */
    const char *id;
    const char *user;      /* name or "#uid" */
    const char *full_name; /* "" when not known */
    uid_t uid;
    const char *sender; /* of the envelope, complete; "" is the null sender */
    int64_t now_s;
    size_t room; /* for what the caller appends to the new header: kept free behind it */
};

struct header_result {
    struct strbuf header; /* the new one */
    char *tag;            /* X-Outbox-Tag; NULL: none */
    char **from;          /* addresses of From, complete */
    size_t from_count;
    bool is_from_readable; /* every mailbox of From was an address */
};

/* On failure the reply is in refusal, and ret_result needs no header_result_done. */
bool header_pass(const struct header_input *input, struct header_result *ret_result,
                 struct refusal *refusal);
void header_result_done(struct header_result *result);
