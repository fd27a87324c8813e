/* The client's side of control.sock: one request at a time, its answers one by one. The protocol is described in
   daemon/control/control.h. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct control_client;
struct error;
struct location;

/* NULL with ERROR_BUSY when the daemon is away. */
struct control_client *control_client_new(const struct location *location, struct error *err);
void control_client_free(struct control_client *client); /* NULL is fine */

/* Borrows request. */
bool control_client_send(struct control_client *client, const json_t *request, struct error *err);
/* The next answer (caller releases). Has it the key "status", it was the last of this request. */
bool control_client_next(struct control_client *client, json_t **ret_answer, struct error *err);
/* The bytes that an answer with "raw_bytes" announced. */
bool control_client_copy(struct control_client *client, int64_t count, FILE *out,
                         struct error *err);
