/* Objects of the control socket, made from rows. Pure but for the lane that is asked for. */
#include "message_json.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "escape.h"
#include "invariant.h"
#include "when.h"

#include "dispatcher.h"
#include "spool.h"

static void set(json_t *object, const char *key, json_t *value)
{
    MUST(json_object_set_new(object, key, value) == 0);
}

json_t *json_text(const char *text)
{
    if (text == NULL)
        return json_null();
    AUTO_FREE char *escaped = escape_text(text);
    return json_string(escaped);
}

json_t *json_escaped(const char *text)
{
    if (text == NULL)
        return json_null();
    json_t *value = json_string(text);
    return value != NULL ? value : json_text(text);
}

/* RFC 3339 in UTC; 0 becomes null. */
static json_t *json_time(int64_t unix_s)
{
    char text[WHEN_RFC3339_SIZE];

    if (unix_s == 0)
        return json_null();
    when_format_rfc3339(text, unix_s);
    return json_string(text);
}

static json_t *time_ms(int64_t unix_ms)
{
    char text[WHEN_RFC3339_SIZE];

    when_format_rfc3339_ms(text, unix_ms);
    return json_string(text);
}

static json_t *code_or_null(int code)
{
    return code != 0 ? json_integer(code) : json_null();
}

/* The lane is in trouble: for what the recipient waits then. */
static enum recipient_waiting waiting_for_lane(const struct circuit *circuit)
{
    if (circuit->state != CIRCUIT_PARKED)
        return WAITING_SMARTHOST;
    if (circuit->reason.scope == SCOPE_ACCOUNT)
        return WAITING_ACCOUNT;
    return circuit->reason.scope == SCOPE_SENDER ? WAITING_SENDER : WAITING_SMARTHOST;
}

static struct row_outlook queued_outlook(const struct spool_row *row, const struct lane_view *lane,
                                         int64_t now_s)
{
    struct row_outlook outlook = { row->waiting, row->due_at_s };

    if (lane->circuit.state == CIRCUIT_PARKED) {
        outlook.waiting = waiting_for_lane(&lane->circuit);
        outlook.next_attempt_at_s = lane->circuit.retry_at_s;
    } else if (lane->circuit.state == CIRCUIT_OPEN) {
        outlook.waiting = waiting_for_lane(&lane->circuit);
        if (lane->circuit.retry_at_s > row->due_at_s)
            outlook.next_attempt_at_s = lane->circuit.retry_at_s;
    } else if (row->due_at_s > now_s) {
        if (row->waiting == WAITING_NONE || row->waiting == WAITING_NOW)
            outlook.waiting = row->attempts > 0 ? WAITING_RETRY : WAITING_TIME;
    } else {
        outlook.waiting = lane->is_rate_limited ? WAITING_RATE : WAITING_NOW;
    }
    return outlook;
}

struct row_outlook row_outlook(const struct spool_row *row, const struct json_context *context)
{
    struct row_outlook outlook = { WAITING_NONE, 0 };
    struct lane_view lane;

    if (row->state == RECIPIENT_IN_DOUBT)
        outlook.next_attempt_at_s = row->due_at_s;
    if (row->state != RECIPIENT_QUEUED)
        return outlook;
    if (context->lane_find(context->dispatcher, row->smarthost, &lane))
        return queued_outlook(row, &lane, context->now_s);
    outlook.waiting = WAITING_SMARTHOST; /* it has left the configuration */
    return outlook;
}

size_t message_row_count(const struct spool_row *rows, size_t count)
{
    size_t same = 1;

    while (same < count && rows[same].key == rows[0].key)
        same++;
    return same;
}

static enum recipient_state message_rows_state(const struct spool_row *rows, size_t count)
{
    unsigned counts[RECIPIENT_STATE_COUNT] = { 0 };

    for (size_t i = 0; i < count; i++)
        counts[rows[i].state]++;
    return message_state(counts);
}

