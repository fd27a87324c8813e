/* Checks and creates the spool's files with plain system calls. Runs on the thread that starts the spool. */
#include "database_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "error.h"

/* https://www.sqlite.org/fileformat.html 1.3 */
enum {
    HEADER_BYTES = 100,
    HEADER_PAGE_SIZE = 16,
    HEADER_PAGE_COUNT = 28,
    HEADER_USER_VERSION = 60,
    HEADER_APPLICATION_ID = 68,
};
static const char magic[16] = "SQLite format 3";

static uint32_t big_endian(const unsigned char *bytes, size_t count)
{
    uint32_t value = 0;

    for (size_t i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

int database_directory_open(const char *path, struct error *err)
{
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        (void)fail(err, ERROR_CONFIG, "make %s: %s", path, strerror(errno));
        return -1;
    }
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        (void)fail(err, ERROR_CONFIG, "open %s: %s", path, strerror(errno));
        return -1;
    }
    if (st.st_uid != geteuid()) {
        (void)fail(err, ERROR_CONFIG, "%s belongs to uid %u, not to us (uid %u): chown it", path,
                   st.st_uid, geteuid());
        return -1;
    }
    if ((st.st_mode & 077) != 0) {
        (void)fail(err, ERROR_CONFIG, "%s is open to others (mode %04o): chmod 0700", path,
                   st.st_mode & 07777U);
        return -1;
    }
    int result = fd;
    fd = -1;
    return result;
}

/* *ret_size is -1 when there is no such file. */
static bool look_at(int directory_fd, const char *directory, const char *name, int64_t *ret_size,
                    struct error *err)
{
    struct stat st;

    if (fstatat(directory_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT)
            return fail(err, ERROR_IO, "look at %s/%s: %s", directory, name, strerror(errno));
        *ret_size = -1;
        return true;
    }
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
        return fail(err, ERROR_CONFIG, "%s/%s is not a plain file with one name: move it away",
                    directory, name);
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        return fail(err, ERROR_CONFIG, "%s/%s is not ours alone (uid %u, mode %04o): chmod 0600",
                    directory, name, st.st_uid, st.st_mode & 07777U);
    *ret_size = st.st_size;
    return true;
}

static const char remedy[] =
    "nothing was changed; restore a backup, or move the file away to start empty";

static bool check_header(const unsigned char header[HEADER_BYTES], int64_t size, bool has_wal,
                         const char *directory, int newest_version, struct error *err)
{
    if (memcmp(header, magic, sizeof magic) != 0)
        return fail(err, ERROR_DAMAGED, "%s/%s is not a spool (%s)", directory, SPOOL_FILE, remedy);
    if (big_endian(header + HEADER_APPLICATION_ID, 4) != DATABASE_APP_ID)
        return fail(err, ERROR_DAMAGED, "%s/%s belongs to another program (%s)", directory,
                    SPOOL_FILE, remedy);
    uint32_t version = big_endian(header + HEADER_USER_VERSION, 4);
    if (version > (uint32_t)newest_version)
        return fail(err, ERROR_CONFIG,
                    "%s/%s was written by a newer outboxd (schema %u, we know %d): install that "
                    "version again",
                    directory, SPOOL_FILE, version, newest_version);
    int64_t page_size = big_endian(header + HEADER_PAGE_SIZE, 2);
    page_size = page_size == 1 ? 65536 : page_size;
    int64_t expected = big_endian(header + HEADER_PAGE_COUNT, 4) * page_size;
    /* With a write-ahead log the missing pages may be there. */
    if (!has_wal && size < expected)
        return fail(err, ERROR_DAMAGED, "%s/%s is truncated: %lld of %lld bytes (%s)", directory,
                    SPOOL_FILE, (long long)size, (long long)expected, remedy);
    return true;
}

