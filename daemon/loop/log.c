/* Composes lines on the caller's thread and hands them through a mailbox to the one that writes, a batch at a time. An
   atomic counter bounds what waits there. The descriptor is never made non-blocking: others (a terminal's shell) share
   its flags. */
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

#include "cleanup.h"
#include "clock.h"
#include "escape.h"
#include "strbuf.h"
#include "thread.h"
#include "when.h"
#include "xalloc.h"

enum {
    WAITING_MAX = 1024,
    VALUE_MAX = 1000,
    LINE_BYTES = 384, /* most lines are shorter */
    BATCH_BYTES = 64 * 1024,
    LINGER_MS = 10, /* a busy daemon wakes the writer a hundred times a second, not for each line */
    LINGER_MOST = WAITING_MAX / 4,
    STOP_GRACE_MS = 1000, /* for what still waits when the log is stopped */
    POLL_MS = 100,        /* how soon a blocked writer notices that it shall stop */
};

/* A row per enum log_level; the priority is syslog's, as the journal understands it. */
static const struct {
    const char *name;
    const char *priority;
} levels[] = {
    [LOG_LEVEL_ERROR] = { "error", "<3>" },
    [LOG_LEVEL_WARNING] = { "warning", "<4>" },
    [LOG_LEVEL_INFO] = { "info", "<6>" },
    [LOG_LEVEL_DEBUG] = { "debug", "<7>" },
};

/* Is composed in a strbuf, where it is the first bytes. */
struct line {
    struct mail mail;
    size_t len;
    char text[];
};

enum output {
    OUTPUT_PIPE,   /* or a terminal, or what is not known */
    OUTPUT_FILE,   /* always takes bytes */
    OUTPUT_SOCKET, /* a stream, like the journal's */
};

