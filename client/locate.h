/* Where the daemon is, for its clients (DESIGN 2.1). Reads runtime-directory, drop-directory and message-size-max from
   the configuration and nothing else: whatever is wrong with the rest is the daemon's business. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct error;

#define LOCATE_DEFAULT_FILE "/etc/outbox/outbox.conf"

struct location {
    char *runtime_directory;
    char *drop_directory; /* NULL: switched off */
    int64_t message_size_max_bytes;
};

/* The file is the one given, else $OUTBOX_CONFIG, else LOCATE_DEFAULT_FILE. A file that somebody named must be
   readable (ERROR_CONFIG); without the default file, or with a broken one, the built-in values hold, because a typing
   mistake there must not stop mail being accepted. A key of the wrong type counts as absent. */
bool location_find(const char *file, struct location *ret_location, struct error *err);
/* One file. may_be_missing: also stands for "may be broken". */
bool location_read(const char *file, bool may_be_missing, struct location *ret_location,
                   struct error *err);
void location_done(struct location *location);

/* A connected, blocking stream socket to runtime-directory/name; -1 with ERROR_BUSY when nobody answers there. */
int location_connect(const struct location *location, const char *name, struct error *err);
