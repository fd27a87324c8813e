/* Reading a reply from text: its code, its lines, and the enhanced code, which is believed at one place only. */
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "strbuf.h"
#include "verdict.h"

enum { REPLY_LEN_MAX = 65536, CODE_LEN = 3, NUMBER_LEN_MAX = 3 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* 1 to 3 digits; their count, 0 when there are none or too many. */
static size_t number_len(const char *text)
{
    size_t len = 0;

    while (len <= NUMBER_LEN_MAX && is_digit(text[len]))
        len++;
    return len <= NUMBER_LEN_MAX ? len : 0;
}

/* RFC 2034 4: status-code ::= class "." subject "." detail, then a space or the end. */
size_t smtp_reply_enhanced(int code, const char *text, char ret_enhanced[12])
{
    size_t len = 0;

    if (text[0] < '0' || text[0] - '0' != code / 100 || strchr("245", text[0]) == NULL ||
        text[1] != '.')
        return 0;
    size_t subject_len = number_len(text + 2);
    len = 2 + subject_len;
    if (subject_len == 0 || text[len] != '.')
        return 0;
    len++;
    size_t detail_len = number_len(text + len);
    len += detail_len;
    if (detail_len == 0 || (text[len] != '\0' && strchr(" \r\n", text[len]) == NULL))
        return 0;
    (void)memcpy(ret_enhanced, text, len);
    ret_enhanced[len] = '\0';
    while (text[len] == ' ')
        len++;
    return len;
}

/* The end of the line at text, and in *ret_next the start of the one behind it: a real line break, or a written \n. */
static const char *line_end(const char *text, const char **ret_next)
{
    const char *end = text;

    while (*end != '\0' && *end != '\n' && strncmp(end, "\r\n", 2) != 0 &&
           strncmp(end, "\\n", 2) != 0)
        end++;
    if (*end == '\0')
        *ret_next = end;
    else
        *ret_next = end + (*end == '\n' ? 1 : 2);
    return end;
}

/* The code at the start of a line that ends at end, 0 when there is none. *ret_separator is the byte behind it. */
static int line_code(const char *line, const char *end, char *ret_separator)
{
    if (end - line < CODE_LEN || !is_digit(line[0]) || !is_digit(line[1]) || !is_digit(line[2]))
        return 0;
    *ret_separator = end - line > CODE_LEN ? line[CODE_LEN] : ' ';
    if (line[0] < '2' || line[0] > '5' || (*ret_separator != ' ' && *ret_separator != '-'))
        return 0;
    return (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
}

static bool append_line(struct strbuf *joined, const char *line, const char *end, bool is_first,
                        struct smtp_reply *reply, struct error *err)
{
    char separator = ' ';
    char enhanced[sizeof reply->enhanced] = "";
    int code = line_code(line, end, &separator);

    if (code == 0)
        return fail(err, ERROR_USAGE,
                    "a reply line begins with a code from 200 to 599 and a space "
                    "or hyphen");
    if (!is_first && code != reply->code)
        return fail(err, ERROR_USAGE, "the lines of one reply have different codes (%d and %d)",
                    reply->code, code);
    reply->code = code;
    const char *text = end - line > CODE_LEN ? line + CODE_LEN + 1 : end;
    AUTO_STRBUF struct strbuf copy;
    strbuf_init(&copy);
    strbuf_append(&copy, text, (size_t)(end - text));
    size_t skipped = smtp_reply_enhanced(code, copy.data, enhanced);
    if (is_first)
        (void)memcpy(reply->enhanced, enhanced, sizeof enhanced);
    else
        strbuf_append_char(joined, '\n');
    strbuf_append_text(joined, copy.data + skipped);
    return true;
}

bool smtp_reply_parse(const char *text, struct smtp_reply *ret_reply, char **ret_text,
                      struct error *err)
{
    struct smtp_reply reply = { .code = 0 };
    AUTO_STRBUF struct strbuf joined;
    bool is_first = true;

    strbuf_init(&joined);
    if (strlen(text) > REPLY_LEN_MAX)
        return fail(err, ERROR_USAGE, "the reply is longer than %d bytes", REPLY_LEN_MAX);
    do {
        const char *next = NULL;
        const char *end = line_end(text, &next);
        if (!append_line(&joined, text, end, is_first, &reply, err))
            return false;
        is_first = false;
        text = next;
    } while (*text != '\0');
    *ret_text = strbuf_take(&joined, NULL);
    reply.text = *ret_text;
    *ret_reply = reply;
    return true;
}
