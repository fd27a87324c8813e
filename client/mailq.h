/* sendmail -bp and -q over control.sock. The daemon makes the text (command "mailq"), so that sendmail(1) starts
   without a JSON library: an answer is {"raw_bytes": N} and N bytes, or the line with "status". */
#pragma once
#include <stdbool.h>
#include <stdio.h>

struct error;

/* Each takes fd, a connection to control.sock, and returns an exit status. */
int mailq_list(int fd, FILE *out, struct error *err);
/* id NULL: all that the caller may retry. */
int mailq_retry(int fd, const char *id, struct error *err);
