/* The start: what an earlier process left behind comes first, then the first delivery. Main thread. */
#include "dispatcher_private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "clock.h"
#include "config.h"
#include "delivery.h"
#include "inflight.h"
#include "log.h"
#include "xalloc.h"

static void answered(struct dispatcher *dispatcher)
{
    if (--dispatcher->recovering == 0)
        dispatcher_pump(dispatcher);
}

struct found_mark {
    struct recording recording;
    unsigned number;
};

static void on_crashed_recorded(struct spool_request *request)
{
    struct found_mark *found = request->ctx;
    struct dispatcher *dispatcher = found->recording.dispatcher;

    if (!recording_is_stored(&found->recording))
        return;
    /* A message that is gone had been finished. */
    delivery_mark_committed(dispatcher->with.delivery, found->number);
    spool_crashed_free((struct spool_crashed *)request);
    free(found);
    answered(dispatcher);
}

static void post_crashed(struct spool *spool, struct spool_request *request)
{
    spool_crashed_record(spool, (struct spool_crashed *)request);
}

static void drop_crashed(struct recording *recording)
{
    struct found_mark *found = recording->request->ctx;

    spool_crashed_free((struct spool_crashed *)recording->request);
    free(found);
}

static struct spool_crashed *crashed_new(const struct config *config,
                                         const struct inflight_mark *mark)
{
    struct spool_crashed *crashed = spool_crashed_new(mark->key, mark->number_count);

    crashed->was_at_dot = mark->phase == INFLIGHT_AT_DOT;
    crashed->is_in_doubt_held = config->is_in_doubt_held;
    crashed->now_ms = clock_wall_ms();
    crashed->due_at_s =
        config->is_in_doubt_held ? 0 : crashed->now_ms / 1000 + config->in_doubt_delay_s;
    crashed->smarthost = xstrdup(mark->smarthost);
    for (size_t i = 0; i < mark->number_count; i++)
        crashed->numbers[i] = mark->numbers[i];
    return crashed;
}

static void record_crashed(struct dispatcher *dispatcher, unsigned number,
                           const struct inflight_mark *mark)
{
    struct found_mark *found = NEW(struct found_mark);
    struct spool_crashed *crashed = crashed_new(dispatcher->with.config, mark);

    crashed->request.done = on_crashed_recorded;
    crashed->request.ctx = found;
    found->number = number;
    found->recording = (struct recording){ .dispatcher = dispatcher,
                                           .request = &crashed->request,
                                           .post = post_crashed,
                                           .drop = drop_crashed };
    dispatcher->recovering++;
    recording_start(&found->recording);
}

static void restore_parked(struct lane *lane, const struct spool_smarthost *kept)
{
    struct circuit *circuit = &lane->circuit;

    for (size_t i = 0; i < kept->span_count; i++) {
        lane_parked(lane, kept->spans[i].from_s);
        lane->spans[lane->span_count - 1].until_s = kept->spans[i].until_s;
    }
    if (!kept->is_parked)
        return;
    circuit_park(circuit, kept->parked_since_s);
    circuit->retry_at_s = kept->retry_at_s;
    free(lane->reason_rule);
    lane->reason_rule = xstrdup_or_null(kept->rule);
    circuit->reason.rule = lane->reason_rule;
    (void)verdict_class_parse(kept->class != NULL ? kept->class : "", &circuit->reason.class);
    circuit->reason.scope =
        circuit->reason.class == CLASS_AUTH_FAILED ? SCOPE_ACCOUNT : SCOPE_SMARTHOST;
    enum verdict_stage stage = STAGE_ANY;
    (void)verdict_stage_parse(kept->stage != NULL ? kept->stage : "", &stage);
    lane_reason_set(lane, stage, kept->code, kept->enhanced, kept->reply);
    log_event(LOG_LEVEL_WARNING, NULL, "parked", "smarthost", lane->name, "since", "before start",
              "reply", kept->reply, NULL);
}

static void on_summary(struct spool_request *request)
{
    struct dispatcher *dispatcher = request->ctx;
    struct spool_summary *summary = (struct spool_summary *)request;

    dispatcher->requests_out--;
    if (!request->is_ok)
        log_line(LOG_LEVEL_ERROR, "spool", "%s", request->error.text);
    for (size_t i = 0; request->is_ok && i < summary->smarthost_count; i++) {
        const struct spool_smarthost *kept = &summary->smarthosts[i];
        struct lane *lane = dispatcher_lane_get(dispatcher, kept->name);
        restore_parked(lane, kept);
        uint64_t waiting = kept->counts[RECIPIENT_QUEUED] + kept->counts[RECIPIENT_IN_DOUBT];
        if (lane->smarthost == NULL && waiting > 0)
            log_line(LOG_LEVEL_WARNING, "route",
                     "smarthost %s is not in the configuration any more; its %" PRIu64
                     " recipients go where the routes send them now",
                     kept->name, waiting);
    }
    spool_summary_free(summary);
    answered(dispatcher);
}

void recovery_start(struct dispatcher *dispatcher)
{
    struct inflight_mark mark;
    unsigned number = 0;
    struct spool_summary *summary = spool_summary_new();

    while (delivery_inflight_next(dispatcher->with.delivery, &number, &mark))
        record_crashed(dispatcher, number - 1, &mark);
    summary->request.reply_to = dispatcher->with.mailbox;
    summary->request.done = on_summary;
    summary->request.ctx = dispatcher;
    dispatcher->recovering++;
    dispatcher->requests_out++;
    spool_summary_read(dispatcher->with.spool, summary);
}
