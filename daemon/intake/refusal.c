/* Keeps the first reason for a refusal. */
#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>

bool refuse(struct refusal *refusal, unsigned code, const char *enhanced, const char *fmt, ...)
{
    va_list args;

    if (refusal_is_set(refusal))
        return false;
    refusal->code = code;
    refusal->enhanced = enhanced;
    va_start(args, fmt);
    (void)vsnprintf(refusal->text, sizeof refusal->text, fmt, args);
    va_end(args);
    return false;
}
