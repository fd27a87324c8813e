/* What transactions say about their smarthost: backing off, parking, recovering. Main thread. */
#include "dispatcher_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"
#include "clock.h"
#include "config.h"
#include "delivery.h"
#include "escape.h"
#include "log.h"
#include "xalloc.h"

uint32_t lane_health_chance(void)
{
    uint32_t random = 0;

    (void)!getrandom(&random, sizeof random, 0); /* without it the jitter is always the same */
    return random;
}

static void on_parking_recorded(struct spool_request *request)
{
    struct dispatcher *dispatcher = request->ctx;

    dispatcher->requests_out--;
    if (!request->is_ok)
        log_line(LOG_LEVEL_WARNING, "spool", "a parked smarthost was not recorded: %s",
                 request->error.text);
    spool_parking_free((struct spool_parking *)request);
}

static void record(struct dispatcher *dispatcher, const struct lane *lane, bool is_parked,
                   int64_t uid)
{
    struct spool_parking *parking = spool_parking_new(lane->name, is_parked);

    parking->request.reply_to = dispatcher->with.mailbox;
    parking->request.done = on_parking_recorded;
    parking->request.ctx = dispatcher;
    parking->at_ms = clock_wall_ms();
    parking->uid = uid;
    if (is_parked) {
        parking->retry_at_s = lane->circuit.retry_at_s;
        parking->class = verdict_class_name(lane->circuit.reason.class);
        parking->stage = verdict_stage_name(lane->reason_stage);
        parking->code = lane->reason_code;
        (void)memcpy(parking->enhanced, lane->reason_enhanced, sizeof parking->enhanced);
        parking->reply = xstrdup_or_null(lane->reason_text);
        parking->rule = lane->circuit.reason.rule;
    }
    dispatcher->requests_out++;
    spool_parking_record(dispatcher->with.spool, parking);
}

static void log_trouble(const struct lane *lane, const struct delivery_order *order)
{
    char code[16] = "";
    char until[UNITS_TEXT_SIZE] = "";
    const struct circuit *circuit = &lane->circuit;

    if (order->trouble_code > 0)
        (void)snprintf(code, sizeof code, "%d", order->trouble_code);
    if (circuit->retry_at_s > 0)
        units_format_duration(until, circuit->retry_at_s - clock_wall_s());
    log_event(circuit->failures == 1 || circuit->state == CIRCUIT_PARKED ? LOG_LEVEL_WARNING
                                                                         : LOG_LEVEL_INFO,
              NULL, circuit->state == CIRCUIT_PARKED ? "parked" : "backing-off", "smarthost",
              lane->name, "stage", verdict_stage_name(order->trouble_stage), "class",
              verdict_class_name(order->trouble.class), "code", code[0] != '\0' ? code : NULL,
              "enhanced", order->trouble_enhanced[0] != '\0' ? order->trouble_enhanced : NULL,
              "reply", order->trouble_text, "host", order->host, "next", until[0] ? until : NULL,
              NULL);
}

static void note_trouble(struct dispatcher *dispatcher, struct lane *lane,
                         const struct delivery_order *order)
{
    int64_t now_s = clock_wall_s();
    struct circuit before = lane->circuit;
    bool is_parked_now =
        circuit_failed(&lane->circuit, &order->trouble, &dispatcher->with.config->retry, now_s,
                       lane_health_chance());
    bool is_news = lane->circuit.failures != before.failures || is_parked_now;

    if (lane->circuit.state == CIRCUIT_CLOSED || !is_news)
        return; /* a connection that is simply made again, or one of many that broke together */
    if (before.state != CIRCUIT_PARKED) {
        AUTO_FREE char *text =
            order->trouble_text != NULL ? escape_text(order->trouble_text) : NULL;
        lane_reason_set(lane, order->trouble_stage, order->trouble_code, order->trouble_enhanced,
                        text);
    }
    log_trouble(lane, order);
    if (is_parked_now) {
        lane_parked(lane, now_s);
        record(dispatcher, lane, true, -1);
    }
}

static void note_success(struct dispatcher *dispatcher, struct lane *lane,
                         const struct delivery_order *order)
{
    enum circuit_state before = lane->circuit.state;

    circuit_succeeded(&lane->circuit);
    if (before == CIRCUIT_CLOSED || lane->circuit.state != CIRCUIT_CLOSED)
        return;
    log_event(LOG_LEVEL_INFO, NULL, "recovered", "smarthost", lane->name, "host", order->host,
              NULL);
    if (before == CIRCUIT_PARKED) {
        lane_unparked(lane, clock_wall_s());
        record(dispatcher, lane, false, -1);
    }
}

static bool texts_differ(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") != 0;
}

static bool secrets_differ(const struct smarthost_config *a, const struct smarthost_config *b)
{
    return texts_differ(a->password, b->password) || texts_differ(a->username, b->username);
}

/* What an old password met says nothing about the new one. */
static bool is_outdated(const struct lane *lane, const struct delivery_order *order)
{
    return order->has_trouble && order->trouble.class == CLASS_AUTH_FAILED &&
           lane->smarthost != NULL && secrets_differ(order->smarthost, lane->smarthost);
}

void lane_health_note(struct dispatcher *dispatcher, struct lane *lane,
                      const struct delivery_order *order, bool is_probe)
{
    bool is_of_before = (lane->circuit.is_probing && !is_probe) || is_outdated(lane, order);

    if (order->has_trouble && !is_of_before)
        note_trouble(dispatcher, lane, order);
    else if (!order->has_trouble && order->was_connected && !is_of_before)
        note_success(dispatcher, lane, order);
    if (is_probe)
        lane->circuit.is_probing = false;
}

void lane_health_park(struct dispatcher *dispatcher, struct lane *lane, int64_t uid)
{
    bool was_parked = lane->circuit.state == CIRCUIT_PARKED;

    circuit_park(&lane->circuit, clock_wall_s());
    lane_reason_set(lane, STAGE_ANY, 0, NULL, "parked by hand");
    if (!was_parked)
        lane_parked(lane, clock_wall_s());
    record(dispatcher, lane, true, uid);
    log_event(LOG_LEVEL_INFO, NULL, "parked", "smarthost", lane->name, "reply", "parked by hand",
              NULL);
}

void lane_health_unpark(struct dispatcher *dispatcher, struct lane *lane, int64_t uid)
{
    if (lane->circuit.state == CIRCUIT_PARKED) {
        lane_unparked(lane, clock_wall_s());
        record(dispatcher, lane, false, uid);
        log_event(LOG_LEVEL_INFO, NULL, "unparked", "smarthost", lane->name, NULL);
    }
    circuit_unpark(&lane->circuit);
    dispatcher_pump(dispatcher);
}

void lane_health_reload(struct dispatcher *dispatcher, struct lane *lane,
                        const struct smarthost_config *before)
{
    if (before != NULL && lane->smarthost != NULL &&
        lane->circuit.reason.class == CLASS_AUTH_FAILED && secrets_differ(before, lane->smarthost))
        lane_health_unpark(dispatcher, lane, -1);
}
