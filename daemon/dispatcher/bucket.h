/* Token buckets: at most so many per period, in bursts of at most a tenth of a period's worth. Pure: time is an argument. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "units.h"

struct bucket {
    struct rate rate; /* count 0: no limit */
    double tokens;
    int64_t filled_at_ms;
};

/* Starts full. */
void bucket_init(struct bucket *bucket, struct rate rate, int64_t now_ms);
/* Another rate; what has been used stays used. */
void bucket_change(struct bucket *bucket, struct rate rate, int64_t now_ms);
/* Milliseconds until a token is there; 0: now. */
int64_t bucket_wait_ms(struct bucket *bucket, int64_t now_ms);
/* Only when bucket_wait_ms was 0. */
void bucket_take(struct bucket *bucket);
