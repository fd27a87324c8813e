/* Composes lines on the caller's thread and hands them through a mailbox to the one that writes. An atomic counter
   bounds what waits there. The descriptor is never made non-blocking: others (a terminal's shell) share its flags. */
#include "log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "escape.h"
#include "strbuf.h"
#include "thread.h"
#include "when.h"
#include "xalloc.h"

enum {
    WAITING_MAX = 1024,
    VALUE_MAX = 1000,
    STOP_GRACE_MS = 1000, /* for what still waits when the log is stopped */
    POLL_MS = 100,        /* how soon a blocked writer notices that it shall stop */
};

/* A row per enum log_level; the priority is syslog's, as the journal understands it. */
static const struct {
    const char *name;
    const char *priority;
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error",    "<3>"},
    [LOG_LEVEL_WARNING] = { "warning", "<4>"},
    [LOG_LEVEL_INFO] = { "info",    "<6>"},
    [LOG_LEVEL_DEBUG] = { "debug",   "<7>"},
};

struct line {
    struct mail mail;
    size_t len;
    char text[];
};

/* The plain members change only while no other thread logs. */
static struct {
    int fd;
    bool is_socket;
    bool has_priority;
    enum log_level most;
    struct loop_thread *thread; /* NULL: lines are written directly */
    atomic_uint waiting;
    atomic_uint dropped;
    atomic_uint warnings;
    _Atomic int64_t give_up_at_ms; /* 0: no hurry */
} logger = { .fd = STDERR_FILENO, .most = LOG_LEVEL_INFO };

/* Waits until the descriptor takes bytes; false when time is up or nobody will ever read. */
static bool wait_writable(void)
{
    for (;;) {
        struct pollfd entry = { .fd = logger.fd, .events = POLLOUT };
        int64_t give_up_at_ms = atomic_load(&logger.give_up_at_ms);
        bool is_late = give_up_at_ms != 0 && clock_monotonic_ms() >= give_up_at_ms;
        int rc = poll(&entry, 1, is_late ? 0 : POLL_MS);
        if (rc > 0)
            return (entry.revents & (POLLERR | POLLNVAL)) == 0;
        if (is_late || (rc < 0 && errno != EINTR))
            return false;
    }
}

