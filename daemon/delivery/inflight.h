/* Marks of what is being delivered, so that a restart after a crash knows what is in doubt (DESIGN 4): the file
   state-directory/inflight, one fixed place per mark, written with pwrite, not synced. Exact after a crash of the
   process; after a power loss marks may be missing. Who numbers the marks, and when a number is free again, is the
   caller's business. */
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

struct inflight *inflight_open(const char *state_directory, unsigned marks_max, struct error *err);
void inflight_close(struct inflight *inflight);
/* What an earlier process left, before the first inflight_set. *number starts at 0; true: the mark *number - 1; false:
   there are no more. Torn or foreign marks are passed over. There may be higher numbers than were opened, when the
   earlier process had more. */
bool inflight_next(struct inflight *inflight, unsigned *number, struct inflight_mark *ret_mark);
/* From the thread that works on what is marked. */
void inflight_set(struct inflight *inflight, unsigned number, const struct inflight_mark *mark);
/* From any thread, once the outcome is committed and before the number is used again. */
void inflight_clear(struct inflight *inflight, unsigned number);
