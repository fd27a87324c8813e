/* What the commands of the control socket work with: one request of one client. A command starts, answers, asks the
   spool (any number of times, one after the other) and ends. Main thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct connection;
struct connection_host;
struct control_request;
struct filter;
struct spool_request;
struct spool_row;

typedef void control_step_fn(struct control_request *request);

enum control_right { RIGHT_ANYBODY, RIGHT_ADMIN };
enum control_filter { FILTER_NONE, FILTER_OPTIONAL, FILTER_REQUIRED };

/* One row per command. */
struct control_command {
    const char *name;
    enum control_right right;
    enum control_filter filter;
    control_step_fn *start;
};

/* Ends with a NULL name. */
extern const struct control_command control_commands[];

struct control_request {
    struct connection *connection;
    const struct connection_host *host;
    const struct control_command *command;
    const json_t *arguments;
    uid_t uid;
    bool is_admin;
    int64_t now_ms;
    struct filter *filter; /* with FILTER_OPTIONAL and FILTER_REQUIRED; the request's */
    size_t filter_terms;
    void *state; /* the command's own, released with free_state when the request ends */
    void (*free_state)(void *state);
};

/* Whose messages count: SPOOL_ANYBODY for administrators, else the uid. */
int64_t control_scope(const struct control_request *request);
/* Text of an argument, NULL when absent or no text. */
const char *control_argument(const struct control_request *request, const char *key);
/* A number of at least 0; fallback when absent. */
int64_t control_number(const struct control_request *request, const char *key, int64_t fallback);

/* Sends a line; releases answer. */
void control_answer(struct control_request *request, json_t *answer);
/* {"raw_bytes": total}, then bytes in any number of pieces. */
void control_answer_raw(struct control_request *request, int64_t total);
void control_answer_bytes(struct control_request *request, const void *bytes, size_t len);

/* Fills the head of a spool request, which is then to be handed over. answered runs when it came back, unless the client
   has gone by then: so the object must be reachable from state, and free_state frees it. */
void control_expect(struct control_request *request, struct spool_request *question,
                    control_step_fn *answered);
/* Goes on with step when the client has read what it was sent; at once if it has. */
void control_when_drained(struct control_request *request, control_step_fn *step);

/* The request ends; it does not exist afterwards. extra: further keys of the last line (released), or NULL. */
void control_end(struct control_request *request, int status, json_t *extra);
__attribute__((format(printf, 3, 4))) void control_refuse(struct control_request *request,
                                                          int status, const char *fmt, ...);
/* With the status that fits a spool request that is not ok. */
void control_refuse_spool(struct control_request *request, const struct spool_request *question);
/* The bytes announced cannot all come: only the end of the connection tells the client. */
void control_cut(struct control_request *request);

/* Finds the message of the argument "id" and calls found with its rows, which live during the call; ends the request
   with 66 when there is none that the caller may see. Uses state. */
typedef void control_found_fn(struct control_request *request, const struct spool_row *rows,
                              size_t count);
void control_find(struct control_request *request, control_found_fn *found);
/* Gives state back to the command, from within found (rows are gone then). */
void control_state_set(struct control_request *request, void *state, void (*free_state)(void *));

/* Commands, by file. */
void control_list(struct control_request *request);
void control_mailq(struct control_request *request);
void control_show(struct control_request *request);
void control_raw(struct control_request *request);
void control_why(struct control_request *request);
void control_log(struct control_request *request);
void control_change(struct control_request *request);
void control_status(struct control_request *request);
void control_smarthosts(struct control_request *request);
void control_park(struct control_request *request);
