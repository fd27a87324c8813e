/* A group commit: the requests that came in together become one transaction with one sync. Runs on the spool thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "ballast.h"
#include "spool.h"
#include "store.h"

enum {
    GROUP_REQUESTS_MAX = 1000,
    GROUP_BYTES_MAX = 8 * 1024 * 1024, /* of new body */
    EXIT_UNKNOWN_COMMIT = 75,          /* the commit may or may not have happened: recover */
};

struct spool_operation {
    const char *name;
    store_fn *run;
    /* After the commit. NULL: nothing to do. */
    void (*committed)(struct store *store, struct spool_request *request);
    bool is_write;
    bool is_intake; /* refused while the disk is full, so that the others have room */
};

/* Settles every member: is_ok and error are final, and what is ok is on stable storage. Reads run after the commit
   and see it; one that is to go on later is left with is_unfinished. Ends the process when the outcome of the commit
   is unknown. */
void group_run(struct store *store, struct ballast *ballast, struct spool_request *const *members,
               size_t count);

/* Copies the log into the file, so that the next commit begins the log anew; ends the process when that fails for another
   reason than space. */
void group_checkpoint(struct store *store, struct ballast *ballast);
