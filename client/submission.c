/* The SMTP client of sendmail(1). Commands that may be pipelined are sent together (RFC 2920), in batches whose
   replies fit into the socket's buffer, so that neither side can wait for the other. DATA ends the last batch: to wait
   for the daemon is most of what the command does. */
#include "submission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "address.h"
#include "cleanup.h"
#include "error.h"
#include "xalloc.h"

#include "daemon_link.h"

enum {
    GREETING_TIMEOUT_S = 10, /* DESIGN 2.4: then the daemon counts as away */
    REPLY_TIMEOUT_S = 600,   /* RFC 5321 4.5.3.2.6, the longest */
    RCPT_BATCH = 50,
    BODY_PIECE_BYTES = 64 * 1024, /* what is written at once */
};

struct submission {
    struct daemon_link link;
    bool has_8bitmime;
    bool has_smtputf8;
    bool has_size;
};

static void on_keyword(const char *line, size_t len, void *ctx)
{
    struct submission *submission = ctx;
    struct {
        const char *name;
        bool *flag;
    } keywords[] = {
        { "8BITMIME", &submission->has_8bitmime },
        { "SMTPUTF8", &submission->has_smtputf8 },
        { "SIZE", &submission->has_size },
    };

    for (size_t i = 0; i < COUNT_OF(keywords); i++) {
        size_t name_len = strlen(keywords[i].name);
        if (len >= name_len && strncasecmp(line, keywords[i].name, name_len) == 0 &&
            (len == name_len || line[name_len] == ' '))
            *keywords[i].flag = true;
    }
}

static bool is_positive(const struct reply *reply)
{
    return reply->code / 100 == 2;
}

static char *reply_text(const struct reply *reply)
{
    return xasprintf("%d %s", reply->code, reply->text.data);
}

static bool has_prefix(const struct reply *reply, const char *enhanced)
{
    return strncmp(reply->text.data, enhanced, strlen(enhanced)) == 0;
}

/* sysexits.h for a refusal of the whole message, also told in err. */
static int status_of_refusal(const struct reply *reply, const char *what, struct error *err)
{
    (void)fail(err, ERROR_PROTOCOL, "%s: %d %s", what, reply->code, reply->text.data);
    if (reply->code / 100 == 4)
        return EX_TEMPFAIL;
    if (has_prefix(reply, "5.7"))
        return EX_NOPERM;
    bool is_data = has_prefix(reply, "5.6") || has_prefix(reply, "5.3.4") ||
                   has_prefix(reply, "5.5.4") || has_prefix(reply, "5.4.6") ||
                   has_prefix(reply, "5.1") || reply->code == 552 || reply->code == 501;
    return is_data ? EX_DATAERR : EX_UNAVAILABLE;
}

static bool command(struct submission *submission, const char *text, struct error *err)
{
    return daemon_link_send(&submission->link, text, strlen(text), err) &&
           daemon_link_read(&submission->link, NULL, NULL, err);
}

struct submission *submission_open(int fd, int *ret_status, struct error *err)
{
    static const char ehlo[] = "EHLO localhost\r\n";
    struct submission *submission = NEW(struct submission);

    daemon_link_init(&submission->link, fd);
    *ret_status = EX_TEMPFAIL;
    daemon_link_set_timeout(&submission->link, GREETING_TIMEOUT_S);
    bool is_open = daemon_link_read(&submission->link, NULL, NULL, err);
    if (is_open && !is_positive(&submission->link.reply)) {
        *ret_status = status_of_refusal(&submission->link.reply, "outboxd", err);
        is_open = false;
    }
    daemon_link_set_timeout(&submission->link, REPLY_TIMEOUT_S);
    is_open = is_open && daemon_link_send(&submission->link, ehlo, sizeof ehlo - 1, err) &&
              daemon_link_read(&submission->link, on_keyword, submission, err);
    if (is_open && !is_positive(&submission->link.reply)) {
        *ret_status = status_of_refusal(&submission->link.reply, "EHLO", err);
        is_open = false;
    }
    if (!is_open) {
        submission_close(TAKE(submission));
        return NULL;
    }
    return submission;
}

