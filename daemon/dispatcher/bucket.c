/* Token buckets. */
#include "bucket.h"

#include <math.h>

/* A burst is a tenth of the period's allowance: "14/s" sends 2 at once, then one each 71 ms. */
static double capacity(const struct rate *rate)
{
    double burst = (double)rate->count / 10;

    return burst < 1 ? 1 : burst;
}

static double tokens_per_ms(const struct rate *rate)
{
    return (double)rate->count / ((double)rate->period_s * 1000);
}

static void fill(struct bucket *bucket, int64_t now_ms)
{
    if (now_ms > bucket->filled_at_ms)
        bucket->tokens += (double)(now_ms - bucket->filled_at_ms) * tokens_per_ms(&bucket->rate);
    if (bucket->tokens > capacity(&bucket->rate))
        bucket->tokens = capacity(&bucket->rate);
    bucket->filled_at_ms = now_ms;
}

void bucket_init(struct bucket *bucket, struct rate rate, int64_t now_ms)
{
    bucket->rate = rate;
    bucket->tokens = capacity(&rate);
    bucket->filled_at_ms = now_ms;
}

void bucket_change(struct bucket *bucket, struct rate rate, int64_t now_ms)
{
    if (bucket->rate.count == 0) {
        bucket_init(bucket, rate, now_ms);
        return;
    }
    fill(bucket, now_ms);
    bucket->rate = rate;
    fill(bucket, now_ms);
}

int64_t bucket_wait_ms(struct bucket *bucket, int64_t now_ms)
{
    if (bucket->rate.count == 0)
        return 0;
    fill(bucket, now_ms);
    if (bucket->tokens >= 1)
        return 0;
    return (int64_t)ceil((1 - bucket->tokens) / tokens_per_ms(&bucket->rate));
}

void bucket_take(struct bucket *bucket)
{
    if (bucket->rate.count > 0)
        bucket->tokens -= 1;
}
