/* Forwards everything; io_methods version 1, so that shared memory or mmap would fail loudly. */
#include "fault_vfs.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct faulty_file {
    sqlite3_file base;
    enum fault_file kind;
    sqlite3_file *real; /* behind this struct */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_planned;
    struct fault plan;
    int last_errno; /* of the last call that failed by plan; 0: ask the real one */
    unsigned calls[FAULT_OPERATION_COUNT][FAULT_FILE_COUNT];
    char disk[256]; /* "": of no limited size */
    int64_t disk_bytes;
    bool is_gate_closed;
    bool is_waiting_at_gate;
    sqlite3_vfs *real;
} faults = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* SQLITE_OK: go on. */
static int next(enum fault_operation operation, enum fault_file file)
{
    int code = SQLITE_OK;

    pthread_mutex_lock(&faults.lock);
    faults.calls[operation][file]++;
    faults.last_errno = 0;
    struct fault *plan = &faults.plan;
    if (faults.is_planned && plan->operation == operation && plan->file == file) {
        if (plan->countdown > 0)
            plan->countdown--;
        if (plan->countdown == 0) {
            code = plan->code;
            faults.last_errno = plan->system_errno;
            faults.is_planned = plan->is_sticky;
        }
    }
    while (operation == FAULT_SYNC && file == FAULT_WAL && faults.is_gate_closed) {
        faults.is_waiting_at_gate = true;
        pthread_cond_broadcast(&faults.changed);
        pthread_cond_wait(&faults.changed, &faults.lock);
    }
    faults.is_waiting_at_gate = false;
    pthread_mutex_unlock(&faults.lock);
    return code;
}

