/* One client of the control socket: reads requests, runs one at a time, keeps its output bounded.
   A connection whose client vanished lives on until the spool and the resolver have answered. */
#pragma once
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "resolver.h"

struct connection;
struct event_base;

/* What all connections share. */
struct connection_host {
    struct event_base *base;
    struct mailbox *mailbox;
    struct spool *spool;
    struct resolver *resolver;
    struct dispatcher *dispatcher;
    bool is_stopping;
    void (*finished)(void *ctx); /* some connection may be freed; not from within this call */
    void *ctx;
};

LIST_HEAD(connection_list, connection);

/* Takes fd. Asks the resolver who uid is, and reads requests once that is known. */
struct connection *connection_new(const struct connection_host *host, int fd, uid_t uid);
uid_t connection_uid(const struct connection *connection);
/* Ends it as soon as what it runs comes back. */
void connection_stop(struct connection *connection);
/* Ends it even if the client has not read everything. */
void connection_hang_up(struct connection *connection);
bool connection_is_finished(const struct connection *connection);
/* Of a finished one. */
void connection_free(struct connection *connection);

void connection_list_insert(struct connection_list *list, struct connection *connection);
struct connection *connection_list_next(const struct connection *connection);