void submission_close(struct submission *submission)
{
    struct error ignored;

    if (submission == NULL)
        return;
    (void)daemon_link_send(&submission->link, "QUIT\r\n", 6, &ignored);
    daemon_link_done(&submission->link);
    free(submission);
}

char *submission_complete_address(struct submission *submission, const char *address)
{
    AUTO_FREE char *line = xasprintf("VRFY %s\r\n", address);
    struct error ignored; /* a lost connection is told by whatever comes next */
    struct address full;

    if (!command(submission, line, &ignored) || !is_positive(&submission->link.reply))
        return NULL;
    const char *start = strchr(submission->link.reply.text.data, '<');
    const char *end = start != NULL ? strchr(start, '>') : NULL;
    AUTO_FREE char *found = end != NULL ? xstrndup(start, (size_t)(end - start) + 1) : NULL;
    if (found == NULL || !address_parse(found, &full, &ignored) || full.kind != ADDRESS_FULL)
        return NULL;
    return xstrdup(full.text);
}

static void append_mail(const struct submission *submission,
                        const struct submission_message *message, struct strbuf *out)
{
    strbuf_append_format(out, "MAIL FROM:<%s>", message->sender);
    if (submission->has_size)
        strbuf_append_format(out, " SIZE=%lld",
                             (long long)message->input->size_bytes +
                                 (long long)strlen(message->extra_header));
    if (submission->has_8bitmime && message->input->is_8bit)
        strbuf_append_text(out, " BODY=8BITMIME");
    if (submission->has_smtputf8 && message->needs_smtputf8)
        strbuf_append_text(out, " SMTPUTF8");
    strbuf_append_text(out, "\r\n");
}

/* "4.5.3: too many recipients": those go in another transaction, once others were taken. */
static bool is_too_many(const struct reply *reply)
{
    return reply->code == 452 && has_prefix(reply, "4.5.3");
}

static void decide(struct submission_recipient *recipient, const struct reply *reply, bool *is_full)
{
    *is_full = *is_full || is_too_many(reply);
    if (is_positive(reply)) {
        recipient->fate = FATE_ACCEPTED;
        return;
    }
    recipient->fate = reply->code / 100 == 5 ? FATE_REFUSED : FATE_DEFERRED;
    free(recipient->reply);
    recipient->reply = reply_text(reply);
}

struct envelope {
    size_t next;     /* the first recipient that was not asked */
    size_t accepted; /* in this transaction */
    bool is_full;    /* no more of them in this transaction */
    bool has_mail;   /* MAIL was accepted */
    bool wants_data; /* DATA ends the last batch */
    bool has_data;   /* it was sent; the reply was not yet read */
    int status;      /* of a MAIL that was not, else EX_OK; EX_TEMPFAIL when the connection died */
};

static bool is_any_pending(const struct submission_message *message, size_t from)
{
    for (size_t i = from; i < message->recipient_count; i++)
        if (message->recipients[i].fate == FATE_PENDING)
            return true;
    return false;
}

/* One batch: RCPT for up to RCPT_BATCH pending recipients, with MAIL in front of the first and DATA behind the last. */
static bool send_batch(struct submission *submission, struct submission_message *message,
                       struct envelope *envelope, struct error *err)
{
    AUTO_STRBUF struct strbuf out;
    size_t asked[RCPT_BATCH];
    size_t count = 0;
    bool is_first = !envelope->has_mail;

    strbuf_init(&out);
    if (is_first)
        append_mail(submission, message, &out);
    for (; envelope->next < message->recipient_count && count < RCPT_BATCH; envelope->next++) {
        if (message->recipients[envelope->next].fate != FATE_PENDING)
            continue;
        strbuf_append_format(&out, "RCPT TO:<%s>\r\n", message->recipients[envelope->next].address);
        asked[count++] = envelope->next;
    }
    envelope->has_data = envelope->wants_data && !is_any_pending(message, envelope->next);
    if (envelope->has_data)
        strbuf_append_text(&out, "DATA\r\n");
    if (!daemon_link_send(&submission->link, out.data, out.len, err))
        return false;
    if (is_first) {
        if (!daemon_link_read(&submission->link, NULL, NULL, err))
            return false;
        envelope->has_mail = is_positive(&submission->link.reply);
        if (!envelope->has_mail) {
            /* What is said to the commands behind it changes nothing, and the daemon may hang up over them. */
            envelope->status = status_of_refusal(&submission->link.reply, "sender", err);
            return true;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!daemon_link_read(&submission->link, NULL, NULL, err))
            return false;
        struct submission_recipient *recipient = &message->recipients[asked[i]];
        decide(recipient, &submission->link.reply, &envelope->is_full);
        envelope->accepted += recipient->fate == FATE_ACCEPTED ? 1 : 0;
    }
    return true;
}

