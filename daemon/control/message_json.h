/* Rows of the spool as the JSON objects of DESIGN 2.5. What a recipient waits for is derived here from its row and the
   health of its smarthost. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recipient_state.h"

struct dispatcher;
struct lane_view;
struct spool_event;
struct spool_row;

/* Escapes what is not printable; NULL becomes null. */
json_t *json_text(const char *text);
/* The same for what is escaped already (replies): escapes only if it is not valid UTF-8 all the same. */
json_t *json_escaped(const char *text);

/* dispatcher_lane_find, or a test's. */
typedef bool lane_find_fn(const struct dispatcher *dispatcher, const char *smarthost,
                          struct lane_view *ret_view);

struct json_context {
    const struct dispatcher *dispatcher;
    lane_find_fn *lane_find;
    int64_t now_s;
};

struct row_outlook {
    enum recipient_waiting waiting; /* WAITING_NONE unless queued */
    int64_t next_attempt_at_s;      /* 0: none, or unknown */
};
struct row_outlook row_outlook(const struct spool_row *row, const struct json_context *context);

/* The rows of one message: how many there are from the start of rows on. */
size_t message_row_count(const struct spool_row *rows, size_t count);
json_t *message_json(const struct spool_row *rows, size_t count,
                     const struct json_context *context);
json_t *event_json(const struct spool_event *event);
/* has_words: also what only administrators see, because a reply may name accounts. */
json_t *lane_json(const struct lane_view *lane, bool has_words);
