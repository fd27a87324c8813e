/* Immutable bytes that several threads may hold at once (a piece of a message body).
   The count is atomic, so it may be referenced and released on any thread. */
#pragma once
#include <stddef.h>

struct blob;

/* Takes data (from malloc). The caller holds the first reference. */
struct blob *blob_new(char *data, size_t len);
struct blob *blob_copy(const void *data, size_t len);
struct blob *blob_ref(struct blob *blob);
void blob_unref(struct blob *blob); /* NULL is fine */
const char *blob_data(const struct blob *blob);
size_t blob_len(const struct blob *blob);
