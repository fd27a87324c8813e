/* Operational failures: what went wrong on our side, in words for the administrator.
   Their refusals (SMTP replies) are values of another kind: see queue/verdict.h. */
#pragma once
#include <stdbool.h>

enum error_code {
    ERROR_NONE,
    ERROR_CONFIG,   /* the administrator must change something */
    ERROR_USAGE,    /* the caller asked for something that does not exist */
    ERROR_BUSY,     /* retrying later may help */
    ERROR_FULL,     /* no space left: the caller is told to come back (452) */
    ERROR_IO,       /* disk, socket, or database */
    ERROR_DAMAGED,  /* stored data is not what we wrote */
    ERROR_PROTOCOL, /* the peer broke the rules */
    ERROR_MISSING,  /* no such thing */
};

struct error {
    enum error_code code;
    char text[512];
};

/* Both return false, so that a failing function can end with `return fail(...)`.
   Never hand err->text to fail() on the same err: source and destination overlap. */
__attribute__((format(printf, 3, 4))) bool fail(struct error *err, enum error_code code,
                                                const char *fmt, ...);

/* Puts "what: " in front of the text; keeps the code. */
__attribute__((format(printf, 2, 3))) bool fail_context(struct error *err, const char *fmt, ...);
