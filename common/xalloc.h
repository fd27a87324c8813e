/* Allocation that ends the process when memory runs out (systemd restarts it; the spool is safe).
   So every size that comes from outside is limited before it reaches one of these. */
#pragma once
#include <stddef.h>

/* Zeroed. Never NULL; free() releases. */
__attribute__((returns_nonnull, malloc)) void *xcalloc(size_t count, size_t size);
/* Contents beyond the old size are undefined. */
__attribute__((returns_nonnull)) void *xrealloc(void *ptr, size_t count, size_t size);
__attribute__((returns_nonnull, malloc)) char *xstrdup(const char *text);
/* At most len bytes, always ended by NUL. */
__attribute__((returns_nonnull, malloc)) char *xstrndup(const char *text, size_t len);
__attribute__((returns_nonnull, malloc, format(printf, 1, 2))) char *xasprintf(const char *fmt,
                                                                               ...);
/* NULL stays NULL. */
char *xstrdup_or_null(const char *text);

#define NEW(type) ((type *)xcalloc(1, sizeof(type)))
