/* The commands of outbox(1). Adding one means a row here, a file, a section in outbox.1 and a test. */
#include "cli.h"

#define CHANGE_ARGUMENTS "FILTER... [--dry-run] [--yes]"

const struct cli_command cli_commands[] = {
    {
     .name = "list",
     .arguments = "[FILTER...] [--limit N] [--json]",
     .help = "show messages; without a filter, those that are not finished",
     .run = cli_list,
     },
    {
     .name = "show",
     .arguments = "ID [--raw] [--json]",
     .help = "show one message, or its bytes",
     .run = cli_show,
     },
    {
     .name = "why",
     .arguments = "ID",
     .help = "explain where a message is and what it waits for",
     .run = cli_why,
     },
    {
     .name = "log",
     .arguments = "[ID] [--follow] [--json]",
     .help = "show what happened",
     .run = cli_log,
     },
    {
     .name = "hold",
     .arguments = CHANGE_ARGUMENTS,
     .help = "stop the delivery of messages",
     .run = cli_change,
     },
    {
     .name = "release",
     .arguments = CHANGE_ARGUMENTS,
     .help = "deliver held messages after all",
     .run = cli_change,
     },
    {
     .name = "retry",
     .arguments = CHANGE_ARGUMENTS,
     .help = "try now, also what has failed or expired",
     .run = cli_change,
     },
    {
     .name = "delete",
     .arguments = CHANGE_ARGUMENTS,
     .help = "cancel what is not delivered yet",
     .run = cli_change,
     },
    {
     .name = "status",
     .arguments = "[--json]",
     .help = "show the state of the queue; the exit status is for monitoring",
     .run = cli_status,
     },
    {
     .name = "smarthost",
     .arguments = "list|park|unpark [NAME] [--json]",
     .help = "show, stop or start smarthosts",
     .run = cli_smarthost,
     },
    {
     .name = "classify",
     .arguments = "[--provider P] [--stage S] [--json] \"550 5.1.1 ...\"",
     .help = "say what a smarthost's reply would mean",
     .run = cli_classify,
     },
    { .name = NULL                                                                     },
};

const char *const cli_later_commands[] = {
    "send", "restore", "route", "wait", "top", "login", "setup", "backup", "fsck", NULL,
};
