/* What the commands of outbox(1) share: the table they stand in, asking the daemon, showing. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control_client;
struct error;

struct cli {
    const char *config_file; /* -c; NULL */
};

/* One row per command; argv[0] is its name. Returns the exit status. */
struct cli_command {
    const char *name;
    const char *arguments; /* for the usage line */
    const char *help;      /* one line */
    int (*run)(struct cli *cli, const struct cli_command *command, int argc, char **argv);
};

/* Ends with a NULL name. */
extern const struct cli_command cli_commands[];
/* Of later versions: refused with a sentence of their own. Ends with NULL. */
extern const char *const cli_later_commands[];

int cli_list(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int cli_show(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int cli_why(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int cli_log(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int cli_change(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int cli_status(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int cli_smarthost(struct cli *cli, const struct cli_command *command, int argc, char **argv);
int cli_classify(struct cli *cli, const struct cli_command *command, int argc, char **argv);

/* "outbox: ..." on stderr; text may hold bytes of the caller's, which are escaped. */
__attribute__((format(printf, 1, 2))) void cli_complain(const char *fmt, ...);
/* Complains, prints the usage line, returns EX_USAGE. */
int cli_usage(const struct cli_command *command, const char *complaint);

/* Connects; NULL after complaining, with the exit status. */
struct control_client *cli_connect(const struct cli *cli, int *ret_status);
/* Each answer but the last; false stops reading (the status is then EX_IOERR). */
typedef bool cli_answer_fn(struct control_client *client, const json_t *answer, void *ctx);
/* Sends request (which it releases), hands the answers on, complains about a refusal, returns the status. ret_last, if
   not NULL, receives the last answer (caller releases; NULL when there was none). */
int cli_ask_on(struct control_client *client, json_t *request, cli_answer_fn *on_answer, void *ctx,
               json_t **ret_last);
/* The same over a connection of its own. */
int cli_ask(const struct cli *cli, json_t *request, cli_answer_fn *on_answer, void *ctx,
            json_t **ret_last);

/* {"command": name, "filter": [terms...]}; caller releases. */
json_t *cli_request(const char *name);
void cli_request_filter(json_t *request, char *const *terms, int count);
/* One line on stdout; false when it cannot be written. */
bool cli_print_json(const json_t *value);

/* The text of a key; "" when absent or null. */
const char *cli_text(const json_t *object, const char *key);
int64_t cli_number(const json_t *object, const char *key);
/* "5m ago", "in 2h"; "" for "". */
void cli_format_relative(char ret_text[48], const char *rfc3339, int64_t now_s);
/* "250 2.0.0 text", as far as present in object's code, enhanced and reply; caller frees. */
char *cli_reply_text(const json_t *object);
bool cli_may_colour(void);
