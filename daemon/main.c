/* outboxd(8): reads the command line, prepares the process, runs the server. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "error.h"
#include "log.h"
#include "server.h"

static const char usage_text[] =
    "usage: outboxd -c FILE [--check]\n"
    "  -c, --config FILE  the configuration (outbox.conf(5)); default $OUTBOX_CONFIG,\n"
    "                     else /etc/outbox/outbox.conf\n"
    "      --check        read it, print every error as FILE:LINE, exit 0 or 78\n"
    "      --version      print the version\n"
    "      --help         print this\n";

struct arguments {
    const char *config_path;
    bool is_check;
};

enum parsed { PARSED_RUN, PARSED_DONE, PARSED_WRONG };

static enum parsed parse_arguments(int argc, char **argv, struct arguments *ret_arguments)
{
    static const struct option options[] = {
        {"config",   required_argument, NULL, 'c'},
        { "check",   no_argument,       NULL, 'k'},
        { "version", no_argument,       NULL, 'v'},
        { "help",    no_argument,       NULL, 'h'},
        { NULL,      0,                 NULL, 0  },
    };
    const char *from_environment = getenv("OUTBOX_CONFIG");
    int option;

    ret_arguments->config_path =
        from_environment != NULL ? from_environment : "/etc/outbox/outbox.conf";
    while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            ret_arguments->config_path = optarg;
            break;
        case 'k':
            ret_arguments->is_check = true;
            break;
        case 'v':
            (void)puts("outboxd " OUTBOX_VERSION);
            return PARSED_DONE;
        case 'h':
            (void)fputs(usage_text, stdout);
            return PARSED_DONE;
        default:
            (void)fputs(usage_text, stderr);
            return PARSED_WRONG;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "outboxd: unexpected argument: %s\n%s", argv[optind], usage_text);
        return PARSED_WRONG;
    }
    return PARSED_RUN;
}

static void report_to_stderr(const char *text, bool is_warning, void *ctx)
{
    (void)ctx;
    (void)fprintf(stderr, "%s%s\n", text, is_warning ? " (warning)" : "");
}

/* Root is given up before anything is opened, groups first. */
static bool become_user(const struct config *config, struct error *err)
{
    if (geteuid() != 0 || config->user == NULL)
        return true;
    errno = 0;
    const struct passwd *user = getpwnam(config->user);
    if (user == NULL)
        return fail(err, ERROR_CONFIG, "%s: user %s does not exist", config->path, config->user);
    if (initgroups(config->user, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0)
        return fail(err, ERROR_CONFIG, "change to user %s: %s", config->user, strerror(errno));
    return true;
}

/* No core files with passwords in them, no death by a vanished peer or a file size limit, all descriptors. */
static void prepare_process(void)
{
    static const struct rlimit none = { 0, 0 };
    struct rlimit files;

    (void)umask(0077);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* its leak check needs to look at the process */
    (void)prctl(PR_SET_DUMPABLE, 0);
#endif
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int run(const struct config *config)
{
    struct error err;

    if (!become_user(config, &err)) {
        (void)fprintf(stderr, "outboxd: %s\n", err.text);
        return EXIT_STATUS_CONFIG;
    }
    prepare_process();
    if (!log_start(STDERR_FILENO, LOG_LEVEL_INFO, &err)) {
        (void)fprintf(stderr, "outboxd: %s\n", err.text);
        return EXIT_STATUS_START;
    }
    if (geteuid() == 0)
        log_line(LOG_LEVEL_WARNING, "start",
                 "running as root: set user = \"...\" in %s to give that up", config->path);
    int status = server_run(config);
    log_stop();
    return status;
}

int main(int argc, char **argv)
{
    struct arguments arguments = { 0 };

    switch (parse_arguments(argc, argv, &arguments)) {
    case PARSED_DONE:
        return EXIT_STATUS_OK;
    case PARSED_WRONG:
        return EXIT_STATUS_USAGE;
    case PARSED_RUN:
        break;
    }
    struct config *config = config_load(arguments.config_path, report_to_stderr, NULL);
    if (config == NULL)
        return EXIT_STATUS_CONFIG;
    int status = EXIT_STATUS_OK;
    if (arguments.is_check)
        (void)printf("%s: ok\n", arguments.config_path);
    else
        status = run(config);
    config_unref(config);
    return status;
}
