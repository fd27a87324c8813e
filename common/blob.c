/* Reference-counted immutable bytes. */
#include "blob.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "xalloc.h"

struct blob {
    atomic_uint references;
    size_t len;
    char *data;
};

struct blob *blob_new(char *data, size_t len)
{
    struct blob *blob = NEW(struct blob);

    atomic_init(&blob->references, 1);
    blob->data = data;
    blob->len = len;
    return blob;
}

struct blob *blob_copy(const void *data, size_t len)
{
    char *copy = xcalloc(len + 1, 1);

    if (len > 0)
        (void)memcpy(copy, data, len);
    return blob_new(copy, len);
}

struct blob *blob_ref(struct blob *blob)
{
    (void)atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    return blob;
}

void blob_unref(struct blob *blob)
{
    if (blob == NULL || atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel) != 1)
        return;
    free(blob->data);
    free(blob);
}

const char *blob_data(const struct blob *blob)
{
    return blob->data;
}

size_t blob_len(const struct blob *blob)
{
    return blob->len;
}
