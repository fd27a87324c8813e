/* Plain words for the state of a message. */
#include "explain.h"

#include <string.h>

#include "cleanup.h"
#include "escape.h"
#include "strbuf.h"
#include "units.h"
#include "when.h"
#include "xalloc.h"

#include "dispatcher.h"
#include "spool.h"

struct explanation {
    const struct json_context *context;
    bool has_words;
    struct strbuf *out;
    const char *lane_told; /* the smarthost whose trouble was told already; NULL */
};

/* What a refusal of the whole smarthost was about, and what a person can do. */
static const struct {
    enum verdict_class class;
    const char *what;
    const char *remedy;
} class_words[] = {
    { CLASS_NONE, "an administrator stopped it", NULL },
    { CLASS_SENDER_REFUSED, "it refuses our senders", "Let the provider permit the sender." },
    { CLASS_RECIPIENTS_REFUSED, "it refuses our recipients", "Ask the provider why." },
    { CLASS_DATA_ERROR, "it refuses our messages", "Ask the provider why." },
    { CLASS_AUTH_FAILED, "it refused the login", "Correct the user name or the password." },
    { CLASS_THROTTLED, "it asks us to be slower", "Lower its rate in the configuration." },
    { CLASS_QUOTA_EXCEEDED, "the quota of the account is used up",
      "Wait for it to be renewed, or raise it." },
    { CLASS_POLICY_REFUSED, "its policy refuses us", "Settle it with the provider." },
    { CLASS_CONNECT_FAILED, "it cannot be reached", "Check its host and port, and the network." },
    { CLASS_TLS_FAILED, "a secure connection does not come about",
      "Check tls, ca-file and its certificate." },
    { CLASS_SERVER_TROUBLE, "it has trouble of its own", "Wait, or ask the provider." },
    { CLASS_PROTOCOL_ERROR, "it does not speak SMTP as it should",
      "Check its host, port and tls." },
};

static void say_time(struct explanation *explanation, const char *before, int64_t at_s,
                     const char *behind)
{
    char when[WHEN_RFC3339_SIZE];
    char distance[UNITS_TEXT_SIZE];
    int64_t now_s = explanation->context->now_s;

    when_format_rfc3339(when, at_s);
    units_format_duration(distance, at_s > now_s ? at_s - now_s : now_s - at_s);
    strbuf_append_format(explanation->out, "%s%s (%s%s%s)%s", before, when,
                         at_s > now_s ? "in " : "", distance, at_s > now_s ? "" : " ago", behind);
}

static void say_escaped(struct explanation *explanation, const char *text)
{
    escape_append(explanation->out, text, strlen(text));
}

static void say_reply(struct explanation *explanation, const char *before, int code,
                      const char *enhanced, const char *reply)
{
    if (code == 0 && reply == NULL)
        return;
    strbuf_append_text(explanation->out, before);
    if (code != 0)
        strbuf_append_format(explanation->out, "%d ", code);
    if (enhanced != NULL && enhanced[0] != '\0')
        strbuf_append_format(explanation->out, "%s ", enhanced);
    strbuf_append_format(explanation->out, "%s\n", reply != NULL ? reply : "");
}

static const char *remedy_of(enum verdict_class class)
{
    for (size_t i = 0; i < COUNT_OF(class_words); i++)
        if (class_words[i].class == class)
            return class_words[i].remedy;
    return NULL;
}

static const char *words_of(enum verdict_class class)
{
    for (size_t i = 0; i < COUNT_OF(class_words); i++)
        if (class_words[i].class == class)
            return class_words[i].what;
    return "of its answer";
}

static void say_lane(struct explanation *explanation, const struct lane_view *lane)
{
    const struct circuit *circuit = &lane->circuit;
    bool is_by_hand = circuit->reason.rule != NULL && strcmp(circuit->reason.rule, "operator") == 0;
    enum verdict_class class = is_by_hand ? CLASS_NONE : circuit->reason.class;
    const char *remedy = remedy_of(class);
    bool is_parked = circuit->state == CIRCUIT_PARKED;
    struct strbuf *out = explanation->out;

    strbuf_append_format(out, "    smarthost %s %s", lane->smarthost,
                         is_parked ? "is parked" : "is in trouble");
    say_time(explanation, " since ", circuit->since_s, "");
    strbuf_append_format(out, " because %s\n", words_of(class));
    if (!is_by_hand)
        say_reply(explanation, "    it said: ", lane->reason_code, lane->reason_enhanced,
                  explanation->has_words ? lane->reason_text : NULL);
    if (is_parked)
        strbuf_append_format(
            out, "    %s%s: outbox smarthost unpark %s\n", remedy != NULL ? remedy : "",
            remedy != NULL ? " Then reload (kill -HUP the daemon) and run" : "To go on",
            lane->smarthost);
}

static void say_smarthost_trouble(struct explanation *explanation, const struct spool_row *row)
{
    struct lane_view lane;

    if (explanation->lane_told != NULL && strcmp(explanation->lane_told, row->smarthost) == 0)
        strbuf_append_format(explanation->out, "    waits for smarthost %s, see above\n",
                             row->smarthost);
    else if (explanation->context->lane_find(explanation->context->dispatcher, row->smarthost,
                                             &lane))
        say_lane(explanation, &lane);
    else
        strbuf_append_format(explanation->out,
                             "    smarthost %s is not in the configuration any more; "
                             "put it back and reload\n",
                             row->smarthost);
    explanation->lane_told = row->smarthost;
}

