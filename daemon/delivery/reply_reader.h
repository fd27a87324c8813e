/* Reads SMTP replies (RFC 5321 4.2) from bytes as they come, at any split. Pure.
   Strict, because guessing is how replies get attributed to the wrong command: every line ends with CRLF (a server
   that sends bare LF is broken or not SMTP), has three digits from 200 to 599 and then a space, a hyphen or its end,
   contains no NUL and no bare CR; all lines of a reply carry the same code. Limits hold while reading. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "strbuf.h"
#include "verdict.h"

enum {
    REPLY_LINE_MAX = 4096,   /* bytes of a line with its CRLF; RFC 5321 4.5.3.1.5 asks for 512 */
    REPLY_TOTAL_MAX = 65536, /* bytes of all lines of a reply */
};

enum reply_status {
    REPLY_MORE,     /* everything was used, the reply is not complete */
    REPLY_COMPLETE, /* reply_reader_reply() has it */
    REPLY_BAD,      /* not SMTP: reader->problem says why; the connection is of no use any more */
};

struct reply_reader {
    char line[REPLY_LINE_MAX];
    size_t line_len;
    size_t total_bytes;
    int code; /* of the first line; 0 before */
    char enhanced[12];
    struct strbuf text;
    const char *problem; /* static */
};

void reply_reader_init(struct reply_reader *reader);
void reply_reader_done(struct reply_reader *reader);
/* Forgets what was read. Before each reply. */
void reply_reader_reset(struct reply_reader *reader);
/* Whether part of a reply has been read. */
bool reply_reader_is_within(const struct reply_reader *reader);
/* *ret_used: how many bytes belong to this reply; what follows them is surplus. */
enum reply_status reply_reader_feed(struct reply_reader *reader, const char *bytes, size_t len,
                                    size_t *ret_used);
/* After REPLY_COMPLETE. text is the reader's, until the next reset. */
struct smtp_reply reply_reader_reply(const struct reply_reader *reader);