bool database_file_inspect(int directory_fd, const char *directory, int newest_version,
                           bool *ret_is_present, struct error *err)
{
    unsigned char header[HEADER_BYTES];
    int64_t size = -1;
    int64_t wal_size = -1;
    int64_t ballast_size = -1;

    if (!look_at(directory_fd, directory, SPOOL_FILE, &size, err) ||
        !look_at(directory_fd, directory, SPOOL_FILE_WAL, &wal_size, err) ||
        !look_at(directory_fd, directory, SPOOL_BALLAST, &ballast_size, err))
        return false;
    if (size < 0) {
        if (wal_size < 0 && ballast_size < 0) {
            *ret_is_present = false;
            return true;
        }
        return fail(err, ERROR_DAMAGED,
                    "%s/%s is missing, but %s is there: restore a backup, or remove the latter to "
                    "start empty",
                    directory, SPOOL_FILE, wal_size >= 0 ? SPOOL_FILE_WAL : SPOOL_BALLAST);
    }
    AUTO_CLOSE int fd = openat(directory_fd, SPOOL_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(err, ERROR_IO, "open %s/%s: %s", directory, SPOOL_FILE, strerror(errno));
    ssize_t n = pread(fd, header, sizeof header, 0);
    if (n < 0)
        return fail(err, ERROR_IO, "read %s/%s: %s", directory, SPOOL_FILE, strerror(errno));
    if ((size_t)n < sizeof header)
        return fail(err, ERROR_DAMAGED, "%s/%s is truncated: %zd bytes (%s)", directory, SPOOL_FILE,
                    n, remedy);
    if (!check_header(header, size, wal_size > 0, directory, newest_version, err))
        return false;
    *ret_is_present = true;
    return true;
}

bool database_file_begin(int directory_fd, const char *directory, struct error *err)
{
    static const char *const leftovers[] = { SPOOL_FILE_NEW, SPOOL_FILE_NEW "-wal",
                                             SPOOL_FILE_NEW "-journal" };

    for (size_t i = 0; i < COUNT_OF(leftovers); i++)
        if (unlinkat(directory_fd, leftovers[i], 0) != 0 && errno != ENOENT)
            return fail(err, ERROR_IO, "remove %s/%s: %s", directory, leftovers[i],
                        strerror(errno));
    /* By us, not by SQLite: it would give the mode of the umask. Its log takes the mode of this file. */
    AUTO_CLOSE int fd = openat(directory_fd, SPOOL_FILE_NEW,
                               O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(err, errno == ENOSPC ? ERROR_FULL : ERROR_IO, "make %s/%s: %s", directory,
                    SPOOL_FILE_NEW, strerror(errno));
    return true;
}

/* Where we may not look, the directory is not one that we made. Some kinds of file system know no such sync. */
static bool parent_sync(int directory_fd, const char *directory, struct error *err)
{
    AUTO_CLOSE int fd = openat(directory_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 && errno == EACCES)
        return true;
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        return fail(err, ERROR_IO, "sync directory above %s: %s", directory, strerror(errno));
    return true;
}

bool database_file_finish(int directory_fd, const char *directory, struct error *err)
{
    AUTO_CLOSE int fd = openat(directory_fd, SPOOL_FILE_NEW, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 || fsync(fd) != 0)
        return fail(err, ERROR_IO, "write %s/%s: %s", directory, SPOOL_FILE_NEW, strerror(errno));
    /* Before the name that says that all this was done. */
    if (!parent_sync(directory_fd, directory, err))
        return false;
    if (renameat(directory_fd, SPOOL_FILE_NEW, directory_fd, SPOOL_FILE) != 0)
        return fail(err, ERROR_IO, "rename %s/%s: %s", directory, SPOOL_FILE_NEW, strerror(errno));
    return database_directory_sync(directory_fd, directory, err);
}

bool database_directory_sync(int directory_fd, const char *directory, struct error *err)
{
    if (fsync(directory_fd) != 0)
        return fail(err, ERROR_IO, "sync directory %s: %s", directory, strerror(errno));
    return true;
}
