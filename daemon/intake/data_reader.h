/* Reads what follows 354 up to CR LF . CR LF: removes stuffed dots and watches the rules. Pure and incremental: however
   the input is cut into pieces, the result is the same.

   Only CR LF ends a line. A bare CR or LF is never taken for one, so what it hides (SMTP smuggling) stays inside the
   message, and the message is refused. After a violation the rest is read and thrown away up to the end. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct refusal;
struct strbuf;

enum { DATA_LINE_MAX = 998 }; /* bytes before CR LF (RFC 5322 2.1.1), the stuffed dot not counted */

enum data_state {
    DATA_LINE_START,
    DATA_IN_LINE,
    DATA_CR,     /* behind a CR */
    DATA_DOT,    /* behind a dot that began the line */
    DATA_DOT_CR, /* behind such a dot and a CR */
    DATA_END,
    DATA_STATE_COUNT
};

enum data_fault {
    DATA_FAULT_NONE,
    DATA_FAULT_BARE_CR,
    DATA_FAULT_BARE_LF,
    DATA_FAULT_NUL,
    DATA_FAULT_LONG_LINE,
    DATA_FAULT_TOO_LARGE,
    DATA_FAULT_COUNT
};

struct data_reader {
    enum data_state state;
    enum data_fault fault; /* the first one */
    uint64_t line;         /* from 1; where the fault is, once there is one */
    size_t line_len;
    int64_t size_bytes; /* of the message so far, CR LF line ends, no stuffed dots */
    int64_t size_max_bytes;
    bool is_8bit; /* a byte above 127 was read; the caller may clear it */
};

void data_reader_init(struct data_reader *reader, int64_t size_max_bytes);
/* Returns how many bytes were used: all of them, unless the end was reached. Message bytes are appended to out as long
   as there is no fault. */
size_t data_reader_feed(struct data_reader *reader, const char *bytes, size_t len,
                        struct strbuf *out);
static inline bool data_reader_is_end(const struct data_reader *reader)
{
    return reader->state == DATA_END;
}
/* The reply that the fault deserves; false when there is a fault. */
bool data_reader_check(const struct data_reader *reader, struct refusal *refusal);