/* The plain members change only while no other thread logs. */
static struct {
    int fd;
    enum output output;
    bool has_priority;
    enum log_level most;
    struct loop_thread *thread; /* NULL: lines are written directly */
    struct strbuf batch;        /* what the thread is about to write, so many lines */
    unsigned batch_lines;
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

/* A pipe that is writable has room for PIPE_BUF bytes without blocking. So many are also written in one piece, so that
   lines stay whole when other processes write to it, too. */
static size_t pipe_piece_len(const char *bytes, size_t len)
{
    if (len <= PIPE_BUF)
        return len;
    const char *newline = memrchr(bytes, '\n', PIPE_BUF);
    return newline != NULL ? (size_t)(newline - bytes) + 1 : PIPE_BUF;
}

static ssize_t write_piece(const char *bytes, size_t len)
{
    switch (logger.output) {
    case OUTPUT_FILE:
        return write(logger.fd, bytes, len);
    case OUTPUT_SOCKET:
        return send(logger.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    case OUTPUT_PIPE:
        break;
    }
    return write(logger.fd, bytes, pipe_piece_len(bytes, len));
}

/* Returns how many bytes were written: all, unless nobody reads them. */
static size_t write_bytes(const char *bytes, size_t len)
{
    bool must_wait = logger.output == OUTPUT_PIPE;
    size_t done = 0;

    while (done < len) {
        if (must_wait && !wait_writable())
            break;
        ssize_t n = write_piece(bytes + done, len - done);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            break;
        must_wait = logger.output == OUTPUT_PIPE || n < 0;
        done += n > 0 ? (size_t)n : 0;
    }
    return done;
}

static void write_lines(const char *text, size_t len)
{
    size_t done = write_bytes(text, len);
    unsigned lost = 0;

    for (; done < len; done++)
        lost += text[done] == '\n';
    if (lost > 0)
        (void)atomic_fetch_add(&logger.dropped, lost);
}

/* "2026-11-23T18:30:00.123Z", of which all but the milliseconds is composed once a second. */
static void append_time(struct strbuf *buf)
{
    static _Thread_local char text[WHEN_RFC3339_SIZE];
    static _Thread_local int64_t text_s = -1;
    int64_t now_ms = clock_wall_ms();
    int ms = (int)(now_ms % 1000);

    if (now_ms / 1000 != text_s) {
        text_s = now_ms / 1000;
        when_format_rfc3339_ms(text, now_ms);
    }
    char *digits = text + strlen("2026-11-23T18:30:00.");
    digits[0] = (char)('0' + ms / 100);
    digits[1] = (char)('0' + ms / 10 % 10);
    digits[2] = (char)('0' + ms % 10);
    strbuf_append_text(buf, text);
}

static void append_start(struct strbuf *buf, enum log_level level)
{
    if (logger.has_priority) {
        strbuf_append_text(buf, levels[level].priority);
        return;
    }
    append_time(buf);
    strbuf_append_texts(buf, " ", levels[level].name, " ", NULL);
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
    if (write_bytes(buf.data, buf.len) < buf.len)
        (void)atomic_fetch_add(&logger.dropped, dropped);
}

static void write_batch(void)
{
    write_lines(logger.batch.data, logger.batch.len);
    strbuf_clear(&logger.batch);
    (void)atomic_fetch_sub(&logger.waiting, logger.batch_lines);
    logger.batch_lines = 0;
}

static void on_line(struct mail *mail)
{
    struct line *line = (struct line *)mail;

    strbuf_append(&logger.batch, line->text, line->len);
    logger.batch_lines++;
    free(line);
    if (logger.batch.len >= BATCH_BYTES)
        write_batch();
}

static void on_drained(void *ctx)
{
    (void)ctx;
    write_batch();
    write_dropped();
}

static void line_begin(struct strbuf *buf, enum log_level level)
{
    static const struct line room;

    strbuf_init_sized(buf, LINE_BYTES);
    strbuf_append(buf, &room, sizeof room);
    append_start(buf, level);
}

/* Takes what buf holds. */
static void line_end(struct strbuf *buf)
{
    strbuf_append_char(buf, '\n');
    struct line *line = (void *)TAKE(buf->data);
    line->mail.on_arrival = on_line;
    line->len = buf->len - sizeof *line;
    if (logger.thread == NULL) {
        write_lines(line->text, line->len);
        free(line);
    } else if (atomic_fetch_add(&logger.waiting, 1) >= WAITING_MAX) {
        (void)atomic_fetch_sub(&logger.waiting, 1);
        (void)atomic_fetch_add(&logger.dropped, 1);
        free(line);
    } else {
        mailbox_post(loop_thread_mailbox(logger.thread), &line->mail);
    }
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
    strbuf_append_char(buf, '"');
    size_t start = buf->len;
    append_cut(buf, value);
    if (strchr(buf->data + start, '"') != NULL) {
        AUTO_FREE char *escaped = xstrdup(buf->data + start);
        buf->len = start;
        for (const char *c = escaped; *c != '\0'; c++) {
            if (*c == '"')
                strbuf_append_char(buf, '\\');
            strbuf_append_char(buf, *c);
        }
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

static bool is_stream_socket(int fd)
{
    int type = 0;
    socklen_t len = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static void choose_output(int fd)
{
    struct stat status = { 0 };

    (void)fstat(fd,
                &status); /* of a closed descriptor: nothing is known, nothing will be written */
    logger.fd = fd;
    if (S_ISREG(status.st_mode))
        logger.output = OUTPUT_FILE;
    else
        logger.output = is_stream_socket(fd) ? OUTPUT_SOCKET : OUTPUT_PIPE;
    logger.has_priority = is_journal(&status);
}

bool log_start(int fd, enum log_level most, struct error *err)
{
    static const struct loop_thread_hooks hooks = { .on_drained = on_drained };
    struct loop_thread *thread = loop_thread_new("log", &hooks, NULL, err);

    if (thread == NULL)
        return false;
    mailbox_set_linger(loop_thread_mailbox(thread), LINGER_MS, LINGER_MOST);
    choose_output(fd);
    strbuf_init(&logger.batch);
    logger.most = most;
    atomic_store(&logger.give_up_at_ms, 0);
    if (!loop_thread_start(thread, err)) {
        loop_thread_free(thread);
        strbuf_done(&logger.batch);
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
    strbuf_done(&logger.batch);
    write_dropped();
}

void log_event(enum log_level level, const char *queue_id, const char *event, ...)
{
    if (!is_wanted(level))
        return;
    struct strbuf buf;
    line_begin(&buf, level);
    strbuf_append_texts(&buf, queue_id != NULL ? queue_id : "-", " ", event, NULL);
    va_list args;
    va_start(args, event);
    for (const char *key = va_arg(args, const char *); key != NULL;
         key = va_arg(args, const char *)) {
        const char *value = va_arg(args, const char *);
        if (value == NULL)
            continue;
        strbuf_append_texts(&buf, " ", key, "=", NULL);
        append_value(&buf, value);
    }
    va_end(args);
    line_end(&buf);
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
    struct strbuf buf;
    line_begin(&buf, level);
    strbuf_append_texts(&buf, "- ", event, ": ", NULL);
    append_cut(&buf, words);
    line_end(&buf);
}

unsigned log_warning_count(void)
{
    return atomic_load(&logger.warnings);
}
