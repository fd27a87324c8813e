/* Quantities as people write them. */
#include "units.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* Largest first: formatting takes the first that fits. */
static const struct unit duration_units[] = {
    {"w",  604800},
    { "d", 86400 },
    { "h", 3600  },
    { "m", 60    },
    { "s", 1     },
};

static const struct unit size_units[] = {
    {"G",  INT64_C(1) << 30},
    { "M", INT64_C(1) << 20},
    { "K", INT64_C(1) << 10},
};

static const struct unit rate_units[] = {
    {"s",    1    },
    { "min", 60   },
    { "h",   3600 },
    { "d",   86400},
};

#define DURATION_MAX   (INT64_C(100) * 36525 * 864) /* 100 years of 365.25 days */
#define SIZE_MAX_BYTES (INT64_C(1) << 53)

/* Digits at *at, which moves behind them. False when there is none or the value exceeds max (max <= INT64_MAX / 16). */
static bool take_number(const char **at, int64_t max, int64_t *ret_value)
{
    const char *from = *at;
    int64_t value = 0;

    for (; **at >= '0' && **at <= '9'; (*at)++) {
        value = value * 10 + (**at - '0');
        if (value > max)
            return false;
    }
    *ret_value = value;
    return *at != from;
}

static const struct unit *unit_find(const struct unit *units, size_t count, const char *name,
                                    size_t len)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(units[i].name) == len && strncasecmp(units[i].name, name, len) == 0)
            return &units[i];
    return NULL;
}

static bool parse_duration(const char *text, int64_t *ret_seconds)
{
    int64_t total = 0;
    int64_t last_factor = INT64_MAX;
    const char *at = text;

    do {
        int64_t number = 0;
        if (!take_number(&at, DURATION_MAX, &number))
            return false;
        size_t len = strspn(at, "smhdwSMHDW");
        /* A number without a unit stands alone: "1h30" could mean two things. */
        bool is_bare = at[0] == '\0' && last_factor == INT64_MAX;
        const struct unit *unit = unit_find(duration_units, COUNT_OF(duration_units),
                                            is_bare ? "s" : at, is_bare ? 1 : len);
        if (unit == NULL || unit->factor >= last_factor || number > DURATION_MAX / unit->factor)
            return false;
        total += number * unit->factor;
        if (total > DURATION_MAX)
            return false;
        last_factor = unit->factor;
        at += len;
    } while (*at != '\0');
    *ret_seconds = total;
    return true;
}

bool units_parse_duration(const char *text, int64_t *ret_seconds, struct error *err)
{
    if (!parse_duration(text, ret_seconds))
        return fail(err, ERROR_CONFIG,
                    "\"%.40s\" is not a duration: write 30s, 5m, 2h, 1d, 4w or 1h30m (at most 100 "
                    "years)",
                    text);
    return true;
}

static bool parse_size(const char *text, int64_t *ret_bytes)
{
    const char *at = text;
    int64_t number = 0;
    int64_t factor = 1;

    if (!take_number(&at, SIZE_MAX_BYTES, &number))
        return false;
    if (*at != '\0') {
        const struct unit *unit = unit_find(size_units, COUNT_OF(size_units), at, strlen(at));
        if (unit == NULL)
            return false;
        factor = unit->factor;
    }
    if (number > SIZE_MAX_BYTES / factor)
        return false;
    *ret_bytes = number * factor;
    return true;
}

bool units_parse_size(const char *text, int64_t *ret_bytes, struct error *err)
{
    if (!parse_size(text, ret_bytes))
        return fail(err, ERROR_CONFIG,
                    "\"%.40s\" is not a size: write bytes, or 64K, 50M, 2G (powers of 1024)", text);
    return true;
}

bool units_parse_rate(const char *text, struct rate *ret_rate, struct error *err)
{
    const char *at = text;
    int64_t number = 0;

    if (take_number(&at, UINT32_MAX, &number) && number > 0 && *at == '/') {
        at++;
        const struct unit *unit = unit_find(rate_units, COUNT_OF(rate_units), at, strlen(at));
        if (unit != NULL) {
            ret_rate->count = (uint32_t)number;
            ret_rate->period_s = (uint32_t)unit->factor;
            return true;
        }
    }
    return fail(err, ERROR_CONFIG, "\"%.40s\" is not a rate: write 14/s, 30/min, 200/h or 10000/d",
                text);
}

bool units_parse_count(const char *text, int64_t *ret_count, struct error *err)
{
    const char *at = text;
    int64_t number = 0;

    if (!take_number(&at, INT64_C(1) << 53, &number) || *at != '\0')
        return fail(err, ERROR_CONFIG, "\"%.40s\" is not a whole number", text);
    *ret_count = number;
    return true;
}

const char *units_format_count(char ret_text[UNITS_TEXT_SIZE], uint64_t count)
{
    char digits[UNITS_TEXT_SIZE];
    char *first = digits + sizeof digits;

    *--first = '\0';
    do
        *--first = (char)('0' + count % 10);
    while ((count /= 10) > 0);
    return strcpy(ret_text, first);
}

void units_format_duration(char ret_text[UNITS_TEXT_SIZE], int64_t seconds)
{
    size_t i = 0;

    if (seconds < 0)
        seconds = 0;
    while (i + 1 < COUNT_OF(duration_units) && seconds < duration_units[i].factor)
        i++;
    int64_t rest = seconds % duration_units[i].factor;
    int used = snprintf(ret_text, UNITS_TEXT_SIZE, "%" PRId64 "%s",
                        seconds / duration_units[i].factor, duration_units[i].name);
    if (i + 1 == COUNT_OF(duration_units) || rest < duration_units[i + 1].factor)
        return;
    (void)snprintf(ret_text + used, (size_t)(UNITS_TEXT_SIZE - used), " %" PRId64 "%s",
                   rest / duration_units[i + 1].factor, duration_units[i + 1].name);
}

void units_format_size(char ret_text[UNITS_TEXT_SIZE], int64_t bytes)
{
    for (size_t i = 0; i < COUNT_OF(size_units); i++) {
        if (bytes < size_units[i].factor)
            continue;
        (void)snprintf(ret_text, UNITS_TEXT_SIZE, "%.1f %siB",
                       (double)bytes / (double)size_units[i].factor, size_units[i].name);
        return;
    }
    (void)snprintf(ret_text, UNITS_TEXT_SIZE, "%" PRId64 " B", bytes);
}
