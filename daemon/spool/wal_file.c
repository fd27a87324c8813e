/* A layer between SQLite and its default file system, for the log alone. Nothing is reordered, and nothing that was
   written is ever missing from what SQLite reads, measures or syncs. Runs on the thread that uses the connection. */
#include "wal_file.h"

#include <string.h>

#include "invariant.h"
#include "xalloc.h"

enum {
    BLOCK_BYTES = 4096,
    /* Whole blocks, and less than 128 KiB: the unix VFS takes no more in one call, as SQLite writes a page at most, and
       says "full" to the rest. */
    BUFFER_BYTES = 31 * BLOCK_BYTES,
    STEP_BYTES = 1024 * 1024, /* takes a few milliseconds */
    NOWHERE = -1,
};

struct wal_file {
    sqlite3_file base;
    sqlite3_file *lower; /* stands behind this struct */
    unsigned char *buffer;
    int64_t start; /* of the buffer, in the file */
    int len;       /* written by SQLite, not yet below */
    int64_t
        begin;   /* of what was written since the last sync: a transaction; NOWHERE: nothing was */
    int failure; /* SQLITE_OK, or why something was lost between begin and the end */
};

static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *lower;
} layer;

static struct wal_file *wal(sqlite3_file *file)
{
    return (struct wal_file *)file;
}

static sqlite3_file *lower(sqlite3_file *file)
{
    return wal(file)->lower;
}

/* A failure is reported by the call in whose course it happens, mostly the sync: SQLite rolls back as if that page's
   write had failed. The bytes are forgotten, for they must not reach the file behind those of a later transaction. */
static int flush(struct wal_file *file)
{
    int len = file->len;

    if (len == 0)
        return SQLITE_OK;
    file->len = 0;
    file->failure = file->lower->pMethods->xWrite(file->lower, file->buffer, len, file->start);
    return file->failure;
}

/* After a loss nothing may be added to the transaction that it belongs to: a commit behind a hole would be gone at the
   next start, because recovery ends at the first frame whose checksum is wrong. The next transaction begins at the same
   place, or at the beginning of the file when the log starts anew, and covers the hole. SQLite rewrites pages of the
   current transaction in place, but never from its very first byte while writes fail. */
static bool is_in_lost_transaction(const struct wal_file *file, int64_t offset)
{
    return file->failure != SQLITE_OK && offset > file->begin;
}

static int write_file(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 offset)
{
    struct wal_file *file = wal(base);
    int rc = SQLITE_OK;

    if (is_in_lost_transaction(file, offset))
        return file->failure;
    file->failure = SQLITE_OK;
    if (file->begin == NOWHERE || offset < file->begin)
        file->begin = offset;
    if (offset != file->start + file->len || len > BUFFER_BYTES - file->len)
        rc = flush(file);
    if (rc == SQLITE_OK && len > BUFFER_BYTES) {
        rc = file->lower->pMethods->xWrite(file->lower, bytes, len, offset);
        file->failure = rc;
        return rc;
    }
    if (rc != SQLITE_OK)
        return rc;
    if (file->len == 0)
        file->start = offset;
    (void)memcpy(file->buffer + file->len, bytes, (size_t)len);
    file->len += len;
    return SQLITE_OK;
}

static int read_file(sqlite3_file *base, void *bytes, int len, sqlite3_int64 offset)
{
    struct wal_file *file = wal(base);
    int64_t end = file->start + file->len;

    if (is_in_lost_transaction(file, offset + len))
        return SQLITE_IOERR_READ;
    /* SQLite reads the pages that it wrote, one at a time. A read that fails does not end a transaction as a write does,
       so it should not be the first to learn that the disk is full. */
    if (offset >= file->start && offset + len <= end) {
        (void)memcpy(bytes, file->buffer + (offset - file->start), (size_t)len);
        return SQLITE_OK;
    }
    if (offset + len > file->start) {
        int rc = flush(file);
        if (rc != SQLITE_OK)
            return rc;
    }
    return file->lower->pMethods->xRead(file->lower, bytes, len, offset);
}

static int sync_file(sqlite3_file *base, int flags)
{
    struct wal_file *file = wal(base);
    int rc = flush(file);

    if (rc == SQLITE_OK)
        rc = file->lower->pMethods->xSync(file->lower, flags);
    /* After a loss this is a checkpoint's sync of what was committed before: that of a commit follows a write, which
       has failed. */
    if (rc == SQLITE_OK && file->failure == SQLITE_OK)
        file->begin = NOWHERE;
    return rc;
}

static int truncate_file(sqlite3_file *base, sqlite3_int64 size)
{
    int rc = flush(wal(base));

    return rc != SQLITE_OK ? rc : lower(base)->pMethods->xTruncate(lower(base), size);
}

static int size_file(sqlite3_file *base, sqlite3_int64 *size)
{
    int rc = flush(wal(base));

    return rc != SQLITE_OK ? rc : lower(base)->pMethods->xFileSize(lower(base), size);
}

