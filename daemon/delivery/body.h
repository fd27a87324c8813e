/* A message body on its way into a connection: dots stuffed (RFC 5321 4.5.2), the end marked, and never more than a
   little ahead of what the peer takes. Asks nobody for anything: it says which chunk it wants next. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob;
struct strbuf;

/* Line ends that are not CRLF must not be sent (RFC 5321 2.3.8): a smarthost that takes a bare LF for a line end would
   see other lines, and perhaps another end of the message, than we do. The spool has none; if one turns up, the
   message is damaged. */
struct dot_stuffer {
    bool is_within_line;
    bool is_after_cr;
};

/* At most this much becomes of len bytes. */
static inline size_t dot_stuffer_room(size_t len)
{
    return len + len / 3 + 2;
}

/* False at a bare CR or LF. The pieces may be cut anywhere. */
bool dot_stuffer_run(struct dot_stuffer *stuffer, const char *bytes, size_t len, char *ret_bytes,
                     size_t *ret_len);
enum { DOT_STUFFER_END_MAX = 5 };
/* The end of the message: ".\r\n", with a CRLF before it when the last line has none. */
bool dot_stuffer_end(struct dot_stuffer *stuffer, char ret_bytes[DOT_STUFFER_END_MAX],
                     size_t *ret_len);

enum {
    BODY_SLICE_MAX = 65536,  /* added at a time: four TLS records of full size */
    BODY_QUEUED_MAX = 65535, /* nothing is added to an output that holds more */
};

enum body_status {
    BODY_FULL,    /* come again when the output has drained */
    BODY_HUNGRY,  /* come again when body_chunk() was called */
    BODY_DONE,    /* the end is in the output too */
    BODY_DAMAGED, /* the body must not be sent: nothing of its end has been */
};

struct body {
    struct dot_stuffer stuffer;
    struct blob *current;
    struct blob *next;
    size_t offset;        /* within current */
    uint32_t chunk_count; /* of the message */
    uint32_t arrived;     /* of them are here, or were */
    bool is_asked;        /* for number `arrived` */
};

/* whole: the only chunk, when it is at hand (a reference is taken), else NULL. */
void body_begin(struct body *body, uint32_t chunk_count, struct blob *whole);
void body_end(struct body *body);
/* True: ask for this chunk now, once. At most one chunk ahead of the one being sent. */
bool body_wants(struct body *body, uint32_t *ret_index);
/* Takes the reference. */
void body_chunk(struct body *body, struct blob *chunk);
/* before_end runs before the end of the message is added to the output, and after all else is. */
enum body_status body_fill(struct body *body, struct strbuf *output, void (*before_end)(void *ctx),
                           void *ctx);
