/* Growing byte strings. */
#include "strbuf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "xalloc.h"

void strbuf_reserve(struct strbuf *buf, size_t more)
{
    if (buf->len + more < buf->capacity)
        return;
    size_t wanted = buf->capacity * 2;
    if (wanted <= buf->len + more)
        wanted = buf->len + more + 1;
    buf->data = xrealloc(buf->data, wanted, 1);
    buf->capacity = wanted;
}

void strbuf_init_sized(struct strbuf *buf, size_t capacity)
{
    buf->capacity = capacity;
    buf->len = 0;
    buf->data = xrealloc(NULL, capacity, 1);
    buf->data[0] = '\0';
}

void strbuf_init(struct strbuf *buf)
{
    strbuf_init_sized(buf, 64);
}

void strbuf_done(struct strbuf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->len = 0;
    buf->capacity = 0;
}

void strbuf_clear(struct strbuf *buf)
{
    buf->len = 0;
    buf->data[0] = '\0';
}

void strbuf_append(struct strbuf *buf, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    strbuf_reserve(buf, len);
    (void)memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void strbuf_append_text(struct strbuf *buf, const char *text)
{
    strbuf_append(buf, text, strlen(text));
}

void strbuf_append_texts(struct strbuf *buf, const char *text, ...)
{
    va_list args;

    va_start(args, text);
    for (; text != NULL; text = va_arg(args, const char *))
        strbuf_append_text(buf, text);
    va_end(args);
}

void strbuf_append_char(struct strbuf *buf, char c)
{
    strbuf_reserve(buf, 1);
    buf->data[buf->len++] = c;
    buf->data[buf->len] = '\0';
}

/* Mostly there is room; when there is not, the first attempt has told how much is needed. */
void strbuf_append_format(struct strbuf *buf, const char *fmt, ...)
{
    size_t room = buf->capacity - buf->len;
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(buf->data + buf->len, room, fmt, args);
    va_end(args);
    MUST(n >= 0);
    if ((size_t)n >= room) {
        strbuf_reserve(buf, (size_t)n);
        va_start(args, fmt);
        (void)vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    buf->len += (size_t)n;
}

void strbuf_consume(struct strbuf *buf, size_t len)
{
    if (len > buf->len)
        len = buf->len;
    (void)memmove(buf->data, buf->data + len, buf->len - len + 1);
    buf->len -= len;
}

char *strbuf_take(struct strbuf *buf, size_t *ret_len)
{
    char *data = buf->data;

    if (ret_len != NULL)
        *ret_len = buf->len;
    strbuf_init(buf);
    return data;
}
