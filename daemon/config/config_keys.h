/* Every key of outbox.conf(5): where it stands, what it takes, what it is when absent, and where the value goes.
   A new key is a new row, its paragraph in the manual (a test compares both), and a test. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "config.h"

enum config_section {
    SECTION_TOP,
    SECTION_SMARTHOST,
    SECTION_ROUTE,
    SECTION_RETRY,
    SECTION_ACCESS,
    SECTION_COUNT
};

/* In brackets: the type of the member at offset. */
enum config_type {
    TYPE_TEXT,     /* printable UTF-8 (char *) */
    TYPE_HOST,     /* a host name or address (char *) */
    TYPE_PATH,     /* absolute (char *) */
    TYPE_WORD,     /* one of `words` (char *) */
    TYPE_NUMBER,   /* (unsigned) */
    TYPE_QUANTITY, /* a number that may be large (int64_t) */
    TYPE_DURATION, /* seconds (int64_t) */
    TYPE_SIZE,     /* bytes (int64_t) */
    TYPE_RATE,     /* (struct rate) */
    TYPE_FACTOR,   /* with a fraction (double) */
    TYPE_BOOL,     /* (bool) */
    TYPE_LIST,     /* one text or several (struct route_patterns) */
    TYPE_SECTION,  /* a group or list with keys of its own */
    TYPE_ANY,      /* of a later version: not looked at */
    TYPE_COUNT
};

struct config_key {
    enum config_section section;
    const char *name;
    enum config_type type;
    size_t offset;        /* in the section's struct below */
    const char *fallback; /* as it would stand in the file; NULL: none, or computed */
    const char *minimum;  /* likewise; NULL: no range */
    const char *maximum;
    const char *words;   /* what is accepted, by spaces; for TYPE_PATH, what stands for "none" */
    bool is_unsupported; /* read, and reported as not acted on yet */
    const char *help;
};

/* What a section is read into: the public struct, and what only the reader needs. Lists point to memory that the
   reader passes on or frees. */
struct top_source {
    struct config config;
    char *in_doubt;
};

struct smarthost_source {
    struct smarthost_config config;
    char *region;
    char *tls;
    char *password_file;
    char *password_env;
};

struct route_source {
    struct route route;
    struct route_patterns smarthosts;
};

struct access_source {
    struct access_rule rule;
    struct route_patterns senders;
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* NULL when the section has no such key. */
const struct config_key *config_key_find(enum config_section section, const char *name);
/* The key of the section whose name is nearest to word, or NULL. */
const char *config_key_suggest(enum config_section section, const char *word);
/* For messages and the manual: "duration". */
const char *config_type_name(enum config_type type);
