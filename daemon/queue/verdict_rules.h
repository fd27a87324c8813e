/* The rows behind verdict.h. The first that matches decides; verdict.c reads them and knows no case of its own.
   A row describes a behaviour, not a line that somebody once saw. Text is matched as in reply_words.h. */
#pragma once
#include <stddef.h>

#include "verdict.h"

struct code_range {
    int first, last;
};

struct verdict_rule {
    const char *name; /* "what it looks at, what it found"; shown to people, kept stable */
    unsigned stages;  /* bits 1 << STAGE_ */
    struct code_range codes;
    const char *
        enhanced; /* alternatives of "subject.detail" with '*', separated by '|'; NULL: any or none */
    const char *text;     /* alternatives, see reply_words_match; NULL: any */
    const char *provider; /* alternatives; NULL: any */
    enum verdict_class class;
    enum verdict_scope scope;
    enum verdict_action action; /* ACTION_BOUNCE is what makes a verdict permanent */
    int64_t wait_s;
};

/* The last row matches every refusal. */
extern const struct verdict_rule verdict_rules[];
extern const size_t verdict_rule_count;