/* MAIL and all RCPT that the transaction takes. False: the connection died. */
static bool send_envelope(struct submission *submission, struct submission_message *message,
                          bool wants_data, struct envelope *ret_envelope, struct error *err)
{
    struct envelope envelope = { .wants_data = wants_data, .status = EX_OK };

    do {
        if (!send_batch(submission, message, &envelope, err))
            return false;
    } while (envelope.has_mail && !envelope.is_full && is_any_pending(message, envelope.next));
    *ret_envelope = envelope;
    return true;
}

/* Those that were turned away only because the transaction was full are pending again. */
static void reopen_full(struct submission_message *message)
{
    for (size_t i = 0; i < message->recipient_count; i++) {
        struct submission_recipient *recipient = &message->recipients[i];
        if (recipient->fate == FATE_DEFERRED && strncmp(recipient->reply, "452 4.5.3", 9) == 0)
            recipient->fate = FATE_PENDING;
    }
}

void submission_stuff_dots(struct strbuf *out, const char *bytes, size_t len, bool *at_line_start)
{
    for (size_t at = 0; at < len;) {
        if (*at_line_start && bytes[at] == '.')
            strbuf_append_char(out, '.');
        const char *end = memchr(bytes + at, '\n', len - at);
        size_t next = end != NULL ? (size_t)(end - bytes) + 1 : len;
        strbuf_append(out, bytes + at, next - at);
        *at_line_start = end != NULL;
        at = next;
    }
}

struct body_sink {
    struct submission *submission;
    struct error *err;
    struct strbuf out; /* not yet sent */
    bool at_line_start;
    bool is_lost; /* the daemon's side failed, not ours */
};

static bool body_flush(struct body_sink *sink)
{
    sink->is_lost =
        !daemon_link_send(&sink->submission->link, sink->out.data, sink->out.len, sink->err);
    strbuf_clear(&sink->out);
    return !sink->is_lost;
}

static bool take_piece(const char *bytes, size_t len, void *ctx)
{
    struct body_sink *sink = ctx;

    submission_stuff_dots(&sink->out, bytes, len, &sink->at_line_start);
    return sink->out.len < BODY_PIECE_BYTES || body_flush(sink);
}

/* The message with its dot. */
static bool send_message(const struct submission_message *message, struct body_sink *sink)
{
    const struct message_input *input = message->input;
    const char *header = input->head.data + message->input_start;
    size_t body_start = message->input_start + message->header_len;

    if (!take_piece(message->extra_header, strlen(message->extra_header), sink) ||
        !take_piece(header, message->header_len, sink) ||
        (message->needs_empty_line && !take_piece("\r\n", 2, sink)) ||
        !message_input_replay(input, body_start, take_piece, sink))
        return false;
    strbuf_append_text(&sink->out, ".\r\n");
    return body_flush(sink);
}

/* The message could not be sent to its end: an exit status. */
static int status_of_break(const struct body_sink *sink, struct error *err)
{
    struct submission *submission = sink->submission;
    struct error of_reply;

    if (!sink->is_lost) {
        (void)fail(err, ERROR_IO, "read the message back from its temporary file");
        return EX_TEMPFAIL;
    }
    /* The daemon may have said why before it stopped reading. */
    if (daemon_link_read(&submission->link, NULL, NULL, &of_reply) &&
        !is_positive(&submission->link.reply))
        return status_of_refusal(&submission->link.reply, "message", err);
    return EX_TEMPFAIL;
}

