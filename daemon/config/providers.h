/* Presets for well-known smarthosts: `provider = "ses"` stands for host, port and limits; keys of the file override. */
#pragma once
#include <stdbool.h>

struct provider {
    const char *name;
    const char *
        region; /* NULL: has none. "*": any, and it must be said. The first row of a name is the default */
    const char *host;         /* "%region" stands for the region */
    unsigned port;            /* 465: TLS from the start; others: STARTTLS */
    const char *username;     /* where it is the same for everybody, else NULL */
    unsigned connections_max; /* 0: no known limit */
    unsigned recipients_max;  /* likewise */
};

/* NULL when the provider or its region is unknown; ask provider_is_known() which. region may be NULL. */
const struct provider *provider_find(const char *name, const char *region);
bool provider_is_known(const char *name);
/* The name nearest to word, or NULL. */
const char *provider_suggest(const char *word);
/* The regions of a provider for a message: "us, eu"; "" when it has none. Returns, caller frees. */
char *provider_regions(const char *name);
/* Returns, caller frees. region may be NULL where the row has no "%region". */
char *provider_host(const struct provider *provider, const char *region);
