/* One row per verb, one function per row. */
#include "commands.h"

#include <string.h>
#include <strings.h>

#include "address.h"
#include "cleanup.h"
#include "error.h"
#include "strbuf.h"
#include "units.h"

#include "config.h"
#include "spool.h"

#include "access.h"
#include "parameters.h"
#include "refusal.h"
#include "dialogue.h"

typedef void command_fn(struct dialogue *dialogue, const char *argument);

/* --- Greeting --- */

/* The name is not looked at: the kernel has said who this is, and Received does not repeat it. */
static bool begin_dialogue(struct dialogue *dialogue, enum dialogue_protocol protocol,
                           const char *argument)
{
    if (*argument == '\0') {
        dialogue_reply_error(dialogue, 501, "5.5.4", "a host name is needed");
        return false;
    }
    dialogue->protocol = protocol;
    dialogue_reset_transaction(dialogue);
    return true;
}

static void run_helo(struct dialogue *dialogue, const char *argument)
{
    if (begin_dialogue(dialogue, PROTOCOL_SMTP, argument))
        dialogue_reply(dialogue, 250, NULL, dialogue->config->hostname, NULL);
}

static unsigned recipients_max(const struct dialogue *dialogue)
{
    unsigned max = dialogue->config->recipients_max;

    return max < SPOOL_RECIPIENTS_MAX ? max : SPOOL_RECIPIENTS_MAX;
}

static void offer_extensions(struct dialogue *dialogue)
{
    const struct config *config = dialogue->config;
    char size[UNITS_TEXT_SIZE];
    char count[UNITS_TEXT_SIZE];

    strbuf_append_texts(&dialogue->connection.output, "250-", config->hostname,
                        "\r\n"
                        "250-PIPELINING\r\n"
                        "250-SIZE ",
                        units_format_count(size, (uint64_t)config->message_size_max_bytes),
                        "\r\n"
                        "250-8BITMIME\r\n"
                        "250-SMTPUTF8\r\n"
                        "250-LIMITS RCPTMAX=",
                        units_format_count(count, recipients_max(dialogue)),
                        "\r\n"
                        "250 ENHANCEDSTATUSCODES\r\n",
                        NULL);
}

static void run_ehlo(struct dialogue *dialogue, const char *argument)
{
    if (begin_dialogue(dialogue, PROTOCOL_ESMTP, argument))
        offer_extensions(dialogue);
}

static void run_lhlo(struct dialogue *dialogue, const char *argument)
{
    if (begin_dialogue(dialogue, PROTOCOL_LMTP, argument))
        offer_extensions(dialogue);
}

/* --- Envelope --- */

/* "FROM:" or "TO:", then a path. Spaces behind the colon are an old habit of many programs. Returns what stands behind
   the path; NULL: there is none, ret_err says why in words that are safe to send. */
static const char *read_path(const char *argument, const char *word, struct address *ret_address,
                             struct error *ret_err)
{
    size_t word_len = strlen(word);
    size_t end = 0;

    if (strncasecmp(argument, word, word_len) != 0) {
        (void)fail(ret_err, ERROR_PROTOCOL, "needs %s<address>", word);
        return NULL;
    }
    argument += word_len;
    argument += strspn(argument, " ");
    if (!address_parse_path(argument, strlen(argument), ret_address, &end, ret_err))
        return NULL;
    if (argument[end] != ' ' && argument[end] != '\0') {
        (void)fail(ret_err, ERROR_PROTOCOL, "a space comes behind the address");
        return NULL;
    }
    return argument + end;
}

static bool check_sender(struct dialogue *dialogue, const char *argument,
                         struct mail_parameters *ret_parameters, struct refusal *refusal)
{
    const struct config *config = dialogue->config;
    struct address address;
    struct error err;
    const char *rest = read_path(argument, "FROM:", &address, &err);

