/* Puts file and line in front and hands the complaint on. */
#include "complaints.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "escape.h"
#include "xalloc.h"

__attribute__((format(printf, 4, 0))) static void report(const struct complaints *complaints,
                                                         unsigned line, bool is_warning,
                                                         const char *fmt, va_list args)
{
    char words[2048];

    (void)vsnprintf(words, sizeof words, fmt, args);
    AUTO_FREE char *escaped = escape_text(words);
    AUTO_FREE char *text = xasprintf("%s:%u: %s", complaints->path, line, escaped);
    complaints->report(text, is_warning, complaints->ctx);
}

void complain(struct complaints *complaints, unsigned line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    report(complaints, line, false, fmt, args);
    va_end(args);
    complaints->error_count++;
}

void complain_mildly(struct complaints *complaints, unsigned line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    report(complaints, line, true, fmt, args);
    va_end(args);
}
