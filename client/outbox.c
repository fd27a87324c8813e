/* outbox(1): finds the command in the table and runs it. Each command is a file of its own. */
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "error.h"
#include "suggest.h"

#include "cli.h"

static void print_usage(FILE *out)
{
    (void)fputs("usage: outbox [-c FILE] COMMAND ...\n", out);
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++)
        (void)fprintf(out, "    %-10s %s\n", command->name, command->help);
    (void)fputs("outbox help COMMAND shows its arguments; the manual is outbox(1).\n", out);
}

static const struct cli_command *find_command(const char *name)
{
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

static int refuse_unknown(const char *name)
{
    const char *names[64];
    size_t count = 0;

    for (const char *const *later = cli_later_commands; *later != NULL; later++) {
        if (strcmp(*later, name) == 0) {
            cli_complain("%s: not in this version", name);
            return EX_USAGE;
        }
    }
    for (const struct cli_command *command = cli_commands; command->name != NULL; command++)
        names[count++] = command->name;
    const char *nearest = suggest_nearest(name, names, count);
    if (nearest != NULL)
        cli_complain("%s: no such command; did you mean %s?", name, nearest);
    else
        cli_complain("%s: no such command; outbox help lists them", name);
    return EX_USAGE;
}

/* --names is for the test that compares this table with the manual. */
static int run_help(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--names") == 0) {
        for (const struct cli_command *command = cli_commands; command->name != NULL; command++)
            (void)puts(command->name);
        return EX_OK;
    }
    if (argc < 2) {
        print_usage(stdout);
        return EX_OK;
    }
    const struct cli_command *command = find_command(argv[1]);
    if (command == NULL)
        return refuse_unknown(argv[1]);
    (void)printf("usage: outbox %s %s\n%s\n", command->name, command->arguments, command->help);
    return EX_OK;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"config",   required_argument, NULL, 'c'},
        { "help",    no_argument,       NULL, 'h'},
        { "version", no_argument,       NULL, 'V'},
        { NULL,      0,                 NULL, 0  },
    };
    struct cli cli = { .config_file = NULL };
    int option = 0;

    while ((option = getopt_long(argc, argv, "+c:hV", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            cli.config_file = optarg;
            break;
        case 'h':
            print_usage(stdout);
            return EX_OK;
        case 'V':
            (void)puts("outbox " OUTBOX_VERSION);
            return EX_OK;
        default:
            return EX_USAGE;
        }
    }
    argc -= optind;
    argv += optind;
    if (argc < 1) {
        print_usage(stderr);
        return EX_USAGE;
    }
    if (strcmp(argv[0], "help") == 0)
        return run_help(argc, argv);
    const struct cli_command *command = find_command(argv[0]);
    if (command == NULL)
        return refuse_unknown(argv[0]);
    optind = 0; /* glibc: start over, for the command's own options */
    return command->run(&cli, command, argc, argv);
}

int main(int argc, char **argv)
{
    (void)setlocale(LC_ALL, "");
    int status = run(argc, argv);
    if (fflush(stdout) != 0 && status == EX_OK)
        status = EX_IOERR;
    return status;
}
