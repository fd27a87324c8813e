/* The state machine of DATA (RFC 5321 4.5.2), strict about line ends (RFC 5321 2.3.8).

        .----------- CR LF -----------.
        v                             |
   LINE_START --other--> IN_LINE --CR--> CR --other--> IN_LINE (bare CR)
        |                   ^
        '.'                 '--other-- (the dot is removed)
        v                              |
       DOT ----------------------------'
        '--CR--> DOT_CR --LF--> END                                                     */
#include "data_reader.h"

#include <string.h>

#include "escape.h"
#include "strbuf.h"

#include "refusal.h"

void data_reader_init(struct data_reader *reader, int64_t size_max_bytes)
{
    *reader = (struct data_reader){ .line = 1, .size_max_bytes = size_max_bytes };
}

static void set_fault(struct data_reader *reader, enum data_fault fault)
{
    if (reader->fault == DATA_FAULT_NONE)
        reader->fault = fault;
}

static void emit(struct data_reader *reader, const char *bytes, size_t len, struct strbuf *out)
{
    if (reader->fault != DATA_FAULT_NONE)
        return;
    int64_t room = reader->size_max_bytes - reader->size_bytes;
    if ((int64_t)len > room) {
        set_fault(reader, DATA_FAULT_TOO_LARGE);
        len = (size_t)room;
    }
    strbuf_append(out, bytes, len);
    reader->size_bytes += (int64_t)len;
}

static void end_line(struct data_reader *reader, struct strbuf *out)
{
    emit(reader, "\r\n", 2, out);
    reader->state = DATA_LINE_START;
    reader->line_len = 0;
    if (reader->fault == DATA_FAULT_NONE)
        reader->line++;
}

/* The length of a line with its CR LF; 0 when it is not all here or needs a closer look. */
static size_t plain_line_len(const char *bytes, size_t len)
{
    if (len > DATA_LINE_MAX + 2)
        len = DATA_LINE_MAX + 2;
    const char *newline = bytes[0] == '.' ? NULL : memchr(bytes, '\n', len);
    if (newline == NULL || newline == bytes ||
        memchr(bytes, '\r', (size_t)(newline - bytes)) != newline - 1)
        return 0;
    return (size_t)(newline - bytes) + 1;
}

static size_t plain_lines_len(const char *bytes, size_t len, uint64_t *ret_lines)
{
    uint64_t lines = 0;
    size_t lines_len = 0;

    while (lines_len < len) {
        size_t line_len = plain_line_len(bytes + lines_len, len - lines_len);
        if (line_len == 0)
            break;
        lines_len += line_len;
        lines++;
    }
    *ret_lines = lines;
    return lines_len;
}

/* As many plain lines as there are, in one piece. Long messages consist of them, and the states below would look at
   every byte; both come to the same. */
static size_t take_plain_lines(struct data_reader *reader, const char *bytes, size_t len,
                               struct strbuf *out)
{
    if (reader->state != DATA_LINE_START || reader->fault != DATA_FAULT_NONE)
        return 0;
    int64_t room = reader->size_max_bytes - reader->size_bytes;
    uint64_t lines = 0;
    size_t used = plain_lines_len(bytes, (int64_t)len > room ? (size_t)room : len, &lines);
    const char *nul = memchr(bytes, '\0', used);
    if (nul != NULL)
        used = plain_lines_len(bytes, (size_t)(nul - bytes), &lines);
    emit(reader, bytes, used, out);
    reader->line += lines;
    reader->is_8bit = reader->is_8bit || !bytes_are_ascii(bytes, used);
    return used;
}

/* Bytes up to the next CR, LF or NUL, at least one. */
static size_t take_run(struct data_reader *reader, const char *bytes, size_t len,
                       struct strbuf *out)
{
    unsigned char seen = 0;
    size_t n = 0;

