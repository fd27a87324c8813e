/* Exponential backoff. */
#include "backoff.h"

#include <math.h>

int64_t backoff_delay_s(const struct retry_policy *policy, unsigned failures, uint32_t random)
{
    double exponent = failures > 0 ? (double)(failures - 1) : 0.0;
    double delay_s = (double)policy->first_s * pow(policy->factor, exponent);

    /* pow() may well be infinite after a thousand failures. */
    if (!(delay_s < (double)policy->max_s))
        delay_s = (double)policy->max_s;
    double side = (double)random / (double)UINT32_MAX * 2.0 - 1.0; /* -1 .. 1 */
    delay_s += delay_s * side * (double)policy->jitter_percent / 100.0;
    return delay_s >= 1.0 ? (int64_t)llround(delay_s) : 1;
}
