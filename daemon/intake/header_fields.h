/* The fields of a message header (RFC 5322 2.2) as they lie in memory: nothing is copied or unfolded. Pure and
   linear. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Looks for the end of the header in what has arrived so far. position is 0 at first and remembers how far we got, so
   that a header that comes byte by byte is read once. The header ends at the first empty line (which is behind
   ret_header_len; the body is at ret_body) or before the first line that is no field and continues none. */
bool header_find_end(const char *bytes, size_t len, size_t *position, size_t *ret_header_len,
                     size_t *ret_body);

struct header_field {
    const char *name;
    size_t name_len;
    const char *value; /* behind the colon, with folds, up to and including the last CR LF */
    size_t value_len;
    const char *start; /* the whole field */
    size_t len;
};

/* Splits [cursor, end), a header found by header_find_end, into fields; false at the end. */
bool header_next_field(const char **cursor, const char *end, struct header_field *ret_field);
/* ASCII case is ignored. */
bool header_field_is(const struct header_field *field, const char *name);

/* Called for each mailbox of an address list: its address without brackets, comments and display name, not checked.
   text is NULL when there is something that can't be an address. False ends the walk. */
typedef bool header_mailbox_fn(const char *text, void *ctx);
/* RFC 5322 3.4, without recursion: comments, quoted strings, groups. */
void header_walk_mailboxes(const char *value, size_t len, header_mailbox_fn *found, void *ctx);
