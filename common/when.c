/* Wall-clock times as text. No locale: strftime's names would follow it. */
#include "when.h"

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

/* Writes value with leading zeros and returns what is behind it. Every message has a date or two, and every line of
   the log: printf() would take many times as long. */
static char *put_digits(char *to, size_t count, int value)
{
    for (size_t i = count; i-- > 0; value /= 10)
        to[i] = (char)('0' + value % 10);
    return to + count;
}

static char *put_time(char *to, const struct tm *tm)
{
    to = stpcpy(put_digits(to, 2, tm->tm_hour), ":");
    to = stpcpy(put_digits(to, 2, tm->tm_min), ":");
    return put_digits(to, 2, tm->tm_sec);
}

/* "2026-11-23T18:30:00" */
static char *put_rfc3339(char *to, int64_t unix_s)
{
    struct tm tm = utc_of(unix_s);

    to = stpcpy(put_digits(to, 4, tm.tm_year + 1900), "-");
    to = stpcpy(put_digits(to, 2, tm.tm_mon + 1), "-");
    to = stpcpy(put_digits(to, 2, tm.tm_mday), "T");
    return put_time(to, &tm);
}

void when_format_rfc3339(char ret_text[WHEN_RFC3339_SIZE], int64_t unix_s)
{
    (void)stpcpy(put_rfc3339(ret_text, unix_s), "Z");
}

void when_format_rfc3339_ms(char ret_text[WHEN_RFC3339_SIZE], int64_t unix_ms)
{
    int64_t ms = unix_ms % 1000;
    int64_t seconds = unix_ms / 1000;

    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    char *end = stpcpy(put_rfc3339(ret_text, seconds), ".");
    (void)stpcpy(put_digits(end, 3, (int)ms), "Z");
}

void when_format_rfc5322(char ret_text[WHEN_RFC5322_SIZE], int64_t unix_s)
{
    struct tm tm = utc_of(unix_s);

    char *end = stpcpy(stpcpy(ret_text, day_names[tm.tm_wday]), ", ");
    end = put_digits(end, tm.tm_mday < 10 ? 1 : 2, tm.tm_mday);
    end = stpcpy(stpcpy(stpcpy(end, " "), month_names[tm.tm_mon]), " ");
    end = stpcpy(put_digits(end, 4, tm.tm_year + 1900), " ");
    (void)stpcpy(put_time(end, &tm), " +0000");
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
