/* The socket to outboxd(8), blocking: bytes go out, SMTP replies come in. What they mean is submission.c's business. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "strbuf.h"

enum { DAEMON_LINE_MAX = 4096 };

struct error;

struct reply {
    int code;
    struct strbuf text; /* lines without codes, escaped, joined by a space */
};

struct daemon_link {
    int fd;
    struct reply reply; /* the last one */
    size_t buffer_len;
    char buffer[DAEMON_LINE_MAX];
};

/* Called for each line behind the first of a reply, without its code. */
typedef void reply_line_fn(const char *line, size_t len, void *ctx);

/* Takes fd. */
void daemon_link_init(struct daemon_link *link, int fd);
void daemon_link_done(struct daemon_link *link);
/* How long each read and each write may take. */
void daemon_link_set_timeout(struct daemon_link *link, int seconds);
/* False: the connection is of no use any more. Likewise below. */
bool daemon_link_send(struct daemon_link *link, const char *bytes, size_t len, struct error *err);
/* The next reply, whole, into link->reply. on_line may be NULL. */
bool daemon_link_read(struct daemon_link *link, reply_line_fn *on_line, void *ctx,
                      struct error *err);
