/* Wall-clock times as text. No locale: strftime's names would follow it. */
#include "when.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"

static const char day_names[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char month_names[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

/* Text has room for four digits of the year. */
static const int64_t earliest_s = INT64_C(-62167219200); /* 0000-01-01T00:00:00Z */
static const int64_t latest_s = INT64_C(253402300799);   /* 9999-12-31T23:59:59Z */

static struct tm utc_of(int64_t unix_s)
{
    struct tm tm = { .tm_mday = 1 };
    time_t t = unix_s < earliest_s ? earliest_s : unix_s > latest_s ? latest_s : unix_s;

    (void)gmtime_r(&t, &tm);
    return tm;
}

void when_format_rfc3339(char ret_text[WHEN_RFC3339_SIZE], int64_t unix_s)
{
    struct tm tm = utc_of(unix_s);

    (void)strftime(ret_text, WHEN_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void when_format_rfc3339_ms(char ret_text[WHEN_RFC3339_SIZE], int64_t unix_ms)
{
    int64_t ms = unix_ms % 1000;
    int64_t seconds = unix_ms / 1000;

    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    struct tm tm = utc_of(seconds);
    size_t used = strftime(ret_text, WHEN_RFC3339_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(ret_text + used, WHEN_RFC3339_SIZE - used, ".%03dZ", (int)ms);
}

void when_format_rfc5322(char ret_text[WHEN_RFC5322_SIZE], int64_t unix_s)
{
    struct tm tm = utc_of(unix_s);

    (void)snprintf(ret_text, WHEN_RFC5322_SIZE, "%s, %d %s %04d %02d:%02d:%02d +0000",
                   day_names[tm.tm_wday], tm.tm_mday, month_names[tm.tm_mon], tm.tm_year + 1900,
                   tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* count digits at *at, which moves behind them. */
static bool take_digits(const char **at, int count, int *ret_value)
{
    int value = 0;

    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret_value = value;
    return true;
}

static bool take_char(const char **at, const char *any_of)
{
    if (**at == '\0' || strchr(any_of, **at) == NULL)
        return false;
    (*at)++;
    return true;
}

static bool take_date_time(const char **at, struct tm *ret_tm)
{
    struct tm tm = { 0 };
    int year = 0;
    int month = 0;

    if (!take_digits(at, 4, &year) || !take_char(at, "-") || !take_digits(at, 2, &month) ||
        !take_char(at, "-") || !take_digits(at, 2, &tm.tm_mday) || !take_char(at, "Tt ") ||
        !take_digits(at, 2, &tm.tm_hour) || !take_char(at, ":") ||
        !take_digits(at, 2, &tm.tm_min) || !take_char(at, ":") || !take_digits(at, 2, &tm.tm_sec))
        return false;
    static const int month_days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month < 1 || month > 12 || tm.tm_mday < 1 ||
        tm.tm_mday > month_days[month - 1] + (month == 2 && is_leap ? 1 : 0))
        return false;
    /* 60 is a leap second (RFC 3339 5.6); it counts as the first second of the next minute. */
    if (tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
        return false;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    *ret_tm = tm;
    return true;
}

/* "Z", "+hh:mm" or "-hh:mm"; seconds east of Greenwich. */
static bool take_offset(const char **at, int *ret_offset_s)
{
    int hours = 0;
    int minutes = 0;
    bool is_west = **at == '-';

    if (take_char(at, "Zz")) {
        *ret_offset_s = 0;
        return true;
    }
    if (!take_char(at, "+-") || !take_digits(at, 2, &hours) || !take_char(at, ":") ||
        !take_digits(at, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_offset_s = (hours * 60 + minutes) * (is_west ? -60 : 60);
    return true;
}

bool when_parse_rfc3339(const char *text, int64_t *ret_unix_s)
{
    struct tm tm;
    int offset_s = 0;
    const char *at = text;

    if (!take_date_time(&at, &tm))
        return false;
    if (*at == '.') {
        size_t digits = strspn(at + 1, "0123456789");
        if (digits == 0)
            return false;
        at += 1 + digits;
    }
    if (!take_offset(&at, &offset_s) || *at != '\0')
        return false;
    *ret_unix_s = (int64_t)timegm(&tm) - offset_s;
    return true;
}
