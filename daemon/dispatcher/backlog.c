/* Reads what is due back from the spool, as far as there is room in memory. Main thread. */
#include "dispatcher_private.h"

#include "clock.h"
#include "log.h"

enum { READ_AGAIN_S = 10 }; /* after the spool could not */

static void on_due_read(struct spool_request *request)
{
    struct dispatcher *dispatcher = request->ctx;
    struct spool_due *due = (struct spool_due *)request;
    struct lane *lane = dispatcher_lane_get(dispatcher, due->smarthost);

    dispatcher->requests_out--;
    if (request->is_ok) {
        lane_backlog_advance(lane, due);
    } else {
        log_line(LOG_LEVEL_WARNING, "spool", "the backlog of %s cannot be read: %s", lane->name,
                 request->error.text);
        lane_backlog_fail(lane, clock_wall_s() + READ_AGAIN_S);
    }
    /* What is old news by now is still in memory, and stays as it is there: the spool answers in the order it is asked. */
    for (size_t i = 0; i < due->message_count; i++)
        (void)lane_work_add(lane, &due->messages[i], NULL);
    spool_due_free(due);
    dispatcher_pump(dispatcher);
}

/* Room in the window, and a use for more: a parked lane reads nothing, one in trouble only what a probe needs. One that
   has left the configuration only reads in order to pass on. */
static bool wants_backlog(const struct lane *lane, int64_t now_s)
{
    if (!lane->has_backlog || lane->is_reading || lane->work_count > LANE_ACTIVE_MAX / 2)
        return false;
    if (lane->circuit.state == CIRCUIT_CLOSED || lane->smarthost == NULL)
        return true;
    return TAILQ_EMPTY(&lane->ready) && circuit_may_start(&lane->circuit, now_s);
}

void backlog_read(struct dispatcher *dispatcher, struct lane *lane, int64_t now_s)
{
    if (!wants_backlog(lane, now_s))
        return;
    struct spool_due *due = spool_due_new(lane->name, now_s, LANE_READ_LIMIT);
    due->request.reply_to = dispatcher->with.mailbox;
    due->request.done = on_due_read;
    due->request.ctx = dispatcher;
    due->cursor_due_s = lane->cursor_due_s;
    due->cursor_recipient = lane->cursor_recipient;
    lane->is_reading = true;
    dispatcher->requests_out++;
    spool_due_read(dispatcher->with.spool, due);
}
