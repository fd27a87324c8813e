/* Listening Unix sockets that survive a shortage of descriptors. Belongs to the thread of its base. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

struct error;
struct event_base;
struct listener;

struct listener_peer {
    uid_t uid;
    gid_t gid;
    pid_t pid; /* for the log only, never for rights */
};

/* fd is non-blocking, close-on-exec, and becomes the callee's. */
typedef void listener_accepted_fn(int fd, const struct listener_peer *peer, void *ctx);

/* Binds path (mode 0666; who may do what is decided by the peer's uid). A stale socket file is removed only after a
   connect to it was refused; a live one is an error. The directory is made (0755) when it is missing. */
struct listener *listener_open_unix(struct event_base *base, const char *path,
                                    listener_accepted_fn *accepted, void *ctx, struct error *err);
/* Stops listening and removes the socket file. */
void listener_close(struct listener *listener);
