/* Makes bytes from outside safe to show: in logs, on terminals, in JSON.
   Kept: printable ASCII and valid UTF-8 that is printable. Everything else (C0, DEL, C1, bidirectional controls
   U+200E/F, U+202A..E, U+2066..9, line and paragraph separators, invalid UTF-8) becomes \xNN per byte;
   a backslash becomes \\ so that the result can be read back. The result is valid UTF-8 without control bytes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct strbuf;

void escape_append(struct strbuf *buf, const void *bytes, size_t len);
/* Returns, caller frees. */
char *escape_text(const char *text);
/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool utf8_is_valid(const void *bytes, size_t len);
bool bytes_are_ascii(const void *bytes, size_t len);
