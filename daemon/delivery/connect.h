/* A TCP connection to one of several addresses, tried in order. Belongs to the thread of its base. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "verdict.h"

struct connector;
struct event_base;
struct resolver_address;

enum { CONNECT_TEXT_SIZE = 300, CONNECT_ADDRESS_SIZE = 64 };

struct connect_result {
    int fd; /* non-blocking, TCP_NODELAY, the callee's; -1: none of the addresses answered */
    bool is_loopback;
    char address[CONNECT_ADDRESS_SIZE]; /* of the connection, or the last one tried: "192.0.2.1" */
    enum trouble trouble;               /* without a connection: of the last address, and why */
    char text[CONNECT_TEXT_SIZE];
};
/* Runs once, from the loop, never from within connector_start. */
typedef void connect_done_fn(const struct connect_result *result, void *ctx);

/* Copies the addresses (count >= 1). timeout_ms is for each of them. */
struct connector *connector_start(struct event_base *base, const struct resolver_address *addresses,
                                  size_t count, unsigned timeout_ms, connect_done_fn *done,
                                  void *ctx);
/* At any time, except from within done. done will not run any more. */
void connector_free(struct connector *connector);

bool connect_is_loopback(const struct resolver_address *address);
