/* status, smarthosts: health, from the dispatcher's lanes and the spool's counts. */
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "cleanup.h"
#include "units.h"
#include "xalloc.h"

#include "dispatcher.h"
#include "filter.h"
#include "recipient_state.h"
#include "spool.h"

#include "connection.h"
#include "message_json.h"
#include "request.h"

enum status_level { LEVEL_FINE, LEVEL_WARNING, LEVEL_CRITICAL };

enum {
    DELAY_REMARKABLE_S = 4 * 3600, /* when RFC 5321 4.5.4.1 thinks of telling the sender */
    PAGE_MESSAGES = 500,
};

struct status {
    struct spool_summary *summary;
    struct spool_list *list; /* of a user who is no administrator: what is theirs */
    uint64_t counts[RECIPIENT_STATE_COUNT];
    int64_t oldest_at_s; /* 0: none */
};

static void status_free(void *state)
{
    struct status *status = state;

    spool_summary_free(status->summary);
    spool_list_free(status->list);
    free(status);
}

static bool is_unfinished(enum recipient_state state)
{
    return !recipient_state_is_final(state);
}

static const struct spool_smarthost *summary_smarthost(const struct spool_summary *summary,
                                                       const char *name)
{
    for (size_t i = 0; i < summary->smarthost_count; i++)
        if (strcmp(summary->smarthosts[i].name, name) == 0)
            return &summary->smarthosts[i];
    return NULL;
}

static json_t *smarthost_object(const struct control_request *request,
                                const struct spool_summary *summary, const struct lane_view *lane)
{
    json_t *object = lane_json(lane, request->is_admin);
    const struct spool_smarthost *kept = summary_smarthost(summary, lane->smarthost);
    uint64_t queued = 0;

    if (!request->is_admin)
        return object;
    for (int state = 0; kept != NULL && state < RECIPIENT_STATE_COUNT; state++)
        queued += is_unfinished((enum recipient_state)state) ? kept->counts[state] : 0;
    (void)json_object_set_new(object, "queued", json_integer((json_int_t)queued));
    return object;
}

/* --- status --- */

struct judgement {
    enum status_level level;
    json_t *remarks;
};

static void remark(struct judgement *judgement, enum status_level level, const char *text)
{
    if (level > judgement->level)
        judgement->level = level;
    (void)json_array_append_new(judgement->remarks, json_text(text));
}

static void judge_lane(struct judgement *judgement, const struct lane_view *lane)
{
    if (lane->circuit.state == CIRCUIT_CLOSED)
        return;
    AUTO_FREE char *text =
        xasprintf("smarthost %s is %s", lane->smarthost,
                  lane->circuit.state == CIRCUIT_PARKED ? "parked" : "in trouble, backing off");
    remark(judgement, LEVEL_WARNING, text);
}

/* 0 when nothing waits, or when the clock was set back. */
static int64_t oldest_age_s(const struct control_request *request, const struct status *status)
{
    int64_t age_s = request->now_ms / 1000 - status->oldest_at_s;

    return status->oldest_at_s > 0 && age_s > 0 ? age_s : 0;
}

static void judge(const struct control_request *request, const struct status *status,
                  struct judgement *judgement)
{
    int64_t age_s = oldest_age_s(request, status);
    char age[UNITS_TEXT_SIZE];

    if (status->summary->is_full)
        remark(judgement, LEVEL_CRITICAL, "the disk of the spool is full: no mail is accepted");
    for (size_t i = 0; i < dispatcher_lane_count(request->host->dispatcher); i++) {
        struct lane_view lane = dispatcher_lane(request->host->dispatcher, i);
        judge_lane(judgement, &lane);
    }
    if (status->counts[RECIPIENT_IN_DOUBT] > 0)
        remark(judgement, LEVEL_WARNING,
               "there are recipients in doubt: outbox list state=in-doubt");
    if (age_s > DELAY_REMARKABLE_S) {
        units_format_duration(age, age_s);
        AUTO_FREE char *text = xasprintf("the oldest message has waited for %s", age);
        remark(judgement, LEVEL_WARNING, text);
    }
}