    while (n < len && bytes[n] != '\r' && bytes[n] != '\n' && bytes[n] != '\0')
        seen |= (unsigned char)bytes[n++];
    if (n == 0)
        return 0;
    reader->is_8bit = reader->is_8bit || seen > 127;
    /* The byte that breaks a limit is found wherever the input was cut, because nothing behind it counts. */
    if (n > DATA_LINE_MAX - reader->line_len) {
        emit(reader, bytes, DATA_LINE_MAX - reader->line_len, out);
        reader->line_len = DATA_LINE_MAX;
        set_fault(reader, DATA_FAULT_LONG_LINE);
    } else {
        emit(reader, bytes, n, out);
        reader->line_len += n;
    }
    reader->state = DATA_IN_LINE;
    return n;
}

/* In a line, or at its start when no dot comes first. */
static size_t take_text(struct data_reader *reader, const char *bytes, size_t len,
                        struct strbuf *out)
{
    switch (bytes[0]) {
    case '\r':
        reader->state = DATA_CR;
        return 1;
    case '\n':
        set_fault(reader, DATA_FAULT_BARE_LF);
        reader->state = DATA_IN_LINE;
        return 1;
    case '\0':
        set_fault(reader, DATA_FAULT_NUL);
        reader->state = DATA_IN_LINE;
        return 1;
    default:
        return take_run(reader, bytes, len, out);
    }
}

/* One step; 0 bytes used means that the same byte is looked at again in another state. */
static size_t step(struct data_reader *reader, const char *bytes, size_t len, struct strbuf *out)
{
    switch (reader->state) {
    case DATA_LINE_START:
        if (bytes[0] != '.')
            return take_text(reader, bytes, len, out);
        reader->state = DATA_DOT;
        return 1;
    case DATA_IN_LINE:
        return take_text(reader, bytes, len, out);
    case DATA_CR:
        if (bytes[0] == '\n') {
            end_line(reader, out);
            return 1;
        }
        set_fault(reader, DATA_FAULT_BARE_CR);
        reader->state = DATA_IN_LINE;
        return 0;
    case DATA_DOT:
        reader->state = bytes[0] == '\r' ? DATA_DOT_CR : DATA_IN_LINE;
        return bytes[0] == '\r' ? 1 : 0;
    case DATA_DOT_CR:
        if (bytes[0] == '\n') {
            reader->state = DATA_END;
            return 1;
        }
        set_fault(reader, DATA_FAULT_BARE_CR);
        reader->state = DATA_IN_LINE;
        return 0;
    case DATA_END:
    case DATA_STATE_COUNT:
        break;
    }
    return 0;
}

size_t data_reader_feed(struct data_reader *reader, const char *bytes, size_t len,
                        struct strbuf *out)
{
    size_t used = 0;

    while (used < len && reader->state != DATA_END) {
        size_t plain = take_plain_lines(reader, bytes + used, len - used, out);
        used += plain > 0 ? plain : step(reader, bytes + used, len - used, out);
    }
    return used;
}

bool data_reader_check(const struct data_reader *reader, struct refusal *refusal)
{
    unsigned long long line = reader->line;

    switch (reader->fault) {
    case DATA_FAULT_NONE:
        return true;
    case DATA_FAULT_BARE_CR:
        return refuse(refusal, 550, "5.6.11", "bare CR in line %llu: lines end with CR LF", line);
    case DATA_FAULT_BARE_LF:
        return refuse(refusal, 550, "5.6.11", "bare LF in line %llu: lines end with CR LF", line);
    case DATA_FAULT_NUL:
        return refuse(refusal, 554, "5.6.0", "NUL byte in line %llu: encode binary data as base64",
                      line);
    case DATA_FAULT_LONG_LINE:
        return refuse(refusal, 554, "5.6.0",
                      "line %llu is longer than %d bytes: encode it as quoted-printable or base64",
                      line, DATA_LINE_MAX);
    case DATA_FAULT_TOO_LARGE:
        return refuse(refusal, 552, "5.3.4", "message larger than %lld bytes",
                      (long long)reader->size_max_bytes);
    case DATA_FAULT_COUNT:
        break;
    }
    return refuse(refusal, 451, "4.3.0", "internal error");
}
