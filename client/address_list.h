/* RFC 5322 3.4 address lists as they stand in To, Cc and Bcc, and on sendmail's command line: display names, angle
   brackets, groups, comments (nested), quoted strings, domain literals, source routes (dropped), obsolete white space.
   One pass, no recursion, bounded memory: an address longer than SMTP allows is reported as bad. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* text is the bare address (not yet checked by address_parse), or, when it is no address, what stood there. */
typedef void address_list_fn(const char *text, bool is_address, void *ctx);

/* Calls found for each member of the list, in order. Empty members and empty groups are nothing. */
void address_list_parse(const char *text, size_t len, address_list_fn *found, void *ctx);