static json_t *counts_object(const struct control_request *request, const struct status *status)
{
    json_t *object = json_object();

    /* A user's finished mail is not counted: that would mean reading all of it. */
    for (int i = 0; i < RECIPIENT_STATE_COUNT; i++) {
        enum recipient_state state = (enum recipient_state)i;
        if (request->is_admin || is_unfinished(state))
            (void)json_object_set_new(object, recipient_state_name(state),
                                      json_integer((json_int_t)status->counts[i]));
    }
    return object;
}

static void report(struct control_request *request)
{
    const struct status *status = request->state;
    struct judgement judgement = { LEVEL_FINE, json_array() };
    json_t *smarthosts = json_array();

    judge(request, status, &judgement);
    for (size_t i = 0; i < dispatcher_lane_count(request->host->dispatcher); i++) {
        struct lane_view lane = dispatcher_lane(request->host->dispatcher, i);
        (void)json_array_append_new(smarthosts, smarthost_object(request, status->summary, &lane));
    }
    json_t *age =
        status->oldest_at_s > 0 ? json_integer(oldest_age_s(request, status)) : json_null();
    control_answer(request,
                   json_pack("{s:i,s:o,s:o,s:o,s:o}", "level", (int)judgement.level, "remarks",
                             judgement.remarks, "smarthosts", smarthosts, "counts",
                             counts_object(request, status), "oldest_age_s", age));
    control_end(request, (int)judgement.level, NULL);
}

static void on_own_page(struct control_request *request);

static void next_own_page(struct control_request *request)
{
    struct status *status = request->state;

    spool_list_clear(status->list);
    control_expect(request, &status->list->request, on_own_page);
    spool_list_read(request->host->spool, status->list);
}

static void on_own_page(struct control_request *request)
{
    struct status *status = request->state;
    const struct spool_list *list = status->list;

    if (!list->request.is_ok) {
        control_refuse_spool(request, &list->request);
        return;
    }
    for (size_t i = 0; i < list->row_count; i++) {
        status->counts[list->rows[i].state]++;
        int64_t at_s = list->rows[i].accepted_at_ms / 1000;
        if (status->oldest_at_s == 0 || at_s < status->oldest_at_s)
            status->oldest_at_s = at_s;
    }
    if (list->is_end)
        report(request);
    else
        next_own_page(request);
}

static void count_all(struct status *status)
{
    const struct spool_summary *summary = status->summary;

    for (size_t i = 0; i < summary->smarthost_count; i++)
        for (int state = 0; state < RECIPIENT_STATE_COUNT; state++)
            status->counts[state] += summary->smarthosts[i].counts[state];
    status->oldest_at_s = summary->oldest_queued_at_s;
}

static void on_status_summary(struct control_request *request)
{
    struct status *status = request->state;

    if (!status->summary->request.is_ok) {
        control_refuse_spool(request, &status->summary->request);
        return;
    }
    if (request->is_admin) {
        count_all(status);
        report(request);
        return;
    }
    status->list = spool_list_new(request->filter, (int64_t)request->uid, request->now_ms / 1000,
                                  PAGE_MESSAGES);
    next_own_page(request);
}

static void ask_summary(struct control_request *request, control_step_fn *answered)
{
    struct status *status = NEW(struct status);

    status->summary = spool_summary_new();
    control_state_set(request, status, status_free);
    control_expect(request, &status->summary->request, answered);
    spool_summary_read(request->host->spool, status->summary);
}

void control_status(struct control_request *request)
{
    ask_summary(request, on_status_summary);
}

/* --- smarthosts --- */

static void on_smarthosts_summary(struct control_request *request)
{
    const struct status *status = request->state;

    if (!status->summary->request.is_ok) {
        control_refuse_spool(request, &status->summary->request);
        return;
    }
    for (size_t i = 0; i < dispatcher_lane_count(request->host->dispatcher); i++) {
        struct lane_view lane = dispatcher_lane(request->host->dispatcher, i);
        control_answer(request, json_pack("{s:o}", "smarthost",
                                          smarthost_object(request, status->summary, &lane)));
    }
    control_end(request, EX_OK, NULL);
}

void control_smarthosts(struct control_request *request)
{
    ask_summary(request, on_smarthosts_summary);
}
