/* One walk over the fields, each with its row's action; then what is missing is added. */
#include "header_pass.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "address.h"
#include "cleanup.h"
#include "error.h"
#include "units.h"
#include "when.h"
#include "xalloc.h"

#include "header_fields.h"
#include "refusal.h"

enum { ADDED_BYTES = 512 }; /* mostly enough for the fields added */

enum header_kind {
    HEADER_DATE,
    HEADER_MESSAGE_ID,
    HEADER_FROM,
    HEADER_RECEIVED,
    HEADER_SIGNATURE,
    HEADER_TAG,
    HEADER_OTHER,
    HEADER_KIND_COUNT
};

struct pass {
    const struct header_input *input;
    struct header_result *result;
    struct refusal *refusal;
    unsigned counts[HEADER_KIND_COUNT];
};

/* False refuses the message. */
typedef bool field_fn(struct pass *pass, const struct header_field *field);

static void add_from(struct header_result *result, const char *text)
{
    result->from = xrealloc(result->from, result->from_count + 1, sizeof *result->from);
    result->from[result->from_count++] = xstrdup(text);
}

static bool read_mailbox(const char *text, void *ctx)
{
    struct pass *pass = ctx;
    struct header_result *result = pass->result;
    struct address address;
    struct error err;

    if (text == NULL || result->from_count == HEADER_FROM_MAX ||
        !address_parse(text, &address, &err) || address.kind == ADDRESS_NULL) {
        result->is_from_readable = false;
        return false;
    }
    if (address.kind == ADDRESS_UNQUALIFIED) {
        AUTO_FREE char *full = xasprintf("%s@%s", address.text, pass->input->default_domain);
        add_from(result, full);
    } else {
        add_from(result, address.text);
    }
    return true;
}

static bool read_from(struct pass *pass, const struct header_field *field)
{
    header_walk_mailboxes(field->value, field->value_len, read_mailbox, pass);
    return true;
}

static bool check_received(struct pass *pass, const struct header_field *field)
{
    (void)field;
    if (pass->counts[HEADER_RECEIVED] < HEADER_RECEIVED_MAX)
        return true;
    return refuse(pass->refusal, 554, "5.4.6", "%d Received fields: the message is in a loop",
                  HEADER_RECEIVED_MAX);
}

static bool is_printable(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] < ' ' || text[i] >= 127)
            return false;
    return true;
}

static bool read_tag(struct pass *pass, const struct header_field *field)
{
    const char *text = field->value;
    size_t len = field->value_len;

    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        len--;
    for (; len > 0 && (*text == ' ' || *text == '\t'); len--)
        text++;
    if (pass->counts[HEADER_TAG] > 1)
        return refuse(pass->refusal, 554, "5.5.4", "more than one X-Outbox-Tag");
    if (len == 0 || len > HEADER_TAG_MAX || !is_printable(text, len))
        return refuse(pass->refusal, 554, "5.5.4",
                      "X-Outbox-Tag is 1 to %d printable ASCII characters", HEADER_TAG_MAX);
    pass->result->tag = xstrndup(text, len);
    return true;
}

/* What steers must not be ignored in silence: the program relies on it. */
static bool refuse_steering(struct pass *pass, const struct header_field *field)
{
    return refuse(pass->refusal, 554, "5.5.4", "%.*s is not supported in this version",
                  field->name_len < 64 ? (int)field->name_len : 64, field->name);
}

static const struct field_row {
    const char *name;
    enum header_kind kind;
    bool is_kept;
    field_fn *act; /* NULL: only counted */
} rows[] = {
    {"Bcc",             HEADER_OTHER,      false, NULL          },
    { "Resent-Bcc",     HEADER_OTHER,      false, NULL          },
    { "Date",           HEADER_DATE,       true,  NULL          },
    { "Message-ID",     HEADER_MESSAGE_ID, true,  NULL          },
    { "From",           HEADER_FROM,       true,  read_from     },
    { "Received",       HEADER_RECEIVED,   true,  check_received},
    { "DKIM-Signature", HEADER_SIGNATURE,  true,  NULL          },
    { "X-Outbox-Tag",   HEADER_TAG,        false, read_tag      },
};

static const struct field_row *find_row(const struct header_field *field)
{
    static const struct field_row steering = { "X-Outbox-", HEADER_OTHER, false, refuse_steering };

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (header_field_is(field, rows[i].name))
            return &rows[i];
    if (field->name_len >= strlen(steering.name) &&
        strncasecmp(field->name, steering.name, strlen(steering.name)) == 0)
        return &steering;
    return NULL;
}

