/* When to try again: exponential with jitter (DESIGN 2.2 `retry`). Pure. */
#pragma once
#include <stdint.h>

struct retry_policy {
    int64_t first_s; /* before the second attempt */
    double factor;   /* >= 1 */
    int64_t max_s;
    unsigned jitter_percent; /* 0..100: the result varies by so much to either side */
};

/* Seconds to wait after the failures-th failure in a row (1 or more). random decides the jitter: equal random, equal
   result. Never below 1. */
int64_t backoff_delay_s(const struct retry_policy *policy, unsigned failures, uint32_t random);
