/* The incremental reply parser: collects a line, judges it, joins the lines. */
#include "reply_reader.h"

#include <string.h>

void reply_reader_init(struct reply_reader *reader)
{
    strbuf_init(&reader->text);
    reply_reader_reset(reader);
}

void reply_reader_done(struct reply_reader *reader)
{
    strbuf_done(&reader->text);
}

void reply_reader_reset(struct reply_reader *reader)
{
    reader->line_len = 0;
    reader->total_bytes = 0;
    reader->code = 0;
    reader->enhanced[0] = '\0';
    reader->problem = NULL;
    strbuf_clear(&reader->text);
}

bool reply_reader_is_within(const struct reply_reader *reader)
{
    return reader->total_bytes > 0;
}

static enum reply_status bad(struct reply_reader *reader, const char *problem)
{
    reader->problem = problem;
    return REPLY_BAD;
}

/* Whether byte may stand at this place of a line: the code, and what follows it. */
static bool is_possible(size_t place, char byte)
{
    if (place == 0)
        return byte >= '2' && byte <= '5';
    if (place < 3)
        return byte >= '0' && byte <= '9';
    return place > 3 || byte == ' ' || byte == '-' || byte == '\r';
}

static int parse_code(const char *line)
{
    return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

/* Text behind the codes. The enhanced code counts in the first line; later lines repeat it (RFC 2034, 4). */
static void add_text(struct reply_reader *reader, char *text, bool is_first)
{
    char enhanced[12] = "";
    size_t skipped = smtp_reply_enhanced(reader->code, text, enhanced);

    if (is_first)
        (void)memcpy(reader->enhanced, enhanced, sizeof reader->enhanced);
    else
        strbuf_append_char(&reader->text, '\n');
    strbuf_append_text(&reader->text, text + skipped);
}

/* reader->line without its CRLF, ended by NUL. */
static enum reply_status on_line(struct reply_reader *reader, size_t len)
{
    char *line = reader->line;
    int code = parse_code(line);
    bool is_first = reader->code == 0;

    if (!is_first && code != reader->code)
        return bad(reader, "lines of one reply with different codes");
    reader->code = code;
    bool is_last = len == 3 || line[3] == ' ';
    add_text(reader, len > 3 ? line + 4 : line + 3, is_first);
    reader->line_len = 0;
    return is_last ? REPLY_COMPLETE : REPLY_MORE;
}

/* Judged byte by byte, so that a peer that never ends its line is found out at its first wrong byte. */
static enum reply_status on_byte(struct reply_reader *reader, char byte)
{
    bool is_after_cr = reader->line_len > 0 && reader->line[reader->line_len - 1] == '\r';

    if (++reader->total_bytes > REPLY_TOTAL_MAX)
        return bad(reader, "an endless reply");
    if (byte == '\0')
        return bad(reader, "a NUL in a reply");
    if (is_after_cr && byte != '\n')
        return bad(reader, "a bare CR in a reply");
    if (!is_after_cr && byte == '\n')
        return bad(reader, "a bare LF in a reply");
    if (byte == '\n') {
        size_t len = reader->line_len - 1;
        reader->line[len] = '\0';
        return on_line(reader, len);
    }
    if (!is_possible(reader->line_len, byte))
        return bad(reader, "not an SMTP reply");
    if (reader->line_len + 1 >= sizeof reader->line)
        return bad(reader, "an endless line in a reply");
    reader->line[reader->line_len++] = byte;
    return REPLY_MORE;
}

static size_t run_before(const char *bytes, size_t len, char byte)
{
    const char *found = memchr(bytes, byte, len);

    return found != NULL ? (size_t)(found - bytes) : len;
}

/* Takes at once what may stand behind the code of a line, as far as the limits allow. */
static size_t take_text(struct reply_reader *reader, const char *bytes, size_t len)
{
    size_t line_room = sizeof reader->line - 1 - reader->line_len;
    size_t total_room = REPLY_TOTAL_MAX - reader->total_bytes;

    if (reader->line_len < 4 || reader->line[reader->line_len - 1] == '\r')
        return 0;
    if (len > line_room)
        len = line_room;
    if (len > total_room)
        len = total_room;
    len = run_before(bytes, len, '\r');
    len = run_before(bytes, len, '\n');
    len = run_before(bytes, len, '\0');
    (void)memcpy(reader->line + reader->line_len, bytes, len);
    reader->line_len += len;
    reader->total_bytes += len;
    return len;
}

enum reply_status reply_reader_feed(struct reply_reader *reader, const char *bytes, size_t len,
                                    size_t *ret_used)
{
    enum reply_status status = REPLY_MORE;
    size_t used = 0;

    while (used < len && status == REPLY_MORE) {
        used += take_text(reader, bytes + used, len - used);
        if (used < len)
            status = on_byte(reader, bytes[used++]);
    }
    *ret_used = used;
    return status;
}

struct smtp_reply reply_reader_reply(const struct reply_reader *reader)
{
    struct smtp_reply reply = { .code = reader->code, .text = reader->text.data };

    (void)memcpy(reply.enhanced, reader->enhanced, sizeof reply.enhanced);
    return reply;
}
