/* The message on sendmail's standard input, read to its end before anything is sent: a caller that takes hours (cron
   with a slow job) must not hold a session of the daemon, and one that dies must leave nothing.
   Line ends CR, LF and CRLF all become CRLF. What exceeds the memory limit lies in a temporary file without a name. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "strbuf.h"

struct error;

enum {
    MESSAGE_INPUT_MEMORY = 1024 * 1024,
    MESSAGE_INPUT_HEADER_MAX = 256 * 1024, /* the whole header lies in memory */
};

struct message_input {
    struct strbuf head; /* the first bytes, at most about MESSAGE_INPUT_MEMORY */
    int rest_fd;        /* what follows; -1: nothing does */
    int64_t size_bytes; /* of both */
    bool is_8bit;
};

/* Reads fd to its end, or to a line that is a single dot. False leaves nothing: ERROR_PROTOCOL the message is too
   large or empty of meaning, ERROR_IO it cannot be read or kept. */
bool message_input_read(int fd, bool ends_at_dot, int64_t size_max_bytes,
                        struct message_input *ret_input, struct error *err);
void message_input_done(struct message_input *input);

/* Gives the bytes from offset on, piece by piece; false when sink did, or the temporary file cannot be read. */
typedef bool message_input_sink_fn(const char *bytes, size_t len, void *ctx);
bool message_input_replay(const struct message_input *input, size_t offset,
                          message_input_sink_fn *sink, void *ctx);
