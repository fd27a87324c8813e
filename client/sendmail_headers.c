/* Header fields of a message that is about to be submitted: found, not judged. */
#include "sendmail_headers.h"

#include <string.h>
#include <strings.h>

#include "cleanup.h"

struct field {
    const char *name;
    size_t name_len;
    const char *value; /* with the line ends of folding */
    size_t value_len;
};

/* Each of these occurs once in a block, so a second one begins the next block. */
static const char *const resent_names[] = {
    "Resent-Date", "Resent-From", "Resent-Sender",     "Resent-To",
    "Resent-Cc",   "Resent-Bcc",  "Resent-Message-ID", "Resent-Reply-To",
};

static bool has_name(const struct field *field, const char *name)
{
    return field->name_len == strlen(name) && strncasecmp(field->name, name, field->name_len) == 0;
}

/* The length of the line at text with its CRLF; all that is left when there is no line end. */
static size_t line_length(const char *text, size_t len)
{
    const char *end = memmem(text, len, "\r\n", 2);

    return end != NULL ? (size_t)(end - text) + 2 : len;
}

/* RFC 5322 2.2: printable ASCII without the colon; 4.5 allows white space before the colon. */
static bool read_field_name(const char *line, size_t len, struct field *ret_field)
{
    size_t at = 0;

    while (at < len && line[at] > 32 && line[at] < 127 && line[at] != ':')
        at++;
    size_t name_len = at;
    while (at < len && (line[at] == ' ' || line[at] == '\t'))
        at++;
    if (name_len == 0 || at == len || line[at] != ':')
        return false;
    ret_field->name = line;
    ret_field->name_len = name_len;
    ret_field->value = line + at + 1;
    return true;
}

/* The field at offset at, folded lines included; ret_next is the offset behind it. */
static bool read_field(const char *text, size_t len, size_t at, struct field *ret_field,
                       size_t *ret_next)
{
    if (at >= len || !read_field_name(text + at, line_length(text + at, len - at), ret_field))
        return false;
    size_t next = at + line_length(text + at, len - at);
    while (next < len && (text[next] == ' ' || text[next] == '\t'))
        next += line_length(text + next, len - next);
    ret_field->value_len = (size_t)(text + next - ret_field->value);
    *ret_next = next;
    return true;
}

void message_header_find(const char *text, size_t len, struct message_header *ret_header)
{
    struct field field;
    size_t next = 0;
    bool has_from = false;

    if (len >= 5 && memcmp(text, "From ", 5) == 0) {
        size_t skipped = line_length(text, len);
        text += skipped;
        len -= skipped;
    }
    size_t at = 0;
    while (read_field(text, len, at, &field, &next)) {
        has_from = has_from || has_name(&field, "From");
        at = next;
    }
    ret_header->text = text;
    ret_header->len = at;
    ret_header->has_from = has_from;
    ret_header->needs_empty_line = at == len || line_length(text + at, len - at) != 2;
}

static bool is_resent(const struct field *field)
{
    return field->name_len > 7 && strncasecmp(field->name, "Resent-", 7) == 0;
}

/* Whether the field repeats one of the block; else it is noted in seen (bits of resent_names). */
static bool is_repeated(const struct field *field, unsigned *seen)
{
    for (size_t i = 0; i < COUNT_OF(resent_names); i++) {
        if (!has_name(field, resent_names[i]))
            continue;
        bool was_seen = (*seen & (1U << i)) != 0;
        *seen |= 1U << i;
        return was_seen;
    }
    return false;
}

/* True when there is a block of Resent- fields, which then named the recipients. */
static bool resent_recipients(const struct message_header *header, address_list_fn *found,
                              void *ctx)
{
    struct field field;
    size_t next = 0;
    unsigned seen = 0;
    bool has_block = false;

    for (size_t at = 0; read_field(header->text, header->len, at, &field, &next); at = next) {
        if (has_block && (!is_resent(&field) || is_repeated(&field, &seen)))
            break;
        if (!is_resent(&field))
            continue;
        if (!has_block)
            (void)is_repeated(&field, &seen);
        has_block = true;
        if (has_name(&field, "Resent-To") || has_name(&field, "Resent-Cc") ||
            has_name(&field, "Resent-Bcc"))
            address_list_parse(field.value, field.value_len, found, ctx);
    }
    return has_block;
}

void message_header_recipients(const struct message_header *header, address_list_fn *found,
                               void *ctx)
{
    struct field field;
    size_t next = 0;

    if (resent_recipients(header, found, ctx))
        return;
    for (size_t at = 0; read_field(header->text, header->len, at, &field, &next); at = next)
        if (has_name(&field, "To") || has_name(&field, "Cc") || has_name(&field, "Bcc"))
            address_list_parse(field.value, field.value_len, found, ctx);
}
