/* What the spool must know before anything else is sent. While it cannot store one of these (the disk is full), nothing
   new starts, and it is asked again every few seconds; what is unrecorded at the end shows by its inflight mark. */
#pragma once
#include <stdbool.h>
#include <sys/queue.h>

struct dispatcher;
struct spool;
struct spool_request;

/* Embedded in what waits for the answer, which is ctx of the request. */
struct recording {
    STAILQ_ENTRY(recording) link; /* while it waits for the next try */
    struct dispatcher *dispatcher;
    struct spool_request *request;
    void (*post)(struct spool *spool, struct spool_request *request);
    /* Nobody will ask again: frees the request and what the recording is embedded in. */
    void (*drop)(struct recording *recording);
    bool is_late; /* it could not be stored at least once */
};

/* All but link and is_late are set, and done of the request. */
void recording_start(struct recording *recording);
/* First thing in done: whether it is stored (or concerns a message that is gone). If not, there will be another
   answer. */
bool recording_is_stored(struct recording *recording);
void recordings_try_again(struct dispatcher *dispatcher);
void recordings_drop(struct dispatcher *dispatcher);