/* Pieces of PIPE_BUF, because a pipe that is writable has room for exactly so much without blocking. */
static bool write_bytes(const char *bytes, size_t len)
{
    while (len > 0) {
        size_t piece = len < PIPE_BUF ? len : PIPE_BUF;
        if (!wait_writable())
            return false;
        ssize_t n = logger.is_socket ? send(logger.fd, bytes, piece, MSG_DONTWAIT | MSG_NOSIGNAL)
                                     : write(logger.fd, bytes, piece);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static void append_start(struct strbuf *buf, enum log_level level)
{
    if (logger.has_priority) {
        strbuf_append_text(buf, levels[level].priority);
        return;
    }
    char now[WHEN_RFC3339_SIZE];
    when_format_rfc3339_ms(now, clock_wall_ms());
    strbuf_append_format(buf, "%s %s ", now, levels[level].name);
}

static void write_dropped(void)
{
    unsigned dropped = atomic_exchange(&logger.dropped, 0);
    if (dropped == 0)
        return;
    AUTO_STRBUF struct strbuf buf;
    strbuf_init(&buf);
    append_start(&buf, LOG_LEVEL_WARNING);
    strbuf_append_format(&buf, "- log dropped %u lines\n", dropped);
    if (!write_bytes(buf.data, buf.len))
        (void)atomic_fetch_add(&logger.dropped, dropped);
}

static void write_line(const char *text, size_t len)
{
    write_dropped();
    if (!write_bytes(text, len))
        (void)atomic_fetch_add(&logger.dropped, 1);
}

static void on_line(struct mail *mail)
{
    struct line *line = (struct line *)mail;

    write_line(line->text, line->len);
    (void)atomic_fetch_sub(&logger.waiting, 1);
    free(line);
}

static void submit(const struct strbuf *buf)
{
    if (logger.thread == NULL) {
        write_line(buf->data, buf->len);
        return;
    }
    if (atomic_fetch_add(&logger.waiting, 1) >= WAITING_MAX) {
        (void)atomic_fetch_sub(&logger.waiting, 1);
        (void)atomic_fetch_add(&logger.dropped, 1);
        return;
    }
    struct line *line = xcalloc(1, sizeof *line + buf->len);
    line->mail.on_arrival = on_line;
    line->len = buf->len;
    memcpy(line->text, buf->data, buf->len);
    mailbox_post(loop_thread_mailbox(logger.thread), &line->mail);
}

static bool is_wanted(enum log_level level)
{
    if (level <= LOG_LEVEL_WARNING)
        (void)atomic_fetch_add(&logger.warnings, 1);
    return level <= logger.most;
}

/* Escaped, and cut between characters. */
static void append_cut(struct strbuf *buf, const char *text)
{
    size_t len = strnlen(text, VALUE_MAX + 1);
    bool is_cut = len > VALUE_MAX;

    if (is_cut) {
        len = VALUE_MAX;
        while (len > VALUE_MAX - 3 && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--;
    }
    escape_append(buf, text, len);
    if (is_cut)
        strbuf_append_text(buf, "...");
}

/* A value with spaces or quotes stands in quotes, so that pairs can be told apart again. */
static void append_value(struct strbuf *buf, const char *value)
{
    if (*value != '\0' && strpbrk(value, " \"") == NULL) {
        append_cut(buf, value);
        return;
    }
    AUTO_STRBUF struct strbuf escaped;
    strbuf_init(&escaped);
    append_cut(&escaped, value);
    strbuf_append_char(buf, '"');
    for (size_t i = 0; i < escaped.len; i++) {
        if (escaped.data[i] == '"')
            strbuf_append_char(buf, '\\');
        strbuf_append_char(buf, escaped.data[i]);
    }
    strbuf_append_char(buf, '"');
}

/* "DEV:INODE" of the stream that the journal gave to the service: stderr may have been redirected since. */
static bool is_journal(const struct stat *status)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char *end = NULL;

    if (stream == NULL)
        return false;
    unsigned long long device = strtoull(stream, &end, 10);
    if (*end != ':')
        return false;
    return device == status->st_dev && strtoull(end + 1, NULL, 10) == status->st_ino;
}

static void choose_output(int fd)
{
    struct stat status = { 0 };

    (void)fstat(fd,
                &status); /* of a closed descriptor: nothing is known, nothing will be written */
    logger.fd = fd;
    logger.is_socket = S_ISSOCK(status.st_mode);
    logger.has_priority = is_journal(&status);
}

bool log_start(int fd, enum log_level most, struct error *err)
{
    static const struct loop_thread_hooks no_hooks;
    struct loop_thread *thread = loop_thread_new("log", &no_hooks, NULL, err);

    if (thread == NULL)
        return false;
    choose_output(fd);
    logger.most = most;
    atomic_store(&logger.give_up_at_ms, 0);
    if (!loop_thread_start(thread, err)) {
        loop_thread_free(thread);
        return false;
    }
    logger.thread = thread;
    return true;
}

void log_stop(void)
{
    if (logger.thread == NULL)
        return;
    atomic_store(&logger.give_up_at_ms, clock_monotonic_ms() + STOP_GRACE_MS);
    loop_thread_stop(logger.thread);
    loop_thread_free(logger.thread);
    logger.thread = NULL;
    write_dropped();
}

void log_event(enum log_level level, const char *queue_id, const char *event, ...)
{
    if (!is_wanted(level))
        return;
    AUTO_STRBUF struct strbuf buf;
    strbuf_init(&buf);
    append_start(&buf, level);
    strbuf_append_format(&buf, "%s %s", queue_id != NULL ? queue_id : "-", event);
    va_list args;
    va_start(args, event);
    for (const char *key = va_arg(args, const char *); key != NULL;
         key = va_arg(args, const char *)) {
        const char *value = va_arg(args, const char *);
        if (value == NULL)
            continue;
        strbuf_append_format(&buf, " %s=", key);
        append_value(&buf, value);
    }
    va_end(args);
    strbuf_append_char(&buf, '\n');
    submit(&buf);
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    if (!is_wanted(level))
        return;
    char words[VALUE_MAX + 2];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(words, sizeof words, fmt, args);
    va_end(args);
    AUTO_STRBUF struct strbuf buf;
    strbuf_init(&buf);
    append_start(&buf, level);
    strbuf_append_format(&buf, "- %s: ", event);
    append_cut(&buf, words);
    strbuf_append_char(&buf, '\n');
    submit(&buf);
}

unsigned log_warning_count(void)
{
    return atomic_load(&logger.warnings);
}
