/* Where a bench program listens or connects: "unix:PATH" or "ADDRESS:PORT" (IPv4; port 0: the kernel chooses). */
#pragma once
#include <stdbool.h>
#include <sys/socket.h>

struct error;

struct endpoint {
    struct sockaddr_storage address;
    socklen_t address_len;
};

bool endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct error *err);
/* A non-blocking listening socket; a stale Unix socket in the way is removed. Prints "listening on WHERE" on
   standard output, which is how the caller learns the port and that it may connect. */
bool endpoint_listen(const struct endpoint *endpoint, int *ret_fd, struct error *err);
/* A non-blocking socket that is connected or on its way. -1 with errno: EAGAIN is a full Unix backlog. */
int endpoint_connect(const struct endpoint *endpoint);
/* No waiting for fuller segments: a message in several small ones costs 40 ms each otherwise. Harmless on Unix
   sockets. */
void endpoint_send_at_once(int fd);
