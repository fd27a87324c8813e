/* What a row of `access` in the configuration allows its user. Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct access_rule;

enum { ACCESS_SESSIONS_DEFAULT = 100 };

/* access may be NULL: no row fits, so any sender. "" is the null sender. */
bool access_allows_sender(const struct access_rule *access, const char *sender);
unsigned access_sessions_max(const struct access_rule *access);
/* Names the row to whom it refuses: "user www-data", "group staff". */
void access_describe(const struct access_rule *access, char *ret_text, size_t size);
