/* What the files of the dispatcher share. */
#pragma once
#include "dispatcher.h"
#include "lane.h"
#include "recording.h"
#include "settle.h"

struct delivery_order;

enum { DISPATCHER_BODY_BYTES_MAX = 32 * 1024 * 1024 }; /* bodies kept in memory for delivery */

STAILQ_HEAD(recording_list, recording);

struct dispatcher {
    struct dispatcher_options with; /* config: a reference of ours */
    struct lane **lanes;            /* in file order, then those of the spool only */
    size_t lane_count;
    unsigned slots_used;
    unsigned *free_marks; /* a stack, so that few places of the file are in use */
    size_t free_mark_count;
    struct event *timer;
    size_t orders_out;
    size_t requests_out; /* of the spool */
    size_t body_bytes;
    size_t recovering;                /* answers still missing before the first delivery */
    struct recording_list unrecorded; /* those that wait for the next try */
    size_t unrecorded_count;          /* they, and those that are being tried again */
    int64_t try_again_at_ms;          /* monotonic; when unrecorded is not empty */
    bool is_stopping;
};

/* dispatcher.c */
struct lane *dispatcher_lane_get(struct dispatcher *dispatcher,
                                 const char *name); /* made when new */
/* Starts whatever may start, reads backlog where there is room, and sets the timer for the rest. */
void dispatcher_pump(struct dispatcher *dispatcher);
void dispatcher_work_drop(struct dispatcher *dispatcher, struct lane *lane, struct work *work);

/* backlog.c */
/* If there is a backlog and room for it. */
void backlog_read(struct dispatcher *dispatcher, struct lane *lane, int64_t now_s);

/* attempt.c */
void attempt_start(struct dispatcher *dispatcher, struct lane *lane, struct work *work,
                   size_t slot);
/* Without an attempt: all recipients get this state (expired, queued until later). to_smarthosts: where each of them
   moves; NULL: they stay. */
void attempt_settle_untried(struct dispatcher *dispatcher, struct lane *lane, struct work *work,
                            const struct settlement *settlement, const char *const *to_smarthosts);

/* lane_health.c */
/* For the jitter of a delay. */
uint32_t lane_health_chance(void);
/* What the end of a transaction says about the smarthost. is_probe: it was the one probe of an open circuit. */
void lane_health_note(struct dispatcher *dispatcher, struct lane *lane,
                      const struct delivery_order *order, bool is_probe);
/* The lane has its new configuration: with a new password it is tried again by itself. */
void lane_health_reload(struct dispatcher *dispatcher, struct lane *lane,
                        const struct smarthost_config *before);
void lane_health_park(struct dispatcher *dispatcher, struct lane *lane, int64_t uid);
void lane_health_unpark(struct dispatcher *dispatcher, struct lane *lane, int64_t uid);

/* recovery.c */
/* What an earlier process left: marks of deliveries in flight, parked smarthosts. Ends in dispatcher_pump. */
void recovery_start(struct dispatcher *dispatcher);
