/* sendmail(1): the drop-in for programs that speak its command line (DESIGN 2.4). Reads the message to its end, then
   hands it to outboxd(8). Neither setuid nor setgid; writes no file but an unnamed temporary one. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <search.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "address.h"
#include "cleanup.h"
#include "error.h"
#include "escape.h"
#include "invariant.h"
#include "strbuf.h"
#include "xalloc.h"

#include "locate.h"
#include "mailq.h"
#include "message_input.h"
#include "sendmail_headers.h"
#include "sendmail_options.h"
#include "smtp_pipe.h"
#include "submission.h"

enum { RECIPIENTS_MAX = 65535, FULL_NAME_MAX = 200 };

struct envelope {
    char sender[ADDRESS_MAX + 1];
    bool needs_smtputf8;
    struct submission_recipient *recipients;
    size_t count;
    size_t capacity;
    void *known;    /* tsearch tree of addresses that are there already */
    size_t refused; /* named on stderr, never asked */
};

static void complain(const char *text)
{
    (void)fprintf(stderr, "sendmail: %s\n", text);
}

static void complain_about(const char *address, const char *reply)
{
    AUTO_FREE char *shown = escape_text(address);
    (void)fprintf(stderr, "sendmail: <%s>: %s\n", shown, reply);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void keep_node(void *node)
{
    (void)node; /* the addresses belong to the recipients */
}

static void envelope_done(struct envelope *envelope)
{
    tdestroy(envelope->known, keep_node);
    for (size_t i = 0; i < envelope->count; i++) {
        free(envelope->recipients[i].address);
        free(envelope->recipients[i].reply);
    }
    free(envelope->recipients);
}

static void add_recipient(const char *text, bool is_address, void *ctx)
{
    struct envelope *envelope = ctx;
    struct address address;
    struct error err = { 0 };

    if (is_address && text[0] == '\0')
        return; /* "<>" in To */
    if (!is_address)
        (void)fail(&err, ERROR_USAGE, "not an address");
    else if (envelope->count == RECIPIENTS_MAX)
        (void)fail(&err, ERROR_USAGE, "too many recipients");
    else if (address_parse(text, &address, &err) && address.kind == ADDRESS_NULL)
        (void)fail(&err, ERROR_USAGE, "not an address");
    if (err.code != ERROR_NONE) {
        complain_about(text, err.text);
        envelope->refused++;
        return;
    }
    char *copy = xstrdup(address.text);
    void *node = tsearch(copy, &envelope->known, compare_text);
    MUST(node != NULL);
    if (*(char **)node != copy) {
        free(copy); /* was there */
        return;
    }
    if (envelope->count == envelope->capacity) {
        envelope->capacity = envelope->capacity * 2 + 16;
        envelope->recipients =
            xrealloc(envelope->recipients, envelope->capacity, sizeof *envelope->recipients);
    }
    envelope->recipients[envelope->count++] = (struct submission_recipient){ .address = copy };
    envelope->needs_smtputf8 = envelope->needs_smtputf8 || address.needs_smtputf8;
}

struct sender_choice {
    const char *text;
    char address[ADDRESS_MAX + 1];
    unsigned count;
    bool is_bad;
};

static void on_sender(const char *text, bool is_address, void *ctx)
{
    struct sender_choice *choice = ctx;

    choice->count++;
    choice->is_bad = choice->is_bad || !is_address || strlen(text) > ADDRESS_MAX;
    if (!choice->is_bad)
        (void)strcpy(choice->address, text);
}

/* -f as given ("a@b", "Name <a@b>", "<>", ""), else the caller's login name, which the daemon completes. */
static bool choose_sender(const struct sendmail_options *options, struct envelope *envelope,
                          struct error *err)
{
    struct sender_choice choice = { .count = 0 };
    struct address address;

    if (options->sender == NULL) {
        const struct passwd *user = getpwuid(getuid());
        if (user == NULL || !address_parse(user->pw_name, &address, err))
            (void)snprintf(address.text, sizeof address.text, "uid-%u", (unsigned)getuid());
        memcpy(envelope->sender, address.text, sizeof envelope->sender);
        return true;
    }
    address_list_parse(options->sender, strlen(options->sender), on_sender, &choice);
    if (choice.is_bad || choice.count > 1)
        return fail(err, ERROR_PROTOCOL, "the sender (-f) is not one address");
    if (choice.address[0] == '\0')
        return true; /* the null sender */
    if (!address_parse(choice.address, &address, err))
        return fail_context(err, "the sender (-f)");
    memcpy(envelope->sender, address.text, sizeof envelope->sender);
    envelope->needs_smtputf8 = address.needs_smtputf8;
    return true;
}

/* RFC 5322 3.2.4: the name as a quoted string; bytes that have no place in a header are left out. */
static void append_quoted(struct strbuf *out, const char *text)
{
    strbuf_append_char(out, '"');
    for (size_t i = 0; text[i] != '\0' && i < FULL_NAME_MAX; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            strbuf_append_char(out, '\\');
        if (c >= 32 && c != 127)
            strbuf_append_char(out, text[i]);
    }
    strbuf_append_char(out, '"');
}

/* -F matters only when the message has no From. */
static bool wants_from(const struct sendmail_options *options, const struct message_header *header,
                       const char *sender)
{
    const char *name = options->full_name;

    return name != NULL && name[0] != '\0' && !header->has_from && sender[0] != '\0' &&
           utf8_is_valid(name, strlen(name));
}

/* The domain that a login name gets is known to the daemon alone. */
static void append_from(struct strbuf *out, struct submission *submission, const char *full_name,
                        const char *sender)
{
    AUTO_FREE char *full = *address_text_domain(sender) == '\0'
                               ? submission_complete_address(submission, sender)
                               : NULL;

    strbuf_append_text(out, "From: ");
    append_quoted(out, full_name);
    strbuf_append_format(out, " <%s>\r\n", full != NULL ? full : sender);
}

static int status_of_error(const struct error *err)
{
    switch (err->code) {
    case ERROR_CONFIG:
        return EX_CONFIG;
    case ERROR_USAGE:
        return EX_USAGE;
    case ERROR_PROTOCOL:
        return EX_DATAERR;
    case ERROR_NONE:
    case ERROR_BUSY:
    case ERROR_FULL:
    case ERROR_IO:
    case ERROR_DAMAGED:
    case ERROR_MISSING:
        break;
    }
    return EX_TEMPFAIL;
}

static void name_refused(const struct submission_message *message)
{
    for (size_t i = 0; i < message->recipient_count; i++)
        if (message->recipients[i].reply != NULL && message->recipients[i].fate != FATE_ACCEPTED)
            complain_about(message->recipients[i].address, message->recipients[i].reply);
}

/* NULL with the exit status. */
static struct submission *connect_to_daemon(const struct location *location, int *ret_status,
                                            struct error *err)
{
    int fd = location_connect(location, "submit.sock", err);

    if (fd >= 0)
        return submission_open(fd, ret_status, err);
    *ret_status = status_of_error(err);
    return NULL;
}

/* The message is read, the envelope complete: hand it over. */
static int hand_over(const struct sendmail_options *options, const struct location *location,
                     const struct message_input *input, const struct message_header *header,
                     struct envelope *envelope, struct error *err)
{
    AUTO_STRBUF struct strbuf extra;
    AUTO_FREE char *reply = NULL;
    int status = EX_TEMPFAIL;
    struct submission *submission = connect_to_daemon(location, &status, err);

    strbuf_init(&extra);
    if (submission == NULL)
        return status;
    if (wants_from(options, header, envelope->sender))
        append_from(&extra, submission, options->full_name, envelope->sender);
    struct submission_message message = {
        .sender = envelope->sender,
        .needs_smtputf8 = envelope->needs_smtputf8,
        .recipients = envelope->recipients,
        .recipient_count = envelope->count,
        .extra_header = extra.data,
        .input = input,
        .input_start = (size_t)(header->text - input->head.data),
        .header_len = header->len,
        .needs_empty_line = header->needs_empty_line,
    };
    status = submission_send(submission, &message, &reply, err);
    submission_close(submission);
    name_refused(&message);
    if (status == EX_OK && options->is_verbose)
        (void)printf("%s\n", reply);
    return status;
}

static void add_arguments(const struct sendmail_options *options, struct envelope *envelope)
{
    for (int i = 0; i < options->recipient_count; i++)
        address_list_parse(options->recipients[i], strlen(options->recipients[i]), add_recipient,
                           envelope);
}

static int submit_input(const struct sendmail_options *options, const struct location *location,
                        const struct message_input *input, struct envelope *envelope,
                        struct error *err)
{
    struct message_header header;

    message_header_find(input->head.data, input->head.len, &header);
    if (header.len > MESSAGE_INPUT_HEADER_MAX) {
        (void)fail(err, ERROR_PROTOCOL, "the header is larger than %d bytes",
                   (int)MESSAGE_INPUT_HEADER_MAX);
        return EX_DATAERR;
    }
    if (options->reads_recipients)
        message_header_recipients(&header, add_recipient, envelope);
    if (envelope->count == 0) {
        (void)fail(err, ERROR_USAGE, "no recipient");
        return envelope->refused > 0 ? EX_NOUSER : EX_USAGE;
    }
    return hand_over(options, location, input, &header, envelope, err);
}

static int run_submit(const struct sendmail_options *options, const struct location *location,
                      struct error *err)
{
    struct envelope envelope = { .count = 0 };
    struct message_input input;
    int status = EX_USAGE;

    add_arguments(options, &envelope);
    if (!options->reads_recipients && envelope.count == 0) {
        (void)fail(err, ERROR_USAGE, "no recipient: name some, or give -t");
        status = envelope.refused > 0 ? EX_NOUSER : EX_USAGE;
    } else if (!choose_sender(options, &envelope, err) ||
               !message_input_read(STDIN_FILENO, !options->ignores_dots,
                                   location->message_size_max_bytes, &input, err)) {
        status = status_of_error(err);
    } else {
        status = submit_input(options, location, &input, &envelope, err);
        message_input_done(&input);
    }
    envelope_done(&envelope);
    return status;
}

static int verify(const struct location *location, struct envelope *envelope, struct error *err)
{
    static const struct message_input nothing = { .rest_fd = -1 };
    struct submission_message message = { .sender = envelope->sender,
                                          .needs_smtputf8 = envelope->needs_smtputf8,
                                          .recipients = envelope->recipients,
                                          .recipient_count = envelope->count,
                                          .extra_header = "",
                                          .input = &nothing };
    int status = EX_TEMPFAIL;
    struct submission *submission = connect_to_daemon(location, &status, err);

    if (submission == NULL)
        return status;
    status = submission_verify(submission, &message, err);
    submission_close(submission);
    name_refused(&message);
    for (size_t i = 0; i < envelope->count; i++) {
        AUTO_FREE char *shown = escape_text(envelope->recipients[i].address);
        if (envelope->recipients[i].fate == FATE_ACCEPTED)
            (void)printf("%s ... would be queued\n", shown);
    }
    return status;
}

static int run_verify(const struct sendmail_options *options, const struct location *location,
                      struct error *err)
{
    struct envelope envelope = { .count = 0 };
    int status = EX_USAGE;

    add_arguments(options, &envelope);
    if (envelope.count == 0) {
        (void)fail(err, ERROR_USAGE, "no address to verify");
        status = envelope.refused > 0 ? EX_NOUSER : EX_USAGE;
    } else if (!choose_sender(options, &envelope, err)) {
        status = status_of_error(err);
    } else {
        status = verify(location, &envelope, err);
    }
    envelope_done(&envelope);
    return status;
}

static int run_control(const struct sendmail_options *options, const struct location *location,
                       struct error *err)
{
    int fd = location_connect(location, "control.sock", err);

    if (fd < 0)
        return EX_UNAVAILABLE;
    return options->mode == SENDMAIL_LIST ? mailq_list(fd, stdout, err)
                                          : mailq_retry(fd, options->queue_id, err);
}

static int run_smtp(const struct location *location, struct error *err)
{
    int fd = location_connect(location, "submit.sock", err);

    return fd < 0 ? smtp_pipe_refuse(STDOUT_FILENO)
                  : smtp_pipe_run(fd, STDIN_FILENO, STDOUT_FILENO);
}

static int run_mode(const struct sendmail_options *options, const struct location *location,
                    struct error *err)
{
    switch (options->mode) {
    case SENDMAIL_SUBMIT:
        return run_submit(options, location, err);
    case SENDMAIL_VERIFY:
        return run_verify(options, location, err);
    case SENDMAIL_SMTP:
        return run_smtp(location, err);
    case SENDMAIL_LIST:
    case SENDMAIL_RETRY:
        return run_control(options, location, err);
    case SENDMAIL_ALIASES:
        if (options->is_verbose)
            (void)printf("nothing to do: outboxd(8) reads its aliases itself\n");
        return EX_OK;
    }
    return EX_SOFTWARE;
}

static bool has_control_character(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 127)
            return true;
    return false;
}

