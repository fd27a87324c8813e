/* Asks the spool again until it has stored what it must. Main thread. */
#include "recording.h"

#include "clock.h"
#include "dispatcher_private.h"
#include "error.h"
#include "log.h"

enum { TRY_AGAIN_MS = 5000 };

static void post(struct recording *recording)
{
    struct dispatcher *dispatcher = recording->dispatcher;

    dispatcher->requests_out++;
    recording->post(dispatcher->with.spool, recording->request);
}

void recording_start(struct recording *recording)
{
    recording->request->reply_to = recording->dispatcher->with.mailbox;
    post(recording);
}

static void put_off(struct recording *recording)
{
    struct dispatcher *dispatcher = recording->dispatcher;

    if (!recording->is_late && dispatcher->unrecorded_count++ == 0)
        log_line(LOG_LEVEL_ERROR, "spool",
                 "what became of a delivery cannot be recorded, so nothing is sent: %s",
                 recording->request->error.text);
    recording->is_late = true;
    if (STAILQ_EMPTY(&dispatcher->unrecorded))
        dispatcher->try_again_at_ms = clock_monotonic_ms() + TRY_AGAIN_MS;
    STAILQ_INSERT_TAIL(&dispatcher->unrecorded, recording, link);
    dispatcher_pump(dispatcher);
}

bool recording_is_stored(struct recording *recording)
{
    struct dispatcher *dispatcher = recording->dispatcher;
    const struct spool_request *request = recording->request;

    dispatcher->requests_out--;
    if (!request->is_ok && request->error.code != ERROR_MISSING) {
        put_off(recording);
        return false;
    }
    if (recording->is_late && --dispatcher->unrecorded_count == 0)
        log_line(LOG_LEVEL_INFO, "spool", "all deliveries are recorded, so mail is sent again");
    return true;
}

void recordings_try_again(struct dispatcher *dispatcher)
{
    struct recording_list list = STAILQ_HEAD_INITIALIZER(list);

    STAILQ_CONCAT(&list, &dispatcher->unrecorded);
    while (!STAILQ_EMPTY(&list)) {
        struct recording *recording = STAILQ_FIRST(&list);
        STAILQ_REMOVE_HEAD(&list, link);
        post(recording);
    }
}

void recordings_drop(struct dispatcher *dispatcher)
{
    while (!STAILQ_EMPTY(&dispatcher->unrecorded)) {
        struct recording *recording = STAILQ_FIRST(&dispatcher->unrecorded);
        STAILQ_REMOVE_HEAD(&dispatcher->unrecorded, link);
        recording->drop(recording);
    }
}
