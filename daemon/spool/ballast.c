/* A file of allocated blocks that nobody reads. */
#include "ballast.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "database_file.h"
#include "error.h"

enum { REST_BYTES = 16 * 1024 * 1024 };

void ballast_init(struct ballast *ballast, int directory_fd)
{
    *ballast = (struct ballast){ .directory_fd = directory_fd };
}

/* Taking back what was just given up would end in giving it up again: something must be left beside it. */
static bool has_room(int directory_fd, int64_t bytes)
{
    struct statvfs st;

    return fstatvfs(directory_fd, &st) == 0 &&
           (unsigned long long)st.f_bavail * st.f_frsize >= (unsigned long long)bytes + REST_BYTES;
}

bool ballast_take(struct ballast *ballast, struct error *err)
{
    if (ballast->is_held)
        return true;
    AUTO_CLOSE int fd = openat(ballast->directory_fd, SPOOL_BALLAST,
                               O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(err, errno == ENOSPC ? ERROR_FULL : ERROR_IO, "make %s: %s", SPOOL_BALLAST,
                    strerror(errno));
    off_t size = lseek(fd, 0, SEEK_END);
    int rc = size < BALLAST_BYTES && !has_room(ballast->directory_fd, BALLAST_BYTES)
                 ? ENOSPC
                 : posix_fallocate(fd, 0, BALLAST_BYTES);
    if (rc != 0) {
        (void)unlinkat(ballast->directory_fd, SPOOL_BALLAST, 0);
        return fail(err, rc == ENOSPC || rc == EDQUOT || rc == EFBIG ? ERROR_FULL : ERROR_IO,
                    "set space aside: %s", strerror(rc));
    }
    ballast->is_held = true;
    return true;
}

bool ballast_release(struct ballast *ballast)
{
    if (!ballast->is_held)
        return false;
    ballast->is_held = false;
    return unlinkat(ballast->directory_fd, SPOOL_BALLAST, 0) == 0;
}

bool ballast_is_far(const struct ballast *ballast, int64_t bytes)
{
    return ballast->is_held && has_room(ballast->directory_fd, bytes + BALLAST_BYTES);
}