static int control_file(sqlite3_file *base, int operation, void *arg)
{
    /* Asked for after a failure: not to be spoiled by another one. */
    int rc = operation == SQLITE_FCNTL_LAST_ERRNO ? SQLITE_OK : flush(wal(base));

    return rc != SQLITE_OK ? rc : lower(base)->pMethods->xFileControl(lower(base), operation, arg);
}

static int close_file(sqlite3_file *base)
{
    int flushed = flush(wal(base));
    int closed = lower(base)->pMethods->xClose(lower(base));

    free(wal(base)->buffer);
    base->pMethods = NULL;
    return flushed != SQLITE_OK ? flushed : closed;
}

/* --- What has nothing to do with content --- */

static int lock_file(sqlite3_file *base, int level)
{
    return lower(base)->pMethods->xLock(lower(base), level);
}

static int unlock_file(sqlite3_file *base, int level)
{
    return lower(base)->pMethods->xUnlock(lower(base), level);
}

static int check_lock(sqlite3_file *base, int *is_reserved)
{
    return lower(base)->pMethods->xCheckReservedLock(lower(base), is_reserved);
}

static int sector_size(sqlite3_file *base)
{
    return lower(base)->pMethods->xSectorSize(lower(base));
}

static int characteristics(sqlite3_file *base)
{
    return lower(base)->pMethods->xDeviceCharacteristics(lower(base));
}

/* Version 1: shared memory and mmap belong to the database file. */
static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = size_file,
    .xLock = lock_file,
    .xUnlock = unlock_file,
    .xCheckReservedLock = check_lock,
    .xFileControl = control_file,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
};

/* --- The layer --- */

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                     int *ret_flags)
{
    struct wal_file *file = wal(base);

    (void)vfs;
    if ((flags & SQLITE_OPEN_WAL) == 0)
        return layer.lower->xOpen(layer.lower, name, base, flags, ret_flags);
    *file = (struct wal_file){ .lower = (sqlite3_file *)(file + 1), .begin = NOWHERE };
    file->lower->pMethods = NULL;
    int rc = layer.lower->xOpen(layer.lower, name, file->lower, flags, ret_flags);
    if (rc != SQLITE_OK) {
        if (file->lower->pMethods != NULL) /* then it is open all the same */
            (void)file->lower->pMethods->xClose(file->lower);
        return rc;
    }
    /* Without this promise SQLite pads a commit to a sector and syncs within a page, which is more than is_in_lost_
       transaction() knows of. Debian's SQLite makes it. */
    if ((file->lower->pMethods->xDeviceCharacteristics(file->lower) &
         SQLITE_IOCAP_POWERSAFE_OVERWRITE) == 0) {
        sqlite3_log(SQLITE_CANTOPEN, "SQLite was built without SQLITE_POWERSAFE_OVERWRITE");
        (void)file->lower->pMethods->xClose(file->lower);
        return SQLITE_CANTOPEN;
    }
    file->buffer = xcalloc(1, BUFFER_BYTES);
    file->base.pMethods = &methods;
    return SQLITE_OK;
}

const char *wal_file_vfs(void)
{
    if (layer.lower != NULL)
        return layer.vfs.zName;
    layer.lower = sqlite3_vfs_find(NULL);
    MUST(layer.lower != NULL);
    /* The other functions of the unix VFS find their own in pAppData, if they look at the VFS at all. */
    layer.vfs = *layer.lower;
    layer.vfs.zName = "outbox";
    layer.vfs.szOsFile = (int)sizeof(struct wal_file) + layer.lower->szOsFile;
    layer.vfs.xOpen = open_file;
    MUST(sqlite3_vfs_register(&layer.vfs, 0) == SQLITE_OK);
    return layer.vfs.zName;
}

/* Recovery never takes these zeroes for pages, nor what an earlier use of the log has left behind its end: a frame counts
   only with the two salts of the header, which change each time the log starts anew, and with a checksum over all frames
   before it; and a header of zeroes lacks the magic number (https://www.sqlite.org/fileformat2.html#walformat). */
int wal_file_extend(sqlite3_file *log, int64_t size_bytes, bool *ret_is_done)
{
    MUST(log->pMethods == &methods);
    struct wal_file *file = wal(log);
    sqlite3_int64 at = 0;
    int rc = size_file(log, &at);

    if (rc != SQLITE_OK)
        return rc;
    /* If these cannot be written, that concerns no block that holds a commit. */
    at = (at + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    int64_t end = size_bytes - at < STEP_BYTES ? size_bytes : at + STEP_BYTES;
    *ret_is_done = end >= size_bytes;
    if (at >= end)
        return SQLITE_OK;
    (void)memset(file->buffer, 0, BUFFER_BYTES); /* just flushed */
    while (rc == SQLITE_OK && at < end) {
        int len = end - at < BUFFER_BYTES ? (int)(end - at) : BUFFER_BYTES;
        rc = file->lower->pMethods->xWrite(file->lower, file->buffer, len, at);
        at += len;
    }
    return rc != SQLITE_OK ? rc : file->lower->pMethods->xSync(file->lower, SQLITE_SYNC_NORMAL);
}
