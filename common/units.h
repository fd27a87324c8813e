/* Durations, sizes, rates and counts as people write them in the configuration and in filters. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct error;

struct rate {
    uint32_t count;    /* 0: no limit */
    uint32_t period_s; /* 1, 60, 3600 or 86400 */
};

/* "30s" "5m" "2h" "1d" "4w", also a sum "1h30m"; a bare number counts seconds. Up to 100 years. */
bool units_parse_duration(const char *text, int64_t *ret_seconds, struct error *err);
/* "50M" "64K" "2G", powers of 1024; a bare number counts bytes. Up to 2^53. */
bool units_parse_size(const char *text, int64_t *ret_bytes, struct error *err);
/* "14/s" "200/h" "30/min" "10000/d". */
bool units_parse_rate(const char *text, struct rate *ret_rate, struct error *err);
/* Decimal digits only. */
bool units_parse_count(const char *text, int64_t *ret_count, struct error *err);

enum { UNITS_TEXT_SIZE = 32 };
/* Decimal digits. Returns ret_text. */
const char *units_format_count(char ret_text[UNITS_TEXT_SIZE], uint64_t count);
/* The two largest units: "3d 4h", "12s", "0s". */
void units_format_duration(char ret_text[UNITS_TEXT_SIZE], int64_t seconds);
/* "4.2 KiB", "17 B". */
void units_format_size(char ret_text[UNITS_TEXT_SIZE], int64_t bytes);
