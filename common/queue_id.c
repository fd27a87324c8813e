/* Queue ids in Crockford's base 32. */
#include "queue_id.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"
#include "invariant.h"

enum { TIME_LEN = 9, RANDOM_LEN = QUEUE_ID_LEN - TIME_LEN, PLAUSIBLE_MIN = 10, PLAUSIBLE_MAX = 26 };

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* Big-endian, so that text order is number order. */
static void write_digits(char *to, size_t count, uint64_t value)
{
    for (size_t i = count; i-- > 0; value >>= 5)
        to[i] = alphabet[value & 31];
}

void queue_id_format(char ret_id[QUEUE_ID_SIZE], int64_t time_ms, uint64_t random)
{
    const int64_t time_limit = INT64_C(1) << (5 * TIME_LEN);

    MUST(time_ms >= 0 && time_ms < time_limit);
    write_digits(ret_id, TIME_LEN, (uint64_t)time_ms);
    write_digits(ret_id + TIME_LEN, RANDOM_LEN, random);
    ret_id[QUEUE_ID_LEN] = '\0';
}

/* Numbers are fetched for 32 ids at once, each of which is used once. */
static uint64_t draw(void)
{
    static _Thread_local uint64_t pool[32];
    static _Thread_local size_t left;
    ssize_t got;

    if (left > 0)
        return pool[--left];
    /* Up to 256 bytes are never given in part; a signal can only come while the pool is not ready at boot. */
    do
        got = getrandom(pool, sizeof pool, 0);
    while (got < 0 && errno == EINTR);
    MUST(got == (ssize_t)sizeof pool);
    left = COUNT_OF(pool) - 1;
    return pool[left];
}

void queue_id_new(char ret_id[QUEUE_ID_SIZE], int64_t time_ms)
{
    queue_id_format(ret_id, time_ms, draw());
}

bool queue_id_is_plausible(const char *text)
{
    size_t len = 0;

    for (; text[len] != '\0'; len++)
        if (len == PLAUSIBLE_MAX ||
            !((text[len] >= '0' && text[len] <= '9') || (text[len] >= 'A' && text[len] <= 'Z')))
            return false;
    return len >= PLAUSIBLE_MIN;
}

bool queue_id_time(const char *id, int64_t *ret_time_ms)
{
    int64_t time_ms = 0;

    if (strlen(id) != QUEUE_ID_LEN)
        return false;
    for (size_t i = 0; i < QUEUE_ID_LEN; i++) {
        const char *digit = strchr(alphabet, id[i]);
        if (digit == NULL)
            return false;
        if (i < TIME_LEN)
            time_ms = time_ms * 32 + (digit - alphabet);
    }
    *ret_time_ms = time_ms;
    return true;
}