    if (rest == NULL)
        return refuse(refusal, 501, "5.1.7", "%s", err.text);
    if (!parameters_parse_mail(rest, config->message_size_max_bytes, ret_parameters, refusal))
        return false;
    if (!envelope_set_sender(&dialogue->envelope, &address, config->default_domain))
        return refuse(refusal, 501, "5.1.7", "the sender is too long");
    if (access_allows_sender(dialogue->access, dialogue->envelope.sender))
        return true;
    char rule[80];
    access_describe(dialogue->access, rule, sizeof rule);
    return refuse(refusal, 550, "5.7.1", "this sender is not allowed by the access rule for %s",
                  rule);
}

static void run_mail(struct dialogue *dialogue, const char *argument)
{
    struct refusal refusal = { 0 };
    struct mail_parameters parameters;

    if (!check_sender(dialogue, argument, &parameters, &refusal)) {
        envelope_done(&dialogue->envelope);
        dialogue_reply_refusal(dialogue, &refusal);
        dialogue_refuse(dialogue, "mail", &refusal);
        return;
    }
    dialogue->envelope.is_smtputf8 = parameters.is_smtputf8;
    dialogue_move(dialogue, DIALOGUE_MAIL);
    dialogue_reply(dialogue, 250, "2.1.0", "ok", NULL);
}

static bool add_recipient(struct dialogue *dialogue, const char *argument, struct refusal *refusal)
{
    struct address address;
    struct error err;
    const char *rest = read_path(argument, "TO:", &address, &err);

    if (rest == NULL)
        return refuse(refusal, 501, "5.1.3", "%s", err.text);
    if (address.kind == ADDRESS_NULL)
        return refuse(refusal, 501, "5.1.3", "<> is no recipient");
    if (!parameters_parse_rcpt(rest, refusal))
        return false;
    if (dialogue->envelope.accepted_count >= recipients_max(dialogue))
        return refuse(refusal, 452, "4.5.3", "more than %u recipients: send another message",
                      recipients_max(dialogue));
    if (!envelope_add_recipient(&dialogue->envelope, &address, dialogue->config->default_domain))
        return refuse(refusal, 501, "5.1.3", "the recipient is too long");
    return true;
}

static void run_rcpt(struct dialogue *dialogue, const char *argument)
{
    struct refusal refusal = { 0 };

    if (!add_recipient(dialogue, argument, &refusal)) {
        dialogue_reply_refusal(dialogue, &refusal);
        dialogue_refuse(dialogue, "rcpt", &refusal);
        return;
    }
    dialogue_move(dialogue, DIALOGUE_RCPT);
    dialogue_reply(dialogue, 250, "2.1.5", "ok", NULL);
}

static void run_data(struct dialogue *dialogue, const char *argument)
{
    (void)argument;
    dialogue_reply(dialogue, 354, NULL, "end with CR LF . CR LF", NULL);
    dialogue_begin_data(dialogue);
}

static void run_rset(struct dialogue *dialogue, const char *argument)
{
    (void)argument;
    if (dialogue->state != DIALOGUE_HELO)
        dialogue_reset_transaction(dialogue);
    dialogue_reply(dialogue, 250, "2.0.0", "ok", NULL);
}

/* --- The rest --- */

static void run_noop(struct dialogue *dialogue, const char *argument)
{
    (void)argument;
    dialogue_reply(dialogue, 250, "2.0.0", "ok", NULL);
}

/* RFC 5321 3.5.1 and 3.5.3: we know no mailboxes, but how an address without domain is completed. */
static void run_vrfy(struct dialogue *dialogue, const char *argument)
{
    struct address address;
    struct error err;
    AUTO_FREE char *full = NULL;

    if (address_parse(argument, &address, &err) && address.kind != ADDRESS_NULL &&
        !address.needs_smtputf8)
        full = envelope_address(&address, dialogue->config->default_domain);
    if (full != NULL)
        dialogue_reply(dialogue, 252, "2.5.0", "<", full, "> delivery will tell", NULL);
    else
        dialogue_reply(dialogue, 252, "2.5.0", "send it, delivery will tell", NULL);
}

static void run_help(struct dialogue *dialogue, const char *argument)
{
    (void)argument;
    dialogue_reply(dialogue, 214, "2.0.0", "see outboxd(8)", NULL);
}

static void run_quit(struct dialogue *dialogue, const char *argument)
{
    (void)argument;
    dialogue_reply(dialogue, 221, "2.0.0", "bye", NULL);
    dialogue_end(dialogue);
}