/* RFC 5321 4.4. The user stands in a comment, where parentheses and backslashes would need quoting. */
static void append_received(const struct header_input *input, struct strbuf *out)
{
    char date[WHEN_RFC5322_SIZE];
    char uid[UNITS_TEXT_SIZE];

    strbuf_append_texts(out, "Received: by ", input->hostname, " (outbox, from user ", NULL);
    for (const char *c = input->user; *c != '\0'; c++)
        strbuf_append_char(out, *c > ' ' && *c < 127 && strchr("()\\", *c) == NULL ? *c : '?');
    when_format_rfc5322(date, input->now_s);
    strbuf_append_texts(out, " (uid ", units_format_count(uid, input->uid), "))\r\n\twith ",
                        input->protocol, " id ", input->id, ";\r\n\t", date, "\r\n", NULL);
}

/* The local part that a user's own mail has. "#33" is no dot-string, and names may hold anything. */
static void format_user_address(const struct header_input *input, struct address *ret_address)
{
    AUTO_FREE char *text = xasprintf("%s@%s", input->user, input->default_domain);
    struct error err;

    if (!address_parse(text, ret_address, &err))
        *ret_address = (struct address){ .kind = ADDRESS_NULL };
}

/* The full name only beside the user's own address: with another sender it would name the wrong person. */
static void append_from(const struct header_input *input, struct strbuf *out)
{
    struct address own;
    const char *address = input->sender;

    format_user_address(input, &own);
    if (*address == '\0')
        address = own.text;
    strbuf_append_text(out, "From: ");
    if (*address == '\0') { /* neither: nobody to answer to */
        strbuf_append_format(out, "MAILER-DAEMON@%s\r\n", input->hostname);
        return;
    }
    bool has_name = *input->full_name != '\0' && strcmp(address, own.text) == 0 &&
                    is_printable(input->full_name, strlen(input->full_name));
    if (!has_name) {
        strbuf_append_format(out, "%s\r\n", address);
        return;
    }
    strbuf_append_char(out, '"');
    for (const char *c = input->full_name; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            strbuf_append_char(out, '\\');
        strbuf_append_char(out, *c);
    }
    strbuf_append_format(out, "\" <%s>\r\n", address);
}

static void append_missing(const struct pass *pass, struct strbuf *out)
{
    const struct header_input *input = pass->input;
    char date[WHEN_RFC5322_SIZE];

    if (pass->counts[HEADER_SIGNATURE] > 0)
        return;
    if (pass->counts[HEADER_DATE] == 0) {
        when_format_rfc5322(date, input->now_s);
        strbuf_append_texts(out, "Date: ", date, "\r\n", NULL);
    }
    if (pass->counts[HEADER_MESSAGE_ID] == 0)
        strbuf_append_texts(out, "Message-ID: <", input->id, "@", input->hostname, ">\r\n", NULL);
    if (pass->counts[HEADER_FROM] == 0)
        append_from(input, out);
}

static bool walk_fields(struct pass *pass)
{
    const char *cursor = pass->input->header;
    const char *end = cursor + pass->input->len;
    const char *kept = cursor; /* fields that stay are copied in runs */
    struct header_field field;

    while (header_next_field(&cursor, end, &field)) {
        const struct field_row *row = find_row(&field);
        if (row == NULL)
            continue;
        pass->counts[row->kind]++;
        if (row->act != NULL && !row->act(pass, &field))
            return false;
        if (!row->is_kept) {
            strbuf_append(&pass->result->header, kept, (size_t)(field.start - kept));
            kept = cursor;
        }
    }
    strbuf_append(&pass->result->header, kept, (size_t)(end - kept));
    return true;
}

bool header_pass(const struct header_input *input, struct header_result *ret_result,
                 struct refusal *refusal)
{
    struct header_result result = { .is_from_readable = true };
    struct pass pass = { .input = input, .result = &result, .refusal = refusal };

    strbuf_init_sized(&result.header, input->len + ADDED_BYTES + input->room);
    append_received(input, &result.header);
    if (!walk_fields(&pass)) {
        header_result_done(&result);
        return false;
    }
    append_missing(&pass, &result.header);
    *ret_result = result;
    return true;
}

void header_result_done(struct header_result *result)
{
    strbuf_done(&result->header);
    free(result->tag);
    for (size_t i = 0; i < result->from_count; i++)
        free(result->from[i]);
    free(result->from);
    *result = (struct header_result){ 0 };
}
