/* The control socket: people's questions and changes (outbox(1)), on the main thread.

   control.sock speaks lines of JSON, UTF-8. A request is one line, at most 64 KiB; answers are lines, of which the last
   has the key "status" (an exit status of outbox(1)) and, when that is a refusal, "error". A connection may ask one
   question after the other; a line that is no request ends it. A client that does not read stops its own listing only.

       {"command": "list", "filter": ["state=queued"], "limit": 50}
       {"message": {...}}
       {"message": {...}}
       {"status": 0, "count": 2}

   Commands, with the answers that precede the last line and the keys of that:
       list       filter, limit     {"message": {...}} each; count
       mailq      -                 {"raw_bytes": N} and N bytes of plain text; count. For sendmail -bp
       show       id                {"message": {...}}
       raw        id                {"raw_bytes": N} and the N bytes of the message
       why        id                {"text": "..."} line by line
       log        id, after, limit  {"event": {...}} each; last (number to give as after), more (ask again at once)
       hold release retry delete
                  filter, dry_run   count (messages that match), changed (of them, or would be)
       status     -                 {"level", "remarks", "smarthosts", "counts", "oldest_age_s"}; status is the level
       smarthosts -                 {"smarthost": {...}} each
       park unpark  name            administrators only

   Objects (an absent value is null, times are RFC 3339 in UTC, everything unprintable is escaped):
       message    id sender size accepted_at user tag smarthost state recipients
       recipient  address state waiting class code enhanced reply attempts next_attempt_at
       event      number at id kind recipient state smarthost host stage class rule code enhanced reply duration_ms uid
       smarthost  name state since retry_at class code enhanced reply rule connections connections_idle
                  connections_max active delivered deferred failed queued; from reply on for administrators only

   Who asks comes from SO_PEERCRED. Users see and change their own messages; root, the user that outboxd runs as and
   the group outbox-admin all. What belongs to others is answered like what does not exist (66). */
#pragma once
#include <stdbool.h>

struct config;
struct control;
struct dispatcher;
struct error;
struct event_base;
struct mailbox;
struct resolver;
struct spool;

struct control_options {
    struct event_base *base;
    struct mailbox *mailbox;
    struct spool *spool;
    struct resolver *resolver;
    struct dispatcher *dispatcher;
    const struct config *config; /* control keeps a reference */
};

/* Listens on runtime-directory/control.sock. */
struct control *control_start(const struct control_options *options, struct error *err);
/* A changed runtime-directory takes effect at the next start. */
void control_reload(struct control *control, const struct config *config);
/* Stops listening; connections end with the spool's next answer, once their clients have read it. */
void control_stop(struct control *control);
/* After control_stop: clients that do not read are left without the rest. */
void control_hang_up(struct control *control);
/* No connection is left: control_free may follow. */
bool control_is_idle(const struct control *control);
void control_free(struct control *control);
