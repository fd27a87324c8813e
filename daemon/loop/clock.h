/* Time for those who act on it: the wall clock for what people see and for what outlives the process, the monotonic
   one for intervals. Policy takes time as an argument, so tests never wait. */
#pragma once
#include <stdint.h>

int64_t clock_wall_ms(void);
static inline int64_t clock_wall_s(void)
{
    return clock_wall_ms() / 1000;
}
int64_t clock_monotonic_ms(void);
