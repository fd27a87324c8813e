/* An assertion that stays on in release builds (CMake's release types define NDEBUG). */
#pragma once
#include <stdio.h>
#include <stdlib.h>

#define MUST(condition) ((condition) ? (void)0 : must_failed(#condition, __FILE__, __LINE__))

static inline _Noreturn void must_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: must hold: %s\n", file, line, condition);
    abort();
}
