/* A growing byte string, always followed by a NUL that len does not count.
   No limit of its own: callers bound what comes from outside before appending. */
#pragma once
#include <stddef.h>

struct strbuf {
    char *data; /* never NULL after strbuf_init */
    size_t len;
    size_t capacity;
};

void strbuf_init(struct strbuf *buf);
void strbuf_init_sized(struct strbuf *buf, size_t capacity); /* the NUL included: at least 1 */
void strbuf_done(struct strbuf *buf);
void strbuf_clear(struct strbuf *buf); /* keeps the memory */
/* Room for so many more bytes: appending them moves nothing (matters for secrets, which leave copies behind). */
void strbuf_reserve(struct strbuf *buf, size_t more);
void strbuf_append(struct strbuf *buf, const void *bytes, size_t len);
void strbuf_append_text(struct strbuf *buf, const char *text);
void strbuf_append_char(struct strbuf *buf, char c);
/* Several, ended by NULL. Where every message passes, this takes the place of a format. */
__attribute__((sentinel)) void strbuf_append_texts(struct strbuf *buf, const char *text, ...);
__attribute__((format(printf, 2, 3))) void strbuf_append_format(struct strbuf *buf, const char *fmt,
                                                                ...);
/* Removes the first len bytes (at most what is there). */
void strbuf_consume(struct strbuf *buf, size_t len);
/* The bytes become the caller's, who frees them; buf is empty and usable again. */
char *strbuf_take(struct strbuf *buf, size_t *ret_len);

#define AUTO_STRBUF __attribute__((cleanup(strbuf_done)))
