/* What is wrong with a configuration: collected while it is read, so that one run shows everything. */
#pragma once
#include "config.h"

struct complaints {
    const char *path; /* as the file was named */
    config_report_fn *report;
    void *ctx;
    unsigned error_count;
};

/* "FILE:LINE: ...", escaped, for the words may quote the file. */
__attribute__((format(printf, 3, 4))) void complain(struct complaints *complaints, unsigned line,
                                                    const char *fmt, ...);
/* The same for what does not keep the daemon from starting. */
__attribute__((format(printf, 3, 4))) void complain_mildly(struct complaints *complaints,
                                                           unsigned line, const char *fmt, ...);
