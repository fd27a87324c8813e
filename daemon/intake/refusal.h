/* Why a command or a message is refused: one SMTP reply. Remembered while the rest of a message is still read. */
#pragma once
#include <stdbool.h>

struct refusal {
    unsigned code;        /* 0: nothing is refused */
    const char *enhanced; /* RFC 3463, static */
    char text[192];       /* ASCII, one line, no byte of the client's that was not checked */
};

static inline bool refusal_is_set(const struct refusal *refusal)
{
    return refusal->code != 0;
}

/* Returns false, so that a check can end with `return refuse(...)`. A refusal that is already there stays: the first
   one is the reason. */
__attribute__((format(printf, 4, 5))) bool refuse(struct refusal *refusal, unsigned code,
                                                  const char *enhanced, const char *fmt, ...);
