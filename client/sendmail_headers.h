/* What sendmail(1) must know of a message's header: where it ends, who -t names, whether there is a From. It changes
   nothing there; the daemon removes Bcc and adds what is missing. Text is in CRLF form. Linear, no allocation. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "address_list.h"

struct message_header {
    const char *text;
    size_t len;            /* of the fields, without the empty line */
    bool needs_empty_line; /* the message lacks the one between header and body */
    bool has_from;
};

/* A leading "From " line of a mailbox file is not part of the header: text of the result starts behind it. */
void message_header_find(const char *text, size_t len, struct message_header *ret_header);

/* The addresses of To, Cc and Bcc; or, if the message was resent, of Resent-To, -Cc and -Bcc in the topmost block of
   Resent- fields (RFC 5322 3.6.6), because the others are history. */
void message_header_recipients(const struct message_header *header, address_list_fn *found,
                               void *ctx);