/* A header may be folded; a line break in an argument says that somebody else has written it, and wanted more than
   one address. */
static bool check_arguments(const struct sendmail_options *options, struct error *err)
{
    bool is_bad = options->sender != NULL && has_control_character(options->sender);

    for (int i = 0; i < options->recipient_count; i++)
        is_bad = is_bad || has_control_character(options->recipients[i]);
    return !is_bad || fail(err, ERROR_PROTOCOL, "a control character in an address");
}

static int run(int argc, char *const *argv, struct error *err)
{
    struct sendmail_options options;
    struct location location;

    if (!sendmail_options_parse(argc, argv, complain, &options, err))
        return EX_USAGE;
    if (!check_arguments(&options, err))
        return EX_DATAERR;
    if (!location_find(NULL, &location, err))
        return status_of_error(err);
    int status = run_mode(&options, &location, err);
    location_done(&location);
    return status;
}

/* A caller may have closed them; a socket must not take their place. What is opened here fails when it is used. */
static bool fill_standard_fds(void)
{
    int fd = open("/dev/null", O_WRONLY);

    while (fd >= 0 && fd <= STDERR_FILENO)
        fd = open("/dev/null", O_WRONLY);
    if (fd > STDERR_FILENO)
        (void)close(fd);
    return fcntl(STDERR_FILENO, F_GETFD) >= 0;
}

int main(int argc, char **argv)
{
    struct error err = { 0 };

    if (!fill_standard_fds())
        return EX_TEMPFAIL;
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is then an error of write(2) */
    int status = run(argc, argv, &err);
    if (err.code != ERROR_NONE && status != EX_OK)
        complain(err.text);
    /* A listing that did not reach its reader is not a success; an accepted message is one. */
    if (fflush(stdout) != 0 && status == EX_OK && errno != EPIPE)
        complain("write to standard output failed");
    return status;
}
