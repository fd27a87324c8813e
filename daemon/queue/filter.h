/* The FILTER language of the command line (DESIGN 2.5), parsed once and judged row by row. Pure.
   Terms: key=value key>value key<value, older=D newer=D larger=S smaller=S, a bare queue id, `all`; all must hold.
   Keys: id sender recipient domain smarthost state class user tag age size attempts. Globs in text values. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recipient_state.h"

struct error;
struct filter;

/* What one recipient of a message looks like to a filter. */
struct filter_row {
    const char *id;
    const char *sender;
    const char *recipient;
    const char *smarthost;
    enum recipient_state state;
    const char *class; /* NULL: none */
    const char *user;
    const char *tag; /* NULL: none */
    int64_t accepted_at_s;
    int64_t size_bytes;
    int64_t attempts;
};

/* No term at all is a filter that matches what is not final (filter_is_default). Errors name the term and the remedy. */
struct filter *filter_new(const char *const *terms, size_t count, struct error *err);
void filter_free(struct filter *filter);
bool filter_is_default(const struct filter *filter);
bool filter_matches(const struct filter *filter, const struct filter_row *row, int64_t now_s);
/* The same in two halves, so that one table can be gone through without the other. Of the row the first reads id,
   sender, user, tag, time and size, the second the rest. */
bool filter_matches_message(const struct filter *filter, const struct filter_row *row,
                            int64_t now_s);
bool filter_matches_recipient(const struct filter *filter, const struct filter_row *row);
/* Whether a half has anything to say; of recipients, beyond their states. */
bool filter_has_message_terms(const struct filter *filter);
bool filter_has_recipient_terms(const struct filter *filter);

/* What an index can use: the exact id ("" when not restricted), the smarthost (NULL), or the states asked for. */
const char *filter_exact_id(const struct filter *filter);
const char *filter_exact_smarthost(const struct filter *filter);
/* Bit (1 << state) for every state that can match at all. */
unsigned filter_states(const struct filter *filter);
/* When what matches can have been accepted, both ends included; INT64_MIN and INT64_MAX when not restricted. */
void filter_accepted_range(const struct filter *filter, int64_t now_s, int64_t *ret_from_s,
                           int64_t *ret_until_s);
