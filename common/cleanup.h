/* Locals that release themselves, and a visible word for giving away. */
#pragma once
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* DEFINE_CLEANUP(struct thing, thing_free), then: CLEANUP(thing_free_p) struct thing *t = ... */
#define DEFINE_CLEANUP(type, free_fn)                                                              \
    static inline void free_fn##_p(type **p)                                                       \
    {                                                                                              \
        free_fn(*p);                                                                               \
        *p = NULL;                                                                                 \
    }

/* The value of a pointer, which becomes NULL: ownership leaves. */
#define TAKE(ptr)                                                                                  \
    __extension__({                                                                                \
        __typeof__(ptr) taken_ = (ptr);                                                            \
        (ptr) = NULL;                                                                              \
        taken_;                                                                                    \
    })

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static inline void free_p(void *p)
{
    free(*(void **)p);
}

static inline void close_p(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

#define AUTO_FREE  CLEANUP(free_p)
#define AUTO_CLOSE CLEANUP(close_p)
