/* Reads the message of sendmail(1) and brings its line ends into the form of SMTP. */
#include "message_input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "escape.h"
#include "xalloc.h"

enum { PIECE_BYTES = 64 * 1024 };

struct line_reader {
    struct message_input *input;
    int64_t size_max_bytes;
    struct strbuf out; /* what goes to the temporary file next */
    bool ends_at_dot;
    bool was_cr; /* a LF that follows belongs to it */
    bool at_line_start;
    bool has_dot;  /* a dot stood at the line's start and nothing yet behind it */
    bool is_ended; /* by a lone dot */
};

static int open_temporary(void)
{
    const char *directory = getenv("TMPDIR");

    if (directory == NULL || directory[0] != '/')
        directory = "/tmp";
    int fd = open(directory, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    AUTO_FREE char *name = xasprintf("%s/sendmail.XXXXXX", directory);
    fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(name);
    return fd;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    return true;
}

/* Moves what was read to where it stays: memory first, then the file. */
static bool keep(struct line_reader *reader, struct error *err)
{
    struct message_input *input = reader->input;

    input->size_bytes += (int64_t)reader->out.len;
    if (input->size_bytes > reader->size_max_bytes)
        return fail(err, ERROR_PROTOCOL, "the message is larger than %lld bytes (message-size-max)",
                    (long long)reader->size_max_bytes);
    input->is_8bit = input->is_8bit || !bytes_are_ascii(reader->out.data, reader->out.len);
    if (input->rest_fd < 0 && input->head.len + reader->out.len <= MESSAGE_INPUT_MEMORY) {
        strbuf_append(&input->head, reader->out.data, reader->out.len);
    } else {
        if (input->rest_fd < 0)
            input->rest_fd = open_temporary();
        if (input->rest_fd < 0 || !write_all(input->rest_fd, reader->out.data, reader->out.len))
            return fail(err, ERROR_IO, "keep a long message in a temporary file: %s",
                        strerror(errno));
    }
    strbuf_clear(&reader->out);
    return true;
}

static void on_line_end(struct line_reader *reader)
{
    if (reader->has_dot)
        reader->is_ended = true;
    else
        strbuf_append(&reader->out, "\r\n", 2);
    reader->has_dot = false;
    reader->at_line_start = true;
}

static size_t plain_run(const char *bytes, size_t len)
{
    size_t run = 0;

    while (run < len && bytes[run] != '\r' && bytes[run] != '\n')
        run++;
    return run;
}

static void on_run(struct line_reader *reader, const char *bytes, size_t run)
{
    reader->was_cr = false;
    if (reader->has_dot) {
        strbuf_append_char(&reader->out, '.');
        reader->has_dot = false;
    } else if (reader->at_line_start && reader->ends_at_dot && run == 1 && bytes[0] == '.') {
        reader->has_dot = true;
        reader->at_line_start = false;
        return;
    }
    reader->at_line_start = false;
    strbuf_append(&reader->out, bytes, run);
}

static void feed(struct line_reader *reader, const char *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && !reader->is_ended) {
        size_t run = plain_run(bytes + at, len - at);
        if (run > 0) {
            on_run(reader, bytes + at, run);
            at += run;
            continue;
        }
        bool is_second_half = bytes[at] == '\n' && reader->was_cr;
        reader->was_cr = bytes[at] == '\r';
        if (!is_second_half)
            on_line_end(reader);
        at++;
    }
}

static bool read_all(int fd, struct line_reader *reader, struct error *err)
{
    AUTO_FREE char *piece = xrealloc(NULL, PIECE_BYTES, 1); /* most mail touches little of it */

    while (!reader->is_ended) {
        ssize_t n = read(fd, piece, PIECE_BYTES);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, ERROR_IO, "read the message: %s", strerror(errno));
        feed(reader, piece, (size_t)n);
        if (!keep(reader, err))
            return false;
    }
    if (!reader->at_line_start && !reader->has_dot)
        on_line_end(reader);
    return keep(reader, err);
}

bool message_input_read(int fd, bool ends_at_dot, int64_t size_max_bytes,
                        struct message_input *ret_input, struct error *err)
{
    struct message_input input = { .rest_fd = -1 };
    struct line_reader reader = { .input = &input,
                                  .size_max_bytes = size_max_bytes,
                                  .ends_at_dot = ends_at_dot,
                                  .at_line_start = true };

    strbuf_init(&input.head);
    strbuf_init(&reader.out);
    bool is_read = read_all(fd, &reader, err);
    strbuf_done(&reader.out);
    if (!is_read) {
        message_input_done(&input);
        return false;
    }
    *ret_input = input;
    return true;
}

void message_input_done(struct message_input *input)
{
    strbuf_done(&input->head);
    if (input->rest_fd >= 0)
        (void)close(input->rest_fd);
    input->rest_fd = -1;
}

bool message_input_replay(const struct message_input *input, size_t offset,
                          message_input_sink_fn *sink, void *ctx)
{
    if (offset < input->head.len && !sink(input->head.data + offset, input->head.len - offset, ctx))
        return false;
    if (input->rest_fd < 0)
        return true;
    AUTO_FREE char *piece = xrealloc(NULL, PIECE_BYTES, 1);
    int64_t rest = input->size_bytes - (int64_t)input->head.len;
    for (int64_t at = 0; at < rest;) {
        ssize_t n = pread(input->rest_fd, piece, PIECE_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || !sink(piece, (size_t)n, ctx))
            return false;
        at += n;
    }
    return true;
}
