/* Reads replies of any number of lines, none of them longer than the buffer. */
#include "daemon_link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "error.h"
#include "escape.h"

enum { REPLY_LINES_MAX = 100 };

void daemon_link_init(struct daemon_link *link, int fd)
{
    link->fd = fd;
    link->buffer_len = 0;
    link->reply.code = 0;
    strbuf_init(&link->reply.text);
}

void daemon_link_done(struct daemon_link *link)
{
    (void)close(link->fd);
    link->fd = -1;
    strbuf_done(&link->reply.text);
}

void daemon_link_set_timeout(struct daemon_link *link, int seconds)
{
    struct timeval timeout = { .tv_sec = seconds };

    (void)setsockopt(link->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(link->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
}

bool daemon_link_send(struct daemon_link *link, const char *bytes, size_t len, struct error *err)
{
    while (len > 0) {
        ssize_t n = send(link->fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, ERROR_BUSY, "speak to outboxd: %s",
                        errno == EAGAIN ? "it does not read" : strerror(errno));
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* One line without its end, in link->buffer until the next call; ret_len excludes the line end. */
static bool read_line(struct daemon_link *link, size_t *consumed, size_t *ret_len,
                      struct error *err)
{
    memmove(link->buffer, link->buffer + *consumed, link->buffer_len - *consumed);
    link->buffer_len -= *consumed;
    *consumed = 0;
    for (;;) {
        char *end = memchr(link->buffer, '\n', link->buffer_len);
        if (end != NULL) {
            size_t len = (size_t)(end - link->buffer);
            *consumed = len + 1;
            *ret_len = len > 0 && end[-1] == '\r' ? len - 1 : len;
            return true;
        }
        if (link->buffer_len == sizeof link->buffer)
            return fail(err, ERROR_PROTOCOL, "outboxd sent an endless line");
        ssize_t n = recv(link->fd, link->buffer + link->buffer_len,
                         sizeof link->buffer - link->buffer_len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(err, ERROR_BUSY, "listen to outboxd: %s",
                        n == 0            ? "it closed the connection"
                        : errno == EAGAIN ? "it does not answer"
                                          : strerror(errno));
        link->buffer_len += (size_t)n;
    }
}

static bool is_reply_line(const char *line, size_t len)
{
    return len >= 3 && line[0] >= '2' && line[0] <= '5' && line[1] >= '0' && line[1] <= '9' &&
           line[2] >= '0' && line[2] <= '9' && (len == 3 || line[3] == ' ' || line[3] == '-');
}

bool daemon_link_read(struct daemon_link *link, reply_line_fn *on_line, void *ctx,
                      struct error *err)
{
    struct reply *reply = &link->reply;
    size_t consumed = 0;
    bool is_last = false;

    strbuf_clear(&reply->text);
    for (unsigned count = 0; !is_last; count++) {
        size_t len = 0;
        if (!read_line(link, &consumed, &len, err))
            return false;
        const char *line = link->buffer;
        if (!is_reply_line(line, len) || count == REPLY_LINES_MAX)
            return fail(err, ERROR_PROTOCOL, "what listens at submit.sock does not speak SMTP");
        is_last = len == 3 || line[3] == ' ';
        reply->code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
        if (len > 4 && reply->text.len > 0)
            strbuf_append_char(&reply->text, ' ');
        if (len > 4)
            escape_append(&reply->text, line + 4, len - 4);
        if (on_line != NULL && count > 0 && len > 4)
            on_line(line + 4, len - 4, ctx);
    }
    memmove(link->buffer, link->buffer + consumed, link->buffer_len - consumed);
    link->buffer_len -= consumed;
    return true;
}
