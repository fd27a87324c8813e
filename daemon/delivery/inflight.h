/* Marks of what is being delivered, so that a restart after a crash knows what is in doubt (DESIGN 4): the file
   state-directory/inflight, one fixed place per slot, written with pwrite, not synced. Exact after a crash of the
   process; after a power loss marks may be missing. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct inflight;

enum inflight_phase { INFLIGHT_NONE, INFLIGHT_TAKEN, INFLIGHT_AT_DOT };

enum { INFLIGHT_NUMBERS_MAX = 200, INFLIGHT_NAME_MAX = 63 };

struct inflight_mark {
    enum inflight_phase phase;
    int64_t key;
    char smarthost[INFLIGHT_NAME_MAX + 1];
    uint16_t number_count; /* 0: more than fit; all recipients of the message at this smarthost */
    uint16_t numbers[INFLIGHT_NUMBERS_MAX];
};

struct inflight *inflight_open(const char *state_directory, unsigned slots, struct error *err);
void inflight_close(struct inflight *inflight);
/* What an earlier process left, before the first inflight_set. *slot starts at 0; true: the mark of slot *slot - 1;
   false: there are no more. Torn or foreign marks are passed over. There may be marks of more slots than were
   opened, when the earlier process had more. */
bool inflight_next(struct inflight *inflight, unsigned *slot, struct inflight_mark *ret_mark);
/* From the thread that works on the slot. */
void inflight_set(struct inflight *inflight, unsigned slot, const struct inflight_mark *mark);
/* From any thread, once the outcome is committed and before the slot is used again. */
void inflight_clear(struct inflight *inflight, unsigned slot);
