/* The control socket: people's questions and changes (outbox(1)), on the main thread.

   control.sock speaks lines of JSON, UTF-8. One request per line, at most 64 KiB:
       {"command": "list", "filter": ["state=queued"], "limit": 50}
   Answers are lines, of which the last has the key "status" (an exit status of outbox(1)):
       {"message": {...}}  {"event": {...}}  {"smarthost": {...}}  {"text": "..."}  {"raw_bytes": 1234} + that many bytes
       {"status": 0, "count": 2}      {"status": 64, "error": "filter term ..."}
   Objects of message and recipient are those of DESIGN 2.5.
   A connection may ask several questions, one after the other. Who asks comes from SO_PEERCRED: a user sees and
   changes only their own messages, root and the group outbox-admin all.

   Commands: list show raw why log hold release retry delete status park unpark. */
#pragma once
#include <stdbool.h>

struct config;
struct control;
struct dispatcher;
struct error;
struct event_base;
struct intake;
struct mailbox;
struct resolver;
struct spool;

struct control_options {
    struct event_base *base;
    struct mailbox *mailbox;
    struct spool *spool;
    struct resolver *resolver;
    struct dispatcher *dispatcher;
    const struct config *config;
};

/* Listens on runtime-directory/control.sock. */
struct control *control_start(const struct control_options *options, struct error *err);
void control_reload(struct control *control, const struct config *config);
void control_stop(struct control *control);
bool control_is_idle(const struct control *control);
void control_free(struct control *control);
