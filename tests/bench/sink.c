/* bench-sink: a fast receiver that counts. Counters are mapped into a file (-m), so that a reader costs it nothing,
   and printed as JSON at the end (SIGTERM). With -u it knows messages by their X-Bench-Seq field: it counts repeats,
   and notes when each was taken (-t). */
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

enum { HEAD_SIZE = 4096, EXIT_USAGE = 2 };
#define NO_SEQUENCE UINT64_MAX

static const char usage[] =
    "usage: bench-sink [-l] [-q] [-4] [-w MS] [-u COUNT] [-m FILE] [-t FILE] [-T FILE]\n"
    "                  unix:PATH|ADDRESS:PORT\n"
    "  -l        LMTP: one final reply per recipient\n"
    "  -q        acknowledge TCP segments at once\n"
    "  -4        answer 451 to MAIL and RCPT\n"
    "  -w MS     wait before the final 250\n"
    "  -u COUNT  count repeats of X-Bench-Seq below COUNT\n"
    "  -m FILE   keep the counters in FILE\n"
    "  -t FILE   keep the time of each final 250 in FILE, by X-Bench-Seq (with -u)\n"
    "  -T FILE   TLS from the first byte, with the certificate and the key in FILE\n";

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
    bool is_due;       /* in the list of those that wait */
    uint64_t sequence; /* NO_SEQUENCE: it has none, or nobody asked */
    size_t head_len;
    TAILQ_ENTRY(message) entry;
    char head[HEAD_SIZE + 1];
};

static struct counters fallback;
static struct counters *counters = &fallback;
static unsigned char *seen;
static uint64_t seen_count;
static uint64_t *taken_ns; /* by sequence; NULL: not kept */
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

static uint64_t find_sequence(const struct message *message)
{
    static const char field[] = "X-Bench-Seq: ";
    const char *found = strstr(message->head, field);
    uint64_t sequence = found != NULL ? strtoull(found + sizeof field - 1, NULL, 10) : NO_SEQUENCE;

    return sequence < seen_count ? sequence : NO_SEQUENCE;
}

static void count_repeat(const struct message *message)
{
    if (message->sequence == NO_SEQUENCE)
        return;
    counters->repeats += seen[message->sequence];
    seen[message->sequence] = 1;
}

static void message_take(struct message *message)
{
    uint64_t now = now_ns();

    if (counters->messages == 0)
        counters->first_ns = now;
    counters->last_ns = now;
    counters->messages++;
    if (taken_ns != NULL && message->sequence != NO_SEQUENCE)
        taken_ns[message->sequence] = now;
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

    message->sequence = seen != NULL ? find_sequence(message) : NO_SEQUENCE;
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

static bool map_numbers(const char *path, size_t size, void *ret_numbers, struct error *err)
{
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        return fail(err, ERROR_IO, "%s: %s", path, strerror(errno));
    void *numbers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (numbers == MAP_FAILED)
        return fail(err, ERROR_IO, "%s: %s", path, strerror(errno));
    (void)memcpy(ret_numbers, &numbers, sizeof numbers);
    return true;
}

struct choices {
    struct receiver_options receiver;
    const char *counters_file;
    const char *times_file;
};

static bool read_options(int argc, char **argv, struct choices *choices, struct error *err)
{
    int64_t number = 0;
    int option = 0;

    while ((option = getopt(argc, argv, "lq4w:u:m:t:T:")) != -1) {
        if (strchr("wu", option) != NULL && !units_parse_count(optarg, &number, err))
            return false;
        if (option == 'l')
            choices->receiver.is_lmtp = true;
        else if (option == 'q')
            choices->receiver.is_quick_ack = true;
        else if (option == '4')
            choices->receiver.is_refusing = true;
        else if (option == 'T')
            choices->receiver.tls_identity = optarg;
        else if (option == 'w')
            wait_ns = (uint64_t)number * 1000000;
        else if (option == 'u')
            seen_count = (uint64_t)number;
        else if (option == 'm')
            choices->counters_file = optarg;
        else if (option == 't')
            choices->times_file = optarg;
        else
            return fail(err, ERROR_USAGE, "unknown option");
    }
    if (choices->times_file != NULL && seen_count == 0)
        return fail(err, ERROR_USAGE, "-t needs -u");
    return optind + 1 == argc || fail(err, ERROR_USAGE, "one address is needed");
}

static bool prepare(const struct choices *choices, struct error *err)
{
    if (seen_count > 0)
        seen = xcalloc(seen_count, 1);
    if (choices->counters_file != NULL &&
        !map_numbers(choices->counters_file, sizeof *counters, &counters, err))
        return false;
    return choices->times_file == NULL ||
           map_numbers(choices->times_file, seen_count * sizeof *taken_ns, &taken_ns, err);
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
    struct choices choices = { 0 };
    struct endpoint endpoint;
    struct error err = { 0 };

    if (!read_options(argc, argv, &choices, &err) || !prepare(&choices, &err) ||
        !endpoint_parse(argv[optind], &endpoint, &err) ||
        !receiver_run(&endpoint, &choices.receiver, &handler, &err)) {
        (void)fprintf(stderr, "bench-sink: %s\n%s", err.text, usage);
        return EXIT_USAGE;
    }
    print_counters();
    free(seen);
    return EXIT_SUCCESS;
}