static void say_sender_trouble(struct explanation *explanation, const struct spool_row *row)
{
    strbuf_append_format(explanation->out, "    %s refuses the sender; once it accepts ",
                         row->smarthost);
    say_escaped(explanation, row->sender);
    strbuf_append_text(explanation->out, ", run: outbox retry sender=");
    say_escaped(explanation, row->sender);
    strbuf_append_char(explanation->out, '\n');
}

static void say_waiting(struct explanation *explanation, const struct spool_row *row)
{
    struct row_outlook outlook = row_outlook(row, explanation->context);
    struct strbuf *out = explanation->out;

    switch (outlook.waiting) {
    case WAITING_NONE:
    case WAITING_NOW:
        strbuf_append_format(out, "    it goes out with the next free connection to %s\n",
                             row->smarthost);
        break;
    case WAITING_RETRY:
        strbuf_append_format(out, "    to try at once: outbox retry %s\n", row->id);
        break;
    case WAITING_RATE:
        strbuf_append_format(out, "    %s has reached the rate that its configuration sets\n",
                             row->smarthost);
        break;
    case WAITING_TIME:
        strbuf_append_text(out, "    it is to be sent later, as asked for\n");
        break;
    case WAITING_SMARTHOST:
    case WAITING_ACCOUNT:
        say_smarthost_trouble(explanation, row);
        break;
    case WAITING_SENDER:
        say_sender_trouble(explanation, row);
        break;
    case WAITING_COUNT:
        break;
    }
    if (outlook.next_attempt_at_s > explanation->context->now_s)
        say_time(explanation, "    next attempt: ", outlook.next_attempt_at_s, "\n");
}

static void say_retry(struct explanation *explanation, const struct spool_row *row)
{
    if (row->has_body)
        strbuf_append_format(explanation->out, "    to try once more: outbox retry %s\n", row->id);
}

static void say_state(struct explanation *explanation, const struct spool_row *row)
{
    struct strbuf *out = explanation->out;

    switch (row->state) {
    case RECIPIENT_QUEUED:
        say_waiting(explanation, row);
        break;
    case RECIPIENT_HELD:
        strbuf_append_format(out,
                             "    stopped by hand, or after three crashes; to go on: "
                             "outbox release %s\n",
                             row->id);
        break;
    case RECIPIENT_IN_DOUBT:
        strbuf_append_format(out,
                             "    the connection to %s ended at the final dot: it may have the "
                             "message; a second attempt may deliver it twice\n",
                             row->smarthost);
        if (row->due_at_s != 0)
            say_time(explanation, "    next attempt: ", row->due_at_s, "\n");
        break;
    case RECIPIENT_DELIVERED:
        break;
    case RECIPIENT_FAILED:
    case RECIPIENT_EXPIRED:
        say_retry(explanation, row);
        break;
    case RECIPIENT_CANCELLED:
        strbuf_append_text(out, "    deleted by hand\n");
        break;
    case RECIPIENT_STATE_COUNT:
        break;
    }
}

static void explain_recipient(struct explanation *explanation, const struct spool_row *row)
{
    struct strbuf *out = explanation->out;

    strbuf_append_text(out, "\n<");
    say_escaped(explanation, row->address);
    strbuf_append_format(out, ">: %s, smarthost %s, %u attempt%s\n",
                         recipient_state_name(row->state), row->smarthost, row->attempts,
                         row->attempts == 1 ? "" : "s");
    say_time(explanation, "    since ", row->changed_at_ms / 1000, "\n");
    if (row->code != 0 || row->reply != NULL) {
        AUTO_FREE char *before =
            xasprintf("    the last answer%s%s: ", row->stage != NULL ? " at " : "",
                      row->stage != NULL ? row->stage : "");
        say_reply(explanation, before, row->code, row->enhanced, row->reply);
    }
    if (row->class != NULL)
        strbuf_append_format(out, "    class: %s\n", row->class);
    say_state(explanation, row);
}

static void explain_header(struct explanation *explanation, const struct spool_row *rows,
                           size_t count)
{
    struct strbuf *out = explanation->out;

    strbuf_append_format(out, "message %s from <", rows[0].id);
    say_escaped(explanation, rows[0].sender);
    strbuf_append_text(out, ">, accepted from ");
    say_escaped(explanation, rows[0].user);
    say_time(explanation, " at ", rows[0].accepted_at_ms / 1000, "\n");
    strbuf_append_format(out, "%zu recipient%s:", count, count == 1 ? "" : "s");
    for (int state = 0; state < RECIPIENT_STATE_COUNT; state++) {
        size_t of_state = 0;
        for (size_t i = 0; i < count; i++)
            of_state += (int)rows[i].state == state ? 1 : 0;
        if (of_state > 0)
            strbuf_append_format(out, " %zu %s", of_state,
                                 recipient_state_name((enum recipient_state)state));
    }
    strbuf_append_char(out, '\n');
}

void explain_message(const struct spool_row *rows, size_t count, const struct json_context *context,
                     bool has_words, struct strbuf *out)
{
    struct explanation explanation = { context, has_words, out, NULL };
    size_t shown = 0;

    explain_header(&explanation, rows, count);
    /* Those that are not delivered are what people ask about. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < count && shown < EXPLAIN_RECIPIENTS_MAX; i++) {
            if ((rows[i].state == RECIPIENT_DELIVERED) != (pass == 1))
                continue;
            explain_recipient(&explanation, &rows[i]);
            shown++;
        }
    }
    if (shown < count)
        strbuf_append_format(out, "\nand %zu more: outbox show %s\n", count - shown, rows[0].id);
}
