/* Addresses and sockets of the bench programs. */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"
#include "units.h"

enum { BACKLOG = 1024, PORT_MAX = 65535 };

static bool parse_unix(const char *path, struct endpoint *ret_endpoint, struct error *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);

    if (len == 0 || len >= sizeof address.sun_path)
        return fail(err, ERROR_USAGE, "a socket path has 1 to %zu bytes",
                    sizeof address.sun_path - 1);
    (void)memcpy(address.sun_path, path, len);
    (void)memcpy(&ret_endpoint->address, &address, sizeof address);
    ret_endpoint->address_len = sizeof address;
    return true;
}

bool endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct error *err)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    int64_t port = 0;

    (void)memset(ret_endpoint, 0, sizeof *ret_endpoint);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, ret_endpoint, err);
    if (colon == NULL || (size_t)(colon - text) >= sizeof host)
        return fail(err, ERROR_USAGE, "neither unix:PATH nor ADDRESS:PORT: %s", text);
    (void)memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        return fail(err, ERROR_USAGE, "not an IPv4 address: %s", host);
    if (!units_parse_count(colon + 1, &port, err))
        return false;
    if (port > PORT_MAX)
        return fail(err, ERROR_USAGE, "a port is at most %d", PORT_MAX);
    address.sin_port = htons((uint16_t)port);
    (void)memcpy(&ret_endpoint->address, &address, sizeof address);
    ret_endpoint->address_len = sizeof address;
    return true;
}

static void announce(int fd)
{
    union {
        struct sockaddr_storage storage;
        struct sockaddr_in in;
        struct sockaddr_un un;
    } address = { 0 };
    socklen_t len = sizeof address.storage;
    char host[INET_ADDRSTRLEN] = "?";

    (void)getsockname(fd, (struct sockaddr *)&address.storage, &len);
    if (address.storage.ss_family == AF_UNIX) {
        (void)printf("listening on unix:%s\n", address.un.sun_path);
    } else {
        (void)inet_ntop(AF_INET, &address.in.sin_addr, host, sizeof host);
        (void)printf("listening on %s:%u\n", host, (unsigned)ntohs(address.in.sin_port));
    }
    (void)fflush(stdout);
}

bool endpoint_listen(const struct endpoint *endpoint, int *ret_fd, struct error *err)
{
    sa_family_t family = endpoint->address.ss_family;
    AUTO_CLOSE int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;

    if (fd < 0)
        return fail(err, ERROR_IO, "socket: %s", strerror(errno));
    if (family == AF_UNIX) {
        struct sockaddr_un address;
        (void)memcpy(&address, &endpoint->address, sizeof address);
        (void)unlink(address.sun_path);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->address_len) != 0)
        return fail(err, ERROR_IO, "bind: %s", strerror(errno));
    if (listen(fd, BACKLOG) != 0)
        return fail(err, ERROR_IO, "listen: %s", strerror(errno));
    announce(fd);
    *ret_fd = fd;
    fd = -1;
    return true;
}

int endpoint_connect(const struct endpoint *endpoint)
{
    int fd = socket(endpoint->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    endpoint_send_at_once(fd);
    if (connect(fd, (const struct sockaddr *)&endpoint->address, endpoint->address_len) == 0 ||
        errno == EINPROGRESS)
        return fd;
    int reason = errno;
    (void)close(fd);
    errno = reason;
    return -1;
}

void endpoint_send_at_once(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}
