/* Clients of the intake under test, on its own event loop. */
#include "intake_client.h"

#include <stdarg.h>
#include <setjmp.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "glob.h"
#include "xalloc.h"

#include "clock.h"

#include "intake_fixture.h"

void client_open(struct client *client, struct fixture *fixture)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    *client = (struct client){ .fixture = fixture };
    strbuf_init(&client->received);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.60s/run/submit.sock",
                   fixture->directory);
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(client->fd >= 0);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof address), 0);
}

static size_t count_lines(const char *text, size_t len)
{
    size_t count = 0;

    for (size_t i = 0; i < len; i++)
        if (text[i] == '\n')
            count++;
    return count;
}

static void receive(struct client *client)
{
    char bytes[4096];

    while (!client->is_closed) {
        ssize_t n = read(client->fd, bytes, sizeof bytes);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            client->is_closed = true;
            return;
        }
        strbuf_append(&client->received, bytes, (size_t)n);
        client->line_count += count_lines(bytes, (size_t)n);
    }
}

static size_t try_send(struct client *client, const char *bytes, size_t len)
{
    ssize_t n = send(client->fd, bytes, len, MSG_NOSIGNAL);

    if (n >= 0)
        return (size_t)n;
    if (errno != EAGAIN)
        client->is_closed = true;
    return 0;
}

void client_send(struct client *client, const char *bytes, size_t len)
{
    int64_t deadline_ms = clock_monotonic_ms() + FIXTURE_PATIENCE_MS;

    while (len > 0 && !client->is_closed) {
        size_t n = try_send(client, bytes, len);
        bytes += n;
        len -= n;
        receive(client);
        if (n == 0 && !client->is_closed)
            fixture_step(client->fixture, deadline_ms);
    }
}

void client_send_text(struct client *client, const char *text)
{
    client_send(client, text, strlen(text));
}

void client_send_bytewise(struct client *client, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        client_send(client, bytes + i, 1);
        fixture_run(client->fixture);
    }
}

size_t client_send_until_blocked(struct client *client, const char *bytes, size_t len)
{
    size_t sent = 0;

    for (unsigned idle = 0; sent < len && idle < 50;) {
        size_t n = try_send(client, bytes + sent, len - sent);
        sent += n;
        idle = n > 0 ? 0 : idle + 1;
        fixture_run(client->fixture);
    }
    return sent;
}

void client_await_lines(struct client *client, size_t count)
{
    int64_t deadline_ms = clock_monotonic_ms() + FIXTURE_PATIENCE_MS;

    receive(client);
    while (!client->is_closed && client->line_count < count) {
        fixture_step(client->fixture, deadline_ms);
        receive(client);
    }
}

void client_await_close(struct client *client)
{
    client_await_lines(client, SIZE_MAX);
}

void client_expect(struct client *client, const char *patterns)
{
    const char *line = client->received.data;
    const char *pattern = patterns;

    while (*line != '\0' || *pattern != '\0') {
        size_t pattern_len = strcspn(pattern, "\n");
        size_t line_len = strcspn(line, "\r");
        AUTO_FREE char *one_pattern = xstrndup(pattern, pattern_len);
        AUTO_FREE char *one_line = xstrndup(line, line_len);
        if (!glob_matches(one_pattern, one_line) || strncmp(line + line_len, "\r\n", 2) != 0)
            fail_msg("expected \"%s\", heard \"%s\"", one_pattern, one_line);
        line += line_len + 2;
        pattern += pattern_len;
        if (*pattern == '\n')
            pattern++;
    }
    strbuf_clear(&client->received);
    client->line_count = 0;
}

void client_await(struct client *client, const char *patterns)
{
    size_t len = strlen(patterns);
    bool is_last_open = len > 0 && patterns[len - 1] != '\n';

    client_await_lines(client, count_lines(patterns, len) + (is_last_open ? 1 : 0));
    client_expect(client, patterns);
}

void client_shutdown_write(struct client *client)
{
    (void)shutdown(client->fd, SHUT_WR);
}

void client_close(struct client *client)
{
    (void)close(client->fd);
    strbuf_done(&client->received);
}

void client_exchange(struct fixture *fixture, const char *input)
{
    struct client client;

    client_open(&client, fixture);
    client_send_text(&client, input);
    client_send_text(&client, QUIT);
    client_await_close(&client);
    client_close(&client);
}

void append_lines(struct strbuf *buf, size_t len)
{
    for (size_t line = 0; buf->len < len; line++)
        strbuf_append_format(buf, "line %zu of many that all differ\r\n", line);
}