/* DATA, the message, the dot. Whatever fails before the dot leaves nothing: the daemon queues at the dot only. */
static int send_data(struct submission *submission, const struct submission_message *message,
                     bool has_data, struct error *err)
{
    struct body_sink sink = { .submission = submission, .err = err, .at_line_start = true };

    if (!has_data && !daemon_link_send(&submission->link, "DATA\r\n", 6, err))
        return EX_TEMPFAIL;
    if (!daemon_link_read(&submission->link, NULL, NULL, err))
        return EX_TEMPFAIL;
    if (submission->link.reply.code != 354)
        return status_of_refusal(&submission->link.reply, "message", err);
    strbuf_init(&sink.out);
    bool is_sent = send_message(message, &sink);
    strbuf_done(&sink.out);
    if (!is_sent)
        return status_of_break(&sink, err);
    if (!daemon_link_read(&submission->link, NULL, NULL, err))
        return EX_TEMPFAIL;
    if (!is_positive(&submission->link.reply))
        return status_of_refusal(&submission->link.reply, "message", err);
    return EX_OK;
}

static int status_without_recipient(const struct submission_message *message, struct error *err)
{
    bool has_deferred = false;

    for (size_t i = 0; i < message->recipient_count; i++)
        has_deferred = has_deferred || message->recipients[i].fate == FATE_DEFERRED;
    (void)fail(err, ERROR_PROTOCOL, "no recipient was accepted");
    return has_deferred ? EX_TEMPFAIL : EX_NOUSER;
}

int submission_verify(struct submission *submission, struct submission_message *message,
                      struct error *err)
{
    struct envelope envelope;

    if (!send_envelope(submission, message, false, &envelope, err))
        return EX_TEMPFAIL;
    if (envelope.status != EX_OK)
        return envelope.status;
    if (!command(submission, "RSET\r\n", err))
        return EX_TEMPFAIL;
    return envelope.accepted > 0 ? EX_OK : status_without_recipient(message, err);
}

/* Recipients whose transaction failed behind their RCPT share its fate. why: NULL when it concerns all, and so is told
   once. */
static void spoil(struct submission_message *message, const bool *was_accepted, int status,
                  const char *why)
{
    for (size_t i = 0; i < message->recipient_count; i++) {
        struct submission_recipient *recipient = &message->recipients[i];
        bool is_of_this = recipient->fate == FATE_ACCEPTED && !was_accepted[i];
        if (!is_of_this && recipient->fate != FATE_PENDING)
            continue;
        recipient->fate = status == EX_TEMPFAIL ? FATE_DEFERRED : FATE_REFUSED;
        free(recipient->reply);
        recipient->reply = xstrdup_or_null(why);
    }
}

static void note_accepted(const struct submission_message *message, bool *was_accepted)
{
    for (size_t i = 0; i < message->recipient_count; i++)
        was_accepted[i] = message->recipients[i].fate == FATE_ACCEPTED;
}

/* One transaction. EX_OK with *ret_is_done false: others wait for a further one. */
static int transaction(struct submission *submission, struct submission_message *message,
                       bool *ret_is_done, struct error *err)
{
    struct envelope envelope;

    if (!send_envelope(submission, message, true, &envelope, err))
        return EX_TEMPFAIL;
    /* What DATA is answered does not matter then: without a dot the daemon queues nothing. */
    if (envelope.status != EX_OK)
        return envelope.status;
    if (envelope.accepted == 0)
        return status_without_recipient(message, err);
    int status = send_data(submission, message, envelope.has_data, err);
    if (status == EX_OK && envelope.is_full)
        reopen_full(message);
    *ret_is_done = !is_any_pending(message, 0);
    return status;
}

int submission_send(struct submission *submission, struct submission_message *message,
                    char **ret_reply, struct error *err)
{
    AUTO_FREE bool *was_accepted = xcalloc(message->recipient_count, sizeof(bool));
    char *reply = NULL;
    bool is_done = false;
    int status = EX_OK;

    while (!is_done && status == EX_OK) {
        note_accepted(message, was_accepted);
        status = transaction(submission, message, &is_done, err);
        if (status != EX_OK)
            spoil(message, was_accepted, status, reply != NULL ? err->text : NULL);
        else {
            free(reply);
            reply = reply_text(&submission->link.reply);
        }
    }
    if (reply == NULL)
        return status;
    *ret_reply = reply; /* durable for some: the others carry their own replies */
    return EX_OK;
}
