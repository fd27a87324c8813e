/* log: the history, page by page; a client that follows asks again. */
#include <sysexits.h>

#include "queue_id.h"
#include "spool.h"

#include "connection.h"
#include "message_json.h"
#include "request.h"

enum { PAGE_EVENTS = 200, PAGE_EVENTS_MAX = 1000 };

static void log_free(void *state)
{
    spool_log_free(state);
}

static void on_events(struct control_request *request)
{
    const struct spool_log *log = request->state;
    int64_t last = log->after;
    bool is_about_one = log->id[0] != '\0';

    if (!log->request.is_ok) {
        control_refuse_spool(request, &log->request);
        return;
    }
    /* Every message has at least the event of its acceptance. */
    if (is_about_one && log->after == 0 && log->event_count == 0) {
        control_refuse(request, EX_NOINPUT, "no such message");
        return;
    }
    for (size_t i = 0; i < log->event_count; i++) {
        last = log->events[i].number;
        control_answer(request, json_pack("{s:o}", "event", event_json(&log->events[i])));
    }
    bool has_more = !log->is_newest && log->event_count == log->limit;
    control_end(request, EX_OK, json_pack("{s:I,s:b}", "last", (json_int_t)last, "more", has_more));
}

void control_log(struct control_request *request)
{
    const char *id = control_argument(request, "id");
    int64_t after = control_number(request, "after", -1);
    int64_t limit = control_number(request, "limit", PAGE_EVENTS);

    if (id != NULL && !queue_id_is_plausible(id)) {
        control_refuse(request, EX_NOINPUT, "no such message");
        return;
    }
    if (limit == 0 || limit > PAGE_EVENTS_MAX)
        limit = PAGE_EVENTS_MAX;
    struct spool_log *log = spool_log_new(id != NULL ? id : "", control_scope(request),
                                          after < 0 ? 0 : after, (unsigned)limit);
    log->is_newest = id == NULL && after < 0;
    control_state_set(request, log, log_free);
    control_expect(request, &log->request, on_events);
    spool_log_read(request->host->spool, log);
}