int64_t fault_vfs_disk_used(const char *directory)
{
    DIR *entries = opendir(directory);
    struct stat st;
    int64_t bytes = 0;

    if (entries == NULL)
        abort();
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries))
        if (fstatat(dirfd(entries), entry->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            bytes += st.st_size;
    (void)closedir(entries);
    return bytes;
}

static bool is_disk_full(int64_t growth)
{
    bool is_full = false;

    pthread_mutex_lock(&faults.lock);
    if (growth > 0 && faults.disk[0] != '\0')
        is_full = fault_vfs_disk_used(faults.disk) + growth > faults.disk_bytes;
    if (is_full)
        faults.last_errno = ENOSPC;
    pthread_mutex_unlock(&faults.lock);
    return is_full;
}

static struct faulty_file *faulty(sqlite3_file *file)
{
    return (struct faulty_file *)file;
}

static sqlite3_file *real(sqlite3_file *file)
{
    return faulty(file)->real;
}

static int close_file(sqlite3_file *file)
{
    return real(file)->pMethods->xClose(real(file));
}

static int read_file(sqlite3_file *file, void *bytes, int len, sqlite3_int64 offset)
{
    int code = next(FAULT_READ, faulty(file)->kind);

    return code != SQLITE_OK ? code : real(file)->pMethods->xRead(real(file), bytes, len, offset);
}

static int write_file(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 offset)
{
    int code = next(FAULT_WRITE, faulty(file)->kind);
    sqlite3_int64 size = 0;

    if (code == SQLITE_OK)
        code = real(file)->pMethods->xFileSize(real(file), &size);
    if (code == SQLITE_OK && is_disk_full(offset + len - size))
        code = SQLITE_FULL;
    return code != SQLITE_OK ? code : real(file)->pMethods->xWrite(real(file), bytes, len, offset);
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size)
{
    int code = next(FAULT_TRUNCATE, faulty(file)->kind);

    return code != SQLITE_OK ? code : real(file)->pMethods->xTruncate(real(file), size);
}

static int sync_file(sqlite3_file *file, int flags)
{
    int code = next(FAULT_SYNC, faulty(file)->kind);

    return code != SQLITE_OK ? code : real(file)->pMethods->xSync(real(file), flags);
}

static int size_file(sqlite3_file *file, sqlite3_int64 *size)
{
    return real(file)->pMethods->xFileSize(real(file), size);
}

static int lock_file(sqlite3_file *file, int level)
{
    return real(file)->pMethods->xLock(real(file), level);
}

static int unlock_file(sqlite3_file *file, int level)
{
    return real(file)->pMethods->xUnlock(real(file), level);
}

static int check_lock(sqlite3_file *file, int *is_reserved)
{
    return real(file)->pMethods->xCheckReservedLock(real(file), is_reserved);
}

static int last_errno(void)
{
    pthread_mutex_lock(&faults.lock);
    int number = faults.last_errno;
    pthread_mutex_unlock(&faults.lock);
    return number;
}

static int control_file(sqlite3_file *file, int operation, void *arg)
{
    if (operation == SQLITE_FCNTL_LAST_ERRNO && last_errno() != 0) {
        *(int *)arg = last_errno();
        return SQLITE_OK;
    }
    return real(file)->pMethods->xFileControl(real(file), operation, arg);
}

static int sector_size(sqlite3_file *file)
{
    return real(file)->pMethods->xSectorSize(real(file));
}

static int characteristics(sqlite3_file *file)
{
    return real(file)->pMethods->xDeviceCharacteristics(real(file));
}

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

static enum fault_file kind_of(int flags)
{
    if ((flags & SQLITE_OPEN_WAL) != 0)
        return FAULT_WAL;
    return (flags & SQLITE_OPEN_MAIN_DB) != 0 ? FAULT_MAIN : FAULT_OTHER;
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                     int *ret_flags)
{
    struct faulty_file *mine = faulty(file);

    (void)vfs;
    mine->base.pMethods = NULL;
    mine->kind = kind_of(flags);
    mine->real = (sqlite3_file *)(mine + 1);
    int code = next(FAULT_OPEN, mine->kind);
    if (code == SQLITE_OK)
        code = faults.real->xOpen(faults.real, name, mine->real, flags, ret_flags);
    if (code == SQLITE_OK)
        mine->base.pMethods = &methods;
    return code;
}

void fault_vfs_install(void)
{
    static sqlite3_vfs vfs;

    if (faults.real != NULL)
        return;
    faults.real = sqlite3_vfs_find(NULL);
    /* The other functions do not look at their first argument. */
    vfs = *faults.real;
    vfs.zName = "fault";
    vfs.szOsFile = (int)sizeof(struct faulty_file) + faults.real->szOsFile;
    vfs.xOpen = open_file;
    if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
        abort();
}

void fault_vfs_plan(const struct fault *fault)
{
    pthread_mutex_lock(&faults.lock);
    faults.is_planned = fault != NULL;
    if (fault != NULL)
        faults.plan = *fault;
    pthread_mutex_unlock(&faults.lock);
}

void fault_vfs_disk(const char *directory, int64_t size_bytes)
{
    pthread_mutex_lock(&faults.lock);
    faults.disk[0] = '\0';
    if (directory != NULL)
        (void)strncat(faults.disk, directory, sizeof faults.disk - 1);
    faults.disk_bytes = size_bytes;
    pthread_mutex_unlock(&faults.lock);
}

unsigned fault_vfs_calls(enum fault_operation operation, enum fault_file file)
{
    pthread_mutex_lock(&faults.lock);
    unsigned count = faults.calls[operation][file];
    pthread_mutex_unlock(&faults.lock);
    return count;
}

static void gate_set(bool is_closed)
{
    pthread_mutex_lock(&faults.lock);
    faults.is_gate_closed = is_closed;
    pthread_cond_broadcast(&faults.changed);
    pthread_mutex_unlock(&faults.lock);
}

void fault_vfs_gate_close(void)
{
    gate_set(true);
}

void fault_vfs_gate_open(void)
{
    gate_set(false);
}

void fault_vfs_gate_wait(void)
{
    pthread_mutex_lock(&faults.lock);
    while (!faults.is_waiting_at_gate)
        pthread_cond_wait(&faults.changed, &faults.lock);
    pthread_mutex_unlock(&faults.lock);
}
