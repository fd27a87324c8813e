/* Fills struct error. Formatting only; logging is the caller's decision. */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fail(struct error *err, enum error_code code, const char *fmt, ...)
{
    va_list args;

    err->code = code;
    va_start(args, fmt);
    (void)vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    return false;
}

bool fail_context(struct error *err, const char *fmt, ...)
{
    char inner[sizeof err->text];
    va_list args;

    (void)memcpy(inner, err->text, sizeof inner);
    va_start(args, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n + 3 < sizeof err->text)
        (void)snprintf(err->text + n, sizeof err->text - (size_t)n, ": %.*s",
                       (int)(sizeof inner - (size_t)n - 3), inner);
    return false;
}
