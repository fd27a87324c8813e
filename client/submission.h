/* SMTP towards submit.sock (DESIGN 2.3), blocking: what sendmail(1) says to the daemon. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "message_input.h"

struct error;
struct submission;

enum submission_fate {
    FATE_PENDING,
    FATE_ACCEPTED,
    FATE_REFUSED,  /* 5xx */
    FATE_DEFERRED, /* 4xx */
};

struct submission_recipient {
    char *address; /* as address_parse left it */
    enum submission_fate fate;
    char *reply; /* what was said if it was not accepted, escaped; NULL */
};

struct submission_message {
    const char *sender; /* "" is the null sender */
    bool needs_smtputf8;
    struct submission_recipient *recipients;
    size_t recipient_count;
    const char *extra_header; /* fields with CRLF to put on top; "" */
    const struct message_input *input;
    size_t input_start;    /* where the header begins in input */
    size_t header_len;     /* from there */
    bool needs_empty_line; /* between header and body */
};

/* Takes fd (which may be closed at any time from then on). Reads the greeting and says EHLO. ret_status is for the
   exit: EX_TEMPFAIL unless the daemon said otherwise. */
struct submission *submission_open(int fd, int *ret_status, struct error *err);
/* Says QUIT without waiting for what comes of it. NULL is fine. */
void submission_close(struct submission *submission);

/* What the daemon makes of an address without domain (VRFY, RFC 5321 3.5.1). Returns, caller frees; NULL when it does
   not say. */
char *submission_complete_address(struct submission *submission, const char *address);

/* MAIL and RCPT only; afterwards nothing is pending at the daemon. Returns an exit status of sysexits.h. */
int submission_verify(struct submission *submission, struct submission_message *message,
                      struct error *err);
/* The whole message; every recipient's fate is known afterwards, except when the connection died (EX_TEMPFAIL).
   Recipients that the daemon would not take in the same transaction go in a further one. Returns EX_OK when it is
   durable for at least one recipient; ret_reply is then the daemon's last reply (caller frees). */
int submission_send(struct submission *submission, struct submission_message *message,
                    char **ret_reply, struct error *err);

/* Doubles the dot that begins a line (RFC 5321 4.5.2). at_line_start: true at the start of the data, kept between
   calls. Returned for tests. */
void submission_stuff_dots(struct strbuf *out, const char *bytes, size_t len, bool *at_line_start);
