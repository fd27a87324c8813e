/* Wall-clock times as text. The present is never asked for here: it is an argument. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WHEN_RFC3339_SIZE = 32, WHEN_RFC5322_SIZE = 40 };

/* "2026-11-23T18:30:00Z"; with milliseconds "2026-11-23T18:30:00.123Z". */
void when_format_rfc3339(char ret_text[WHEN_RFC3339_SIZE], int64_t unix_s);
void when_format_rfc3339_ms(char ret_text[WHEN_RFC3339_SIZE], int64_t unix_ms);
/* RFC 5322 3.3 in UTC: "Mon, 23 Nov 2026 18:30:00 +0000". */
void when_format_rfc5322(char ret_text[WHEN_RFC5322_SIZE], int64_t unix_s);
/* RFC 3339 with any offset. */
bool when_parse_rfc3339(const char *text, int64_t *ret_unix_s);
