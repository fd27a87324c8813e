/* The two questions that sendmail(1) has for the queue. */
#include "mailq.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "queue_id.h"
#include "xalloc.h"

enum { LINE_MAX_BYTES = 4096 };

static bool read_number(const char *line, const char *key, long *ret_number)
{
    const char *found = strstr(line, key);

    if (found == NULL)
        return false;
    *ret_number = strtol(found + strlen(key), NULL, 10);
    return true;
}

static bool copy_bytes(FILE *in, FILE *out, long count)
{
    char piece[4096];

    while (count > 0) {
        size_t wanted = count < (long)sizeof piece ? (size_t)count : sizeof piece;
        size_t got = fread(piece, 1, wanted, in);
        if (got == 0)
            return false;
        (void)fwrite(piece, 1, got, out);
        count -= (long)got;
    }
    return true;
}

/* What the daemon says of a refusal; the daemon has escaped it, but for JSON. */
static void fail_refused(const char *line, struct error *err)
{
    static const char key[] = "\"error\":\"";
    const char *text = strstr(line, key);
    const char *end = strrchr(line, '"');

    if (text == NULL || end < text + strlen(key))
        (void)fail(err, ERROR_PROTOCOL, "outboxd refuses");
    else
        (void)fail(err, ERROR_PROTOCOL, "%.*s", (int)(end - text - (ptrdiff_t)strlen(key)),
                   text + strlen(key));
}

/* Answers up to the one with the status. */
static int read_answers(FILE *in, FILE *out, struct error *err)
{
    char line[LINE_MAX_BYTES];
    long number = 0;

    while (fgets(line, sizeof line, in) != NULL) {
        if (read_number(line, "\"status\":", &number)) {
            if (number != EX_OK)
                fail_refused(line, err);
            return (int)number;
        }
        if (!read_number(line, "\"raw_bytes\":", &number) || !copy_bytes(in, out, number))
            break;
    }
    (void)fail(err, ERROR_BUSY, "outboxd ended the connection");
    return EX_UNAVAILABLE;
}

static int ask(int fd, const char *request, FILE *out, struct error *err)
{
    FILE *stream = fdopen(fd, "r+");

    if (stream == NULL) {
        (void)close(fd);
        (void)fail(err, ERROR_BUSY, "speak to outboxd: %s", strerror(errno));
        return EX_TEMPFAIL;
    }
    int status = EX_UNAVAILABLE;
    if (fputs(request, stream) == EOF || fflush(stream) != 0)
        (void)fail(err, ERROR_BUSY, "speak to outboxd: %s", strerror(errno));
    else
        status = read_answers(stream, out, err);
    (void)fclose(stream);
    return status;
}

int mailq_list(int fd, FILE *out, struct error *err)
{
    return ask(fd, "{\"command\":\"mailq\"}\n", out, err);
}

int mailq_retry(int fd, const char *id, struct error *err)
{
    if (id == NULL)
        return ask(fd, "{\"command\":\"retry\",\"filter\":[\"state=queued\"]}\n", stdout, err);
    if (!queue_id_is_plausible(id)) { /* and so it needs no quoting below */
        (void)close(fd);
        (void)fail(err, ERROR_USAGE, "-qI: not a queue id");
        return EX_USAGE;
    }
    AUTO_FREE char *request = xasprintf("{\"command\":\"retry\",\"filter\":[\"id=%s\"]}\n", id);
    return ask(fd, request, stdout, err);
}
