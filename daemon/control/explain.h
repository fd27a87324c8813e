/* `outbox why`: where the recipients of a message are, what each waits for, and what would help, in plain words. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "message_json.h"

struct strbuf;

enum { EXPLAIN_RECIPIENTS_MAX = 12 }; /* one screen; the rest is counted */

/* Appends lines ended by '\n' that may be shown as they are. rows: one message. has_words: also replies that concern
   not this message but the account, for administrators. */
void explain_message(const struct spool_row *rows, size_t count, const struct json_context *context,
                     bool has_words, struct strbuf *out);