static void run_not_offered(struct dialogue *dialogue, const char *argument)
{
    (void)argument;
    dialogue_reply_error(dialogue, 502, "5.5.1", "not offered");
}

/* --- The table --- */

#define IN(state) (1U << DIALOGUE_##state)
#define GREETED   (IN(READY) | IN(MAIL) | IN(RCPT))
#define ANY       (IN(HELO) | GREETED)

enum argument_rule { ARGUMENT_NONE, ARGUMENT_FREE };

static const struct command {
    const char *verb;
    unsigned states; /* in which it is allowed */
    enum argument_rule argument;
    command_fn *run;
    const char *misplaced; /* the reply 503 in other states */
} commands[] = {
    {"HELO",      ANY,                 ARGUMENT_FREE, run_helo,        ""                          },
    { "EHLO",     ANY,                 ARGUMENT_FREE, run_ehlo,        ""                          },
    { "LHLO",     ANY,                 ARGUMENT_FREE, run_lhlo,        ""                          },
    { "MAIL",     IN(READY),           ARGUMENT_FREE, run_mail,        "a transaction is under way"},
    { "RCPT",     IN(MAIL) | IN(RCPT), ARGUMENT_FREE, run_rcpt,        "MAIL comes first"          },
    { "DATA",     IN(RCPT),            ARGUMENT_NONE, run_data,        "no valid recipient"        },
    { "RSET",     ANY,                 ARGUMENT_NONE, run_rset,        ""                          },
    { "NOOP",     ANY,                 ARGUMENT_FREE, run_noop,        ""                          },
    { "VRFY",     ANY,                 ARGUMENT_FREE, run_vrfy,        ""                          },
    { "HELP",     ANY,                 ARGUMENT_FREE, run_help,        ""                          },
    { "QUIT",     ANY,                 ARGUMENT_NONE, run_quit,        ""                          },
    { "EXPN",     ANY,                 ARGUMENT_FREE, run_not_offered, ""                          },
    { "STARTTLS", ANY,                 ARGUMENT_FREE, run_not_offered, ""                          },
    { "AUTH",     ANY,                 ARGUMENT_FREE, run_not_offered, ""                          },
    { "BDAT",     ANY,                 ARGUMENT_FREE, run_not_offered, ""                          },
};

static const struct command *find_command(const char *verb, size_t len)
{
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strncasecmp(commands[i].verb, verb, len) == 0 && commands[i].verb[len] == '\0')
            return &commands[i];
    return NULL;
}

/* Cuts CR LF and spaces before it. Other control bytes never belong into a command (NUL would hide what follows). */
static bool clean_line(struct dialogue *dialogue, char *line, size_t len)
{
    if (len < 2 || line[len - 2] != '\r') {
        dialogue_reply_error(dialogue, 500, "5.5.2", "bare LF: lines end with CR LF");
        return false;
    }
    len -= 2;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)line[i];
        if (c < ' ' || c == 127) {
            dialogue_reply_error(dialogue, 501, "5.5.2", "control byte in the command");
            return false;
        }
    }
    while (len > 0 && line[len - 1] == ' ')
        len--;
    line[len] = '\0';
    return true;
}

void command_run(struct dialogue *dialogue, char *line, size_t len)
{
    if (!clean_line(dialogue, line, len))
        return;
    size_t verb_len = strcspn(line, " ");
    const struct command *command = find_command(line, verb_len);
    const char *argument = line + verb_len;
    argument += strspn(argument, " ");

    if (command == NULL) {
        dialogue_reply_error(dialogue, 500, "5.5.1", "unknown command");
    } else if (command->argument == ARGUMENT_NONE && *argument != '\0') {
        dialogue_reply_error(dialogue, 501, "5.5.4", "no argument is allowed");
    } else if ((command->states & (1U << dialogue->state)) == 0) {
        dialogue_reply_error(dialogue, 503, "5.5.1",
                             dialogue->state == DIALOGUE_HELO ? "EHLO or LHLO comes first"
                                                              : command->misplaced);
    } else {
        command->run(dialogue, argument);
    }
}