static json_t *recipient_json(const struct spool_row *row, const struct json_context *context)
{
    struct row_outlook outlook = row_outlook(row, context);
    json_t *object = json_object();

    set(object, "address", json_text(row->address));
    set(object, "state", json_text(recipient_state_name(row->state)));
    set(object, "waiting", json_text(recipient_waiting_name(outlook.waiting)));
    set(object, "class", json_text(row->class));
    set(object, "code", code_or_null(row->code));
    set(object, "enhanced", json_text(row->enhanced));
    set(object, "reply", json_escaped(row->reply));
    set(object, "attempts", json_integer(row->attempts));
    set(object, "next_attempt_at", json_time(outlook.next_attempt_at_s));
    return object;
}

/* Of the first recipient that is not final, else of the first. */
static const char *message_smarthost(const struct spool_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!recipient_state_is_final(rows[i].state))
            return rows[i].smarthost;
    return rows[0].smarthost;
}

json_t *message_json(const struct spool_row *rows, size_t count, const struct json_context *context)
{
    json_t *object = json_object();
    json_t *recipients = json_array();

    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(recipients, recipient_json(&rows[i], context));
    set(object, "id", json_text(rows[0].id));
    set(object, "sender", json_text(rows[0].sender));
    set(object, "size", json_integer(rows[0].size_bytes));
    set(object, "accepted_at", json_time(rows[0].accepted_at_ms / 1000));
    set(object, "user", json_text(rows[0].user));
    set(object, "tag", json_text(rows[0].tag));
    set(object, "smarthost", json_text(message_smarthost(rows, count)));
    set(object, "state", json_text(recipient_state_name(message_rows_state(rows, count))));
    set(object, "recipients", recipients);
    return object;
}

json_t *event_json(const struct spool_event *event)
{
    json_t *object = json_object();

    set(object, "number", json_integer(event->number));
    set(object, "at", time_ms(event->at_ms));
    set(object, "id", json_text(event->id[0] != '\0' ? event->id : NULL));
    set(object, "kind", json_text(event->kind));
    set(object, "recipient", json_text(event->recipient));
    set(object, "state", json_text(event->state));
    set(object, "smarthost", json_text(event->smarthost));
    set(object, "host", json_text(event->host));
    set(object, "stage", json_text(event->stage));
    set(object, "class", json_text(event->class));
    set(object, "rule", json_text(event->rule));
    set(object, "code", code_or_null(event->code));
    set(object, "enhanced", json_text(event->enhanced));
    set(object, "reply", json_escaped(event->reply));
    set(object, "duration_ms", json_integer(event->duration_ms));
    set(object, "uid", event->uid >= 0 ? json_integer(event->uid) : json_null());
    return object;
}

static json_t *text_unless_empty(const char *text)
{
    return json_text(text != NULL && text[0] != '\0' ? text : NULL);
}

json_t *lane_json(const struct lane_view *lane, bool has_words)
{
    const struct circuit *circuit = &lane->circuit;
    bool is_ok = circuit->state == CIRCUIT_CLOSED;
    json_t *object = json_object();

    set(object, "name", json_text(lane->smarthost));
    set(object, "state", json_text(circuit_state_name(circuit->state)));
    set(object, "since", json_time(is_ok ? 0 : circuit->since_s));
    set(object, "retry_at", json_time(is_ok ? 0 : circuit->retry_at_s));
    set(object, "class", json_text(is_ok ? NULL : verdict_class_name(circuit->reason.class)));
    set(object, "code", code_or_null(is_ok ? 0 : lane->reason_code));
    set(object, "enhanced", text_unless_empty(is_ok ? NULL : lane->reason_enhanced));
    if (!has_words)
        return object;
    set(object, "reply", json_escaped(is_ok ? NULL : lane->reason_text));
    set(object, "rule", text_unless_empty(is_ok ? NULL : circuit->reason.rule));
    set(object, "connections", json_integer(lane->connections));
    set(object, "connections_idle", json_integer(lane->connections_idle));
    set(object, "connections_max", json_integer(lane->connections_max));
    set(object, "active", json_integer((json_int_t)lane->active));
    set(object, "delivered", json_integer((json_int_t)lane->delivered));
    set(object, "deferred", json_integer((json_int_t)lane->deferred));
    set(object, "failed", json_integer((json_int_t)lane->failed));
    return object;
}
