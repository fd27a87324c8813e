/* LD_PRELOAD recorder: every change below CRASHREC_DIR and every short reply on another descriptor goes,
   in one total order, to CRASHREC_LOG. replay.py rebuilds from it what a power cut could have left.
   With CRASHREC_LIE=1 a sync succeeds without being one: the control that must lose messages.

   Record: kind (1), path length (2), offset (8), data length (4), path, data; native byte order.
   C create or truncate, W write, T truncate, S sync, U unlink, R rename, A answer (offset = descriptor).
   Not recorded: link, pwritev, fallocate, sendmsg, mmap, stdio, and what is written to a file after its renaming. */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS_MAX = 65536, ANSWER_MAX = 4096, NOT_YET = -1, OFF = -2 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = NOT_YET;
static char dir[PATH_MAX];
static size_t dir_len;
static bool is_lying;
static char *paths[FDS_MAX]; /* of the descriptors below dir */

static void find_real(void **slot, const char *name)
{
    if (*slot == NULL)
        *slot = dlsym(RTLD_NEXT, name);
    if (*slot == NULL)
        abort();
}

#define REAL(name)                                                                                 \
    static __typeof__(name) *real_##name;                                                          \
    find_real((void **)&real_##name, #name)

static bool recording(void)
{
    if (log_fd == NOT_YET) {
        const char *root = getenv("CRASHREC_DIR");
        const char *log = getenv("CRASHREC_LOG");
        REAL(open);
        log_fd = OFF;
        if (root != NULL && log != NULL && realpath(root, dir) != NULL) {
            dir_len = strlen(dir);
            is_lying = getenv("CRASHREC_LIE") != NULL;
            int fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
            if (fd >= 0)
                log_fd = fd;
        }
    }
    return log_fd >= 0;
}

static bool tracked(int fd)
{
    return fd >= 0 && fd < FDS_MAX && paths[fd] != NULL;
}

static bool inside(const char *path)
{
    return strncmp(path, dir, dir_len) == 0 && (path[dir_len] == '/' || path[dir_len] == '\0');
}

/* The caller holds the lock. */
static void record(char kind, const char *path, int64_t offset, const void *data, size_t size)
{
    if (!recording())
        return;
    REAL(write);
    uint16_t path_len = (uint16_t)(path != NULL ? strlen(path) : 0);
    uint32_t data_len = (uint32_t)size;
    char head[15];
    head[0] = kind;
    memcpy(head + 1, &path_len, 2);
    memcpy(head + 3, &offset, 8);
    memcpy(head + 11, &data_len, 4);
    bool ok = real_write(log_fd, head, sizeof head) == sizeof head &&
              (path_len == 0 || real_write(log_fd, path, path_len) == path_len) &&
              (data_len == 0 || real_write(log_fd, data, data_len) == (ssize_t)data_len);
    if (!ok)
        abort(); /* a log with a hole proves nothing */
}

static void opened(int fd, int flags)
{
    if (!recording() || fd < 0 || fd >= FDS_MAX)
        return;
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0)
        return;
    path[n] = '\0';
    pthread_mutex_lock(&lock);
    free(paths[fd]);
    paths[fd] = NULL;
    if (inside(path)) {
        paths[fd] = strdup(path);
        if ((flags & O_CREAT) != 0)
            record('C', path, flags & O_TRUNC, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
}

static bool takes_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

/* The four opens differ in nothing but the call. */
#define OPEN(call)                                                                                 \
    mode_t mode = 0;                                                                               \
    if (takes_mode(flags)) {                                                                       \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }                                                                                              \
    int fd = call;                                                                                 \
    opened(fd, flags);                                                                             \
    return fd

int open(const char *path, int flags, ...)
{
    REAL(open);
    OPEN(real_open(path, flags, mode));
}

int open64(const char *path, int flags, ...)
{
    REAL(open64);
    OPEN(real_open64(path, flags, mode));
}

int openat(int at, const char *path, int flags, ...)
{
    REAL(openat);
    OPEN(real_openat(at, path, flags, mode));
}

int openat64(int at, const char *path, int flags, ...)
{
    REAL(openat64);
    OPEN(real_openat64(at, path, flags, mode));
}

int close(int fd)
{
    REAL(close);
    if (tracked(fd)) {
        pthread_mutex_lock(&lock);
        free(paths[fd]);
        paths[fd] = NULL;
        pthread_mutex_unlock(&lock);
    }
    return real_close(fd);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    REAL(pwrite64);
    if (!tracked(fd))
        return real_pwrite64(fd, data, size, offset);
    pthread_mutex_lock(&lock);
    ssize_t n = real_pwrite64(fd, data, size, offset);
    if (n > 0)
        record('W', paths[fd], offset, data, (size_t)n);
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return pwrite64(fd, data, size, offset);
}

/* An answer is logged before it is sent: the promise counts from the moment it may be seen. */
static void answering(int fd, const void *data, size_t size)
{
    if (!recording() || fd == log_fd || fd == STDERR_FILENO || size >= ANSWER_MAX)
        return;
    pthread_mutex_lock(&lock);
    record('A', NULL, fd, data, size);
    pthread_mutex_unlock(&lock);
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write);
    if (!tracked(fd)) {
        answering(fd, data, size);
        return real_write(fd, data, size);
    }
    pthread_mutex_lock(&lock);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t n = real_write(fd, data, size);
    if (n > 0)
        record('W', paths[fd], offset, data, (size_t)n);
    pthread_mutex_unlock(&lock);
    return n;
}

/* libevent sends with writev. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    if (!recording())
        return real_writev(fd, parts, count);
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    char *joined = malloc(size + 1);
    if (joined == NULL)
        abort();
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        memcpy(joined + at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    ssize_t n;
    if (tracked(fd)) {
        n = write(fd, joined, size);
    } else {
        answering(fd, joined, size);
        n = real_writev(fd, parts, count);
    }
    free(joined);
    return n;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    REAL(send);
    answering(fd, data, size);
    return real_send(fd, data, size, flags);
}

int ftruncate64(int fd, off64_t length)
{
    REAL(ftruncate64);
    pthread_mutex_lock(&lock);
    int result = real_ftruncate64(fd, length);
    if (tracked(fd) && result == 0)
        record('T', paths[fd], length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

static bool lies(int fd)
{
    return recording() && is_lying && tracked(fd);
}

static int synced(int fd, int result)
{
    if (tracked(fd) && result == 0) {
        pthread_mutex_lock(&lock);
        record('S', paths[fd], 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    return result;
}

int fsync(int fd)
{
    REAL(fsync);
    return lies(fd) ? 0 : synced(fd, real_fsync(fd));
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return lies(fd) ? 0 : synced(fd, real_fdatasync(fd));
}

/* The whole name of what is about to go, while it is still there. */
static bool name_inside(int at, const char *path, char name[PATH_MAX])
{
    char given[PATH_MAX];
    bool is_relative = path[0] != '/' && at != AT_FDCWD && tracked(at);
    int len = snprintf(given, sizeof given, "%s%s%s", is_relative ? paths[at] : "",
                       is_relative ? "/" : "", path);
    return recording() && len < PATH_MAX && realpath(given, name) != NULL && inside(name);
}

static void removed(const char *name)
{
    pthread_mutex_lock(&lock);
    record('U', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
}

int unlink(const char *path)
{
    REAL(unlink);
    char name[PATH_MAX];
    bool is_ours = name_inside(AT_FDCWD, path, name);
    int result = real_unlink(path);
    if (is_ours && result == 0)
        removed(name);
    return result;
}

int unlinkat(int at, const char *path, int flags)
{
    REAL(unlinkat);
    char name[PATH_MAX];
    bool is_ours = name_inside(at, path, name);
    int result = real_unlinkat(at, path, flags);
    if (is_ours && result == 0)
        removed(name);
    return result;
}

/* The new name is the data; it stays in the same directory. */
static void renamed(const char *name, const char *to)
{
    const char *slash = strrchr(to, '/');
    const char *base = slash != NULL ? slash + 1 : to;

    pthread_mutex_lock(&lock);
    record('R', name, 0, base, strlen(base));
    pthread_mutex_unlock(&lock);
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    char name[PATH_MAX];
    bool is_ours = name_inside(AT_FDCWD, from, name);
    int result = real_rename(from, to);
    if (is_ours && result == 0)
        renamed(name, to);
    return result;
}

int renameat(int from_at, const char *from, int to_at, const char *to)
{
    REAL(renameat);
    char name[PATH_MAX];
    bool is_ours = name_inside(from_at, from, name);
    int result = real_renameat(from_at, from, to_at, to);
    if (is_ours && result == 0)
        renamed(name, to);
    return result;
}
