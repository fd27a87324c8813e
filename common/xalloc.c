/* The only place that meets a failed allocation. */
#include "xalloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"

enum { SMALL_BYTES = 1024 };

static void *checked(void *ptr)
{
    if (ptr == NULL) {
        (void)fputs("out of memory\n", stderr);
        abort();
    }
    return ptr;
}

/* The C library's calloc() passes by the thread's own free blocks, which malloc() finds at once; but
   it knows which large blocks come zeroed from the kernel. */
void *xcalloc(size_t count, size_t size)
{
    size_t bytes = 0;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SMALL_BYTES)
        return checked(calloc(count, size));
    if (bytes == 0)
        bytes = 1;
    return memset(checked(malloc(bytes)), 0, bytes);
}

void *xrealloc(void *ptr, size_t count, size_t size)
{
    return checked(reallocarray(ptr, count > 0 ? count : 1, size > 0 ? size : 1));
}

char *xstrdup(const char *text)
{
    return checked(strdup(text));
}

char *xstrndup(const char *text, size_t len)
{
    return checked(strndup(text, len));
}

char *xasprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    return checked(n >= 0 ? text : NULL);
}

char *xstrdup_or_null(const char *text)
{
    return text != NULL ? xstrdup(text) : NULL;
}
