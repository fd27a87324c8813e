/* The file of inflight marks: records of one size, the record of mark n at n times that size. */
#include "inflight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "invariant.h"
#include "log.h"
#include "xalloc.h"

enum { MAGIC = 0x4F42494E, MARKS_MAX = 1 << 20 };

/* As on disk, in the byte order of this machine: the file is of no use elsewhere. Only what is used of it is written:
   what follows the last of the numbers is left over from earlier marks. The checksum covers what is used and follows
   it. A record lies within one disk sector and one page, so that a crash leaves the old or the new one. */
struct record {
    uint32_t magic; /* also says the layout: another layout, another number; 0: no mark */
    uint32_t checksum;
    int64_t key;
    uint16_t phase;
    uint16_t number_count;
    char smarthost[INFLIGHT_NAME_MAX + 1];
    uint16_t numbers[INFLIGHT_NUMBERS_MAX];
    char reserved[28];
};
_Static_assert(sizeof(struct record) == 512, "one sector");

struct inflight {
    int fd;
    unsigned marks;
    atomic_flag has_complained; /* a disk that fails is said once, not for each message */
};

static size_t used_bytes(const struct record *record)
{
    return offsetof(struct record, numbers) + record->number_count * sizeof record->numbers[0];
}

static uint32_t checksum(const struct record *record)
{
    const unsigned char *bytes = (const unsigned char *)record;
    uint32_t hash = 2166136261U; /* FNV-1a */

    for (size_t i = offsetof(struct record, key); i < used_bytes(record); i++)
        hash = (hash ^ bytes[i]) * 16777619U;
    return hash;
}

struct inflight *inflight_open(const char *state_directory, unsigned marks_max, struct error *err)
{
    char *path = xasprintf("%s/inflight", state_directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) != 0) {
        (void)fail(err, ERROR_IO, "open %s: %s", path, strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        free(path);
        return NULL;
    }
    free(path);
    struct inflight *inflight = NEW(struct inflight);
    inflight->fd = fd;
    inflight->marks = marks_max;
    off_t stored =
        (status.st_size + (off_t)sizeof(struct record) - 1) / (off_t)sizeof(struct record);
    if (stored > (off_t)marks_max)
        inflight->marks = stored > MARKS_MAX ? MARKS_MAX : (unsigned)stored;
    return inflight;
}

void inflight_close(struct inflight *inflight)
{
    if (inflight == NULL)
        return;
    (void)close(inflight->fd);
    free(inflight);
}

static off_t place(unsigned number)
{
    return (off_t)number * (off_t)sizeof(struct record);
}

static bool read_mark(const struct inflight *inflight, unsigned number,
                      struct inflight_mark *ret_mark)
{
    struct record record = { 0 };
    ssize_t size = pread(inflight->fd, &record, sizeof record, place(number));

    if (record.magic != MAGIC || record.number_count > INFLIGHT_NUMBERS_MAX ||
        size < (ssize_t)used_bytes(&record) || record.checksum != checksum(&record))
        return false;
    if (record.phase != INFLIGHT_TAKEN && record.phase != INFLIGHT_AT_DOT)
        return false;
    if (record.smarthost[INFLIGHT_NAME_MAX] != '\0')
        return false;
    ret_mark->phase = (enum inflight_phase)record.phase;
    ret_mark->key = record.key;
    ret_mark->number_count = record.number_count;
    (void)memcpy(ret_mark->numbers, record.numbers, sizeof ret_mark->numbers);
    (void)memcpy(ret_mark->smarthost, record.smarthost, sizeof ret_mark->smarthost);
    return true;
}

bool inflight_next(struct inflight *inflight, unsigned *number, struct inflight_mark *ret_mark)
{
    while (*number < inflight->marks)
        if (read_mark(inflight, (*number)++, ret_mark))
            return true;
    return false;
}

/* A mark that can't be written must not stop mail: without it a crash now would count as no attempt. */
static void write_record(struct inflight *inflight, unsigned number, const struct record *record,
                         size_t size)
{
    MUST(number < inflight->marks);
    ssize_t written = pwrite(inflight->fd, record, size, place(number));
    if (written == (ssize_t)size || atomic_flag_test_and_set(&inflight->has_complained))
        return;
    log_line(LOG_LEVEL_WARNING, "inflight", "cannot mark what is being delivered: %s",
             written < 0 ? strerror(errno) : "disk full");
}

void inflight_set(struct inflight *inflight, unsigned number, const struct inflight_mark *mark)
{
    struct record record = { .magic = MAGIC,
                             .key = mark->key,
                             .phase = (uint16_t)mark->phase,
                             .number_count = mark->number_count };

    MUST(mark->number_count <= INFLIGHT_NUMBERS_MAX);
    (void)memcpy(record.numbers, mark->numbers, mark->number_count * sizeof mark->numbers[0]);
    (void)snprintf(record.smarthost, sizeof record.smarthost, "%s", mark->smarthost);
    record.checksum = checksum(&record);
    write_record(inflight, number, &record, used_bytes(&record));
}

void inflight_clear(struct inflight *inflight, unsigned number)
{
    static const struct record nothing;

    write_record(inflight, number, &nothing, sizeof nothing.magic);
}
