/* Lines of JSON over a socket, with the blocking calls of stdio. */
#include "control_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "locate.h"
#include "xalloc.h"

struct control_client {
    FILE *stream; /* to read only: stdio cannot turn a socket around while input is buffered */
    char *line;   /* of getline */
    size_t line_size;
};

struct control_client *control_client_new(const struct location *location, struct error *err)
{
    int fd = location_connect(location, "control.sock", err);

    if (fd < 0)
        return NULL;
    FILE *stream = fdopen(fd, "r");
    if (stream == NULL) {
        (void)fail(err, ERROR_BUSY, "speak to outboxd: %s", strerror(errno));
        (void)close(fd);
        return NULL;
    }
    struct control_client *client = NEW(struct control_client);
    client->stream = stream;
    return client;
}

void control_client_free(struct control_client *client)
{
    if (client == NULL)
        return;
    (void)fclose(client->stream);
    free(client->line);
    free(client);
}

bool control_client_send(struct control_client *client, const json_t *request, struct error *err)
{
    AUTO_FREE char *text = json_dumps(request, JSON_COMPACT);

    if (text == NULL)
        return fail(err, ERROR_USAGE, "an argument is not valid UTF-8");
    AUTO_FREE char *line = xasprintf("%s\n", text);
    for (size_t sent = 0; sent < strlen(line);) {
        ssize_t n = send(fileno(client->stream), line + sent, strlen(line) - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return fail(err, ERROR_BUSY, "speak to outboxd: %s", strerror(errno));
        sent += n > 0 ? (size_t)n : 0;
    }
    return true;
}

bool control_client_next(struct control_client *client, json_t **ret_answer, struct error *err)
{
    json_error_t parse_error;
    ssize_t len = getline(&client->line, &client->line_size, client->stream);

    if (len <= 0)
        return fail(err, ERROR_BUSY, "outboxd ended the connection");
    json_t *answer = json_loadb(client->line, (size_t)len, 0, &parse_error);
    if (!json_is_object(answer)) {
        json_decref(answer);
        return fail(err, ERROR_PROTOCOL, "what listens at control.sock is not outboxd");
    }
    *ret_answer = answer;
    return true;
}

bool control_client_copy(struct control_client *client, int64_t count, FILE *out, struct error *err)
{
    char piece[16384];

    while (count > 0) {
        size_t wanted = count < (int64_t)sizeof piece ? (size_t)count : sizeof piece;
        size_t got = fread(piece, 1, wanted, client->stream);
        if (got == 0)
            return fail(err, ERROR_BUSY, "outboxd ended the connection");
        if (fwrite(piece, 1, got, out) != got)
            return fail(err, ERROR_IO, "write: %s", strerror(errno));
        count -= (int64_t)got;
    }
    return true;
}
