/* The running daemon: makes every part in order of dependence, joins them, and takes them down in reverse. */
#pragma once

struct config;

enum {
    EXIT_STATUS_OK = 0,
    EXIT_STATUS_USAGE = 64,     /* EX_USAGE */
    EXIT_STATUS_TEMPORARY = 75, /* EX_TEMPFAIL: start again, the spool decides what is true */
    EXIT_STATUS_CONFIG = 78,    /* EX_CONFIG */
    EXIT_STATUS_START = 71,     /* EX_OSERR: a directory, socket or spool cannot be used */
};

/* Runs until SIGTERM or SIGINT; SIGHUP loads the configuration again. Borrows config. Returns the exit status. */
int server_run(const struct config *config);
