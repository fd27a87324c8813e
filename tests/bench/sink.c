/* bench-sink: a fast receiver that counts. Counters are mapped into a file (-m), so that a reader costs it nothing,
   and printed as JSON at the end (SIGTERM). With -u it tells repeated messages by their X-Bench-Seq field. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "endpoint.h"
#include "error.h"
#include "receiver.h"
#include "units.h"
#include "xalloc.h"

enum { HEAD_SIZE = 4096, MAPPED_SIZE = 4096, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: bench-sink [-l] [-q] [-4] [-w MS] [-u COUNT] [-m FILE] unix:PATH|ADDRESS:PORT\n"
    "  -l        LMTP: one final reply per recipient\n"
    "  -q        acknowledge TCP segments at once\n"
    "  -4        answer 451 to MAIL and RCPT\n"
    "  -w MS     wait before the final 250\n"
    "  -u COUNT  count repeats of X-Bench-Seq below COUNT\n"
    "  -m FILE   keep the counters in FILE\n";

/* Read by bench.py: seven 64-bit numbers in this order. Times are CLOCK_MONOTONIC. */
struct counters {
    uint64_t messages;
    uint64_t bytes;
    uint64_t first_ns;
    uint64_t last_ns;
    uint64_t sessions;
    uint64_t repeats;
    uint64_t live;
};

/* What a message needs until its final reply. */
struct message {
    struct receiver_session *session;
    uint64_t due_ns;
    bool is_due; /* in the list of those that wait */
    size_t head_len;
    TAILQ_ENTRY(message) entry;
    char head[HEAD_SIZE + 1];
};

static struct counters fallback;
static struct counters *counters = &fallback;
static unsigned char *seen;
static uint64_t seen_count;
static uint64_t wait_ns;
static TAILQ_HEAD(, message) waiting = TAILQ_HEAD_INITIALIZER(waiting);

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct message *message_of(struct receiver_session *session)
{
    struct message *message = receiver_session_data(session);

    if (message == NULL) {
        message = NEW(struct message);
        message->session = session;
        receiver_session_set_data(session, message);
    }
    return message;
}

static void count_repeat(const struct message *message)
{
    static const char field[] = "X-Bench-Seq: ";
    const char *found = strstr(message->head, field);

    if (found == NULL)
        return;
    uint64_t sequence = strtoull(found + sizeof field - 1, NULL, 10);
    if (sequence >= seen_count)
        return;
    counters->repeats += seen[sequence];
    seen[sequence] = 1;
}

static void message_take(struct message *message)
{
    uint64_t now = now_ns();

    if (counters->messages == 0)
        counters->first_ns = now;
    counters->last_ns = now;
    counters->messages++;
    message->head_len = 0;
    receiver_answer(message->session, "250 2.0.0 taken\r\n");
}

static void on_body(struct receiver_session *session, const char *bytes, size_t len)
{
    counters->bytes += len;
    if (seen == NULL)
        return;
    struct message *message = message_of(session);
    size_t room = HEAD_SIZE - message->head_len;
    size_t kept = len < room ? len : room;
    (void)memcpy(message->head + message->head_len, bytes, kept);
    message->head_len += kept;
    message->head[message->head_len] = '\0';
}

static void on_end(struct receiver_session *session)
{
    struct message *message = message_of(session);

    if (seen != NULL)
        count_repeat(message);
    if (wait_ns == 0) {
        message_take(message);
        return;
    }
    message->due_ns = now_ns() + wait_ns;
    message->is_due = true;
    TAILQ_INSERT_TAIL(&waiting, message, entry); /* all wait equally long: the list is in order */
}

static void on_close(struct receiver_session *session)
{
    struct message *message = receiver_session_data(session);

    if (message != NULL && message->is_due)
        TAILQ_REMOVE(&waiting, message, entry);
    free(message);
}

static int on_turn(void)
{
    struct message *message;

    counters->sessions = receiver_counts()->sessions;
    counters->live = receiver_counts()->live;
    while ((message = TAILQ_FIRST(&waiting)) != NULL) {
        uint64_t now = now_ns();
        if (message->due_ns > now)
            return (int)((message->due_ns - now) / 1000000) + 1;
        TAILQ_REMOVE(&waiting, message, entry);
        message->is_due = false;
        message_take(message);
    }
    return -1;
}

static const struct receiver_handler handler = { on_body, on_end, on_close, on_turn };

static bool map_counters(const char *path, struct error *err)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || ftruncate(fd, MAPPED_SIZE) != 0)
        return fail(err, ERROR_IO, "%s: %s", path, strerror(errno));
    void *page = mmap(NULL, MAPPED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return fail(err, ERROR_IO, "%s: %s", path, strerror(errno));
    counters = page;
    return true;
}

static bool read_options(int argc, char **argv, struct receiver_options *ret_options,
                         struct error *err)
{
    int64_t number = 0;
    int option = 0;

    while ((option = getopt(argc, argv, "lq4w:u:m:")) != -1) {
        if (strchr("wu", option) != NULL && !units_parse_count(optarg, &number, err))
            return false;
        if (option == 'l') {
            ret_options->is_lmtp = true;
        } else if (option == 'q') {
            ret_options->is_quick_ack = true;
        } else if (option == '4') {
            ret_options->is_refusing = true;
        } else if (option == 'w') {
            wait_ns = (uint64_t)number * 1000000;
        } else if (option == 'u') {
            seen_count = (uint64_t)number;
            seen = xcalloc(seen_count, 1);
        } else if (option != 'm') {
            return fail(err, ERROR_USAGE, "unknown option");
        } else if (!map_counters(optarg, err)) {
            return false;
        }
    }
    return optind + 1 == argc || fail(err, ERROR_USAGE, "one address is needed");
}

static void print_counters(void)
{
    (void)printf("{\"messages\": %ju, \"bytes\": %ju, \"first_ns\": %ju, \"last_ns\": %ju, "
                 "\"sessions\": %ju, \"repeats\": %ju, \"live\": %ju}\n",
                 (uintmax_t)counters->messages, (uintmax_t)counters->bytes,
                 (uintmax_t)counters->first_ns, (uintmax_t)counters->last_ns,
                 (uintmax_t)counters->sessions, (uintmax_t)counters->repeats,
                 (uintmax_t)counters->live);
}

int main(int argc, char **argv)
{
    struct receiver_options options = { 0 };
    struct endpoint endpoint;
    struct error err = { 0 };

    if (!read_options(argc, argv, &options, &err) ||
        !endpoint_parse(argv[optind], &endpoint, &err) ||
        !receiver_run(&endpoint, &options, &handler, &err)) {
        (void)fprintf(stderr, "bench-sink: %s\n%s", err.text, usage);
        return EXIT_USAGE;
    }
    print_counters();
    free(seen);
    return EXIT_SUCCESS;
}
