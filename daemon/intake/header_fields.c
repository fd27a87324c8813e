/* Finds fields and mailboxes by single passes over the bytes. */
#include "header_fields.h"

#include <string.h>
#include <strings.h>

#include "address.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* field-name = 1*ftext, then perhaps white space (obsolete, RFC 5322 4.5.8), then a colon. 0 if it is none. */
static size_t field_name_len(const char *line, size_t len)
{
    size_t name_len = 0;

    while (name_len < len && line[name_len] > ' ' && line[name_len] < 127 && line[name_len] != ':')
        name_len++;
    size_t colon = name_len;
    while (colon < len && is_space(line[colon]))
        colon++;
    return colon < len && line[colon] == ':' ? name_len : 0;
}

bool header_find_end(const char *bytes, size_t len, size_t *position, size_t *ret_header_len,
                     size_t *ret_body)
{
    while (*position < len) {
        const char *line = bytes + *position;
        const char *newline = memchr(line, '\n', len - *position);
        if (newline == NULL)
            return false;
        size_t line_len = (size_t)(newline - line) + 1;
        bool is_empty = line_len == 2;
        bool is_continuation = is_space(line[0]) && *position > 0;
        if (is_empty || (!is_continuation && field_name_len(line, line_len) == 0)) {
            *ret_header_len = *position;
            *ret_body = *position + (is_empty ? line_len : 0);
            return true;
        }
        *position += line_len;
    }
    return false;
}

bool header_next_field(const char **cursor, const char *end, struct header_field *ret_field)
{
    const char *start = *cursor;
    const char *next = start;

    if (start == end)
        return false;
    do {
        const char *newline = memchr(next, '\n', (size_t)(end - next));
        next = newline == NULL ? end : newline + 1;
    } while (next < end && is_space(*next));
    size_t name_len = field_name_len(start, (size_t)(next - start));
    const char *colon = memchr(start + name_len, ':', (size_t)(next - start) - name_len);
    const char *value = colon == NULL ? next : colon + 1;
    *ret_field = (struct header_field){
        .name = start,
        .name_len = name_len,
        .value = value,
        .value_len = (size_t)(next - value),
        .start = start,
        .len = (size_t)(next - start),
    };
    *cursor = next;
    return true;
}

bool header_field_is(const struct header_field *field, const char *name)
{
    /* Most fields are settled by their first letter. */
    if (((field->name[0] ^ name[0]) & ~0x20) != 0)
        return false;
    return strlen(name) == field->name_len && strncasecmp(field->name, name, field->name_len) == 0;
}

/* What has been read of the current mailbox. Too long for an address: len stays at the limit, which is none. */
struct mailbox_text {
    char bytes[ADDRESS_MAX + 2];
    size_t len;
    bool is_angle_done; /* "<...>" has been read: what follows up to the comma is no part of it */
};

static void append(struct mailbox_text *text, char c)
{
    if (!text->is_angle_done && text->len < sizeof text->bytes - 1)
        text->bytes[text->len++] = c;
}

static bool report(struct mailbox_text *text, header_mailbox_fn *found, void *ctx)
{
    char *start = text->bytes;

    while (text->len > 0 && is_space(text->bytes[text->len - 1]))
        text->len--;
    text->bytes[text->len] = '\0';
    start += strspn(start, " \t");
    bool has_address = *start != '\0' || text->is_angle_done;
    bool is_too_long = text->len > ADDRESS_MAX;
    bool may_go_on = !has_address || found(is_too_long ? NULL : start, ctx);
    *text = (struct mailbox_text){ 0 };
    return may_go_on;
}

/* Returns the position behind a quoted string that starts at i; copies it, quotes included. */
static size_t skip_quoted(const char *value, size_t len, size_t i, struct mailbox_text *text)
{
    append(text, value[i++]);
    while (i < len && value[i] != '"') {
        if (value[i] == '\\' && i + 1 < len)
            append(text, value[i++]);
        append(text, value[i++]);
    }
    if (i < len)
        append(text, value[i++]);
    return i;
}

/* Comments nest (RFC 5322 3.2.2); a counter is enough. */
static size_t skip_comment(const char *value, size_t len, size_t i)
{
    unsigned depth = 0;

    for (; i < len; i++) {
        if (value[i] == '\\')
            i++;
        else if (value[i] == '(')
            depth++;
        else if (value[i] == ')' && --depth == 0)
            return i + 1;
    }
    return len;
}

void header_walk_mailboxes(const char *value, size_t len, header_mailbox_fn *found, void *ctx)
{
    struct mailbox_text text = { 0 };
    bool is_in_angle = false;

    for (size_t i = 0; i < len;) {
        char c = value[i];
        if (c == '"') {
            i = skip_quoted(value, len, i, &text);
            continue;
        }
        if (c == '(') {
            i = skip_comment(value, len, i);
            continue;
        }
        i++;
        if (c == '<') {
            text.len = 0; /* that was the display name */
            is_in_angle = true;
        } else if (c == '>' && is_in_angle) {
            is_in_angle = false;
            text.is_angle_done = true;
        } else if (c == ':' && !is_in_angle) {
            text.len = 0; /* that was the name of a group */
        } else if ((c == ',' || c == ';') && !is_in_angle) {
            if (!report(&text, found, ctx))
                return;
        } else if (c != '\r' && c != '\n') {
            append(&text, c);
        }
    }
    (void)report(&text, found, ctx);
}
