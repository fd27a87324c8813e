/* The verbs of SMTP and LMTP (RFC 5321 4.1, RFC 2033): a table of what each needs and does. Main thread. */
#pragma once
#include <stddef.h>

struct dialogue;

/* line is what came up to and including LF, ended by NUL; it is changed. */
void command_run(struct dialogue *dialogue, char *line, size_t len);
