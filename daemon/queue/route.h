/* Which smarthosts a recipient goes through: the `routes` of the configuration, first match wins (DESIGN 2.2). Pure. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum route_key {
    ROUTE_SENDER,
    ROUTE_RECIPIENT,
    ROUTE_USER,
    ROUTE_GROUP,
    ROUTE_TAG,
    ROUTE_KEY_COUNT
};

struct route_patterns {
    char **patterns; /* globs; NULL when the key is no condition */
    size_t count;
};

struct route {
    struct route_patterns conditions[ROUTE_KEY_COUNT]; /* all must hold; of one, any pattern */
    unsigned *smarthosts;                              /* indexes, in order of preference */
    size_t smarthost_count;                            /* >= 1 */
};

struct route_question {
    const char *sender; /* "" is the null sender */
    const char *recipient;
    const char *user;          /* name or "#uid" */
    const char *const *groups; /* ended by NULL; may be NULL */
    const char *tag;           /* may be NULL */
};

/* The first route that fits; NULL when none does (a valid configuration ends with a route without conditions). */
const struct route *route_choose(const struct route *routes, size_t count,
                                 const struct route_question *question);
