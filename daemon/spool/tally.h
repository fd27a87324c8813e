/* How many recipients each smarthost has in each state: in memory, so that asking costs nothing, and in the database
   with every commit, so that it is exact after a crash. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "database.h"
#include "recipient_state.h"

struct error;

struct tally_row {
    char *smarthost;
    int64_t counts[RECIPIENT_STATE_COUNT]; /* committed */
    int64_t deltas[RECIPIENT_STATE_COUNT]; /* of the transaction under way */
};

struct tally {
    struct tally_row *rows;
    size_t count;
};

bool tally_load(struct tally *tally, struct database *database, struct error *err);
void tally_done(struct tally *tally);
void tally_add(struct tally *tally, const char *smarthost, enum recipient_state state,
               int64_t number);
/* Before the commit: writes what has changed. */
bool tally_write(struct tally *tally, struct database *database, struct error *err);
void tally_commit(struct tally *tally);
void tally_rollback(struct tally *tally);
/* Recipients in the states of the mask (1 << state) at one smarthost (case is ignored, as filters do), or at all of
   them (NULL). */
int64_t tally_total(const struct tally *tally, const char *smarthost, unsigned states);
