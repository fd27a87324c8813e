/* Asks the kernel for the time. */
#include "clock.h"

#include <time.h>

#include "invariant.h"

static int64_t now_ms(clockid_t id)
{
    struct timespec now = { 0 };

    MUST(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_wall_ms(void)
{
    return now_ms(CLOCK_REALTIME);
}

int64_t clock_monotonic_ms(void)
{
    return now_ms(CLOCK_MONOTONIC);
}
