/* bench-bound: not a product but the bound of what can be reached. The least program that queues durably: one loop,
   all messages that end in one turn of it go into one SQLite transaction (WAL, FULL), then all get their 250.
   With -f they go to the end of one file with one fdatasync instead: what SQLite itself costs. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "cleanup.h"
#include "endpoint.h"
#include "error.h"
#include "receiver.h"
#include "strbuf.h"
#include "xalloc.h"

enum { EXIT_USAGE = 2 };

static const char usage[] = "usage: bench-bound [-f] -D FILE unix:PATH|ADDRESS:PORT\n"
                            "  -D FILE  the spool; an existing one is replaced\n"
                            "  -f       append to a plain file instead of SQLite\n";

static const char schema[] =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
    "CREATE TABLE message(id INTEGER PRIMARY KEY, state INTEGER, due INTEGER, body BLOB);"
    "CREATE INDEX message_due ON message(state, due);";

enum statement { STATEMENT_BEGIN, STATEMENT_INSERT, STATEMENT_COMMIT, STATEMENT_COUNT };

static const char *const statement_text[STATEMENT_COUNT] = {
    [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
    [STATEMENT_INSERT] = "INSERT INTO message(state, due, body) VALUES(0, ?1, ?2)",
    [STATEMENT_COMMIT] = "COMMIT",
};

struct message {
    struct receiver_session *session;
    bool is_complete; /* in the group of this turn */
    struct strbuf body;
    STAILQ_ENTRY(message) entry;
};

static STAILQ_HEAD(, message) group = STAILQ_HEAD_INITIALIZER(group);
static sqlite3 *database;
static sqlite3_stmt *statements[STATEMENT_COUNT];
static int file_fd = -1;
static uint64_t committed;
static uint64_t commits;

static _Noreturn void give_up(const char *why)
{
    (void)fprintf(stderr, "bench-bound: %s\n", why);
    exit(EXIT_FAILURE);
}

static void run(enum statement which)
{
    if (sqlite3_step(statements[which]) != SQLITE_DONE)
        give_up(sqlite3_errmsg(database));
    (void)sqlite3_reset(statements[which]);
}

static void write_rows(void)
{
    const struct message *message;
    sqlite3_int64 due = (sqlite3_int64)committed;

    run(STATEMENT_BEGIN);
    STAILQ_FOREACH(message, &group, entry)
    {
        sqlite3_stmt *insert = statements[STATEMENT_INSERT];
        (void)sqlite3_bind_int64(insert, 1, due++);
        (void)sqlite3_bind_blob64(insert, 2, message->body.data, message->body.len, SQLITE_STATIC);
        run(STATEMENT_INSERT);
    }
    run(STATEMENT_COMMIT);
}

static void write_file(void)
{
    const struct message *message;

    STAILQ_FOREACH(message, &group, entry)
    {
        if (write(file_fd, message->body.data, message->body.len) != (ssize_t)message->body.len)
            give_up("the file can't be written");
    }
    if (fdatasync(file_fd) != 0)
        give_up(strerror(errno));
}

static struct message *message_of(struct receiver_session *session)
{
    struct message *message = receiver_session_data(session);

    if (message == NULL) {
        message = NEW(struct message);
        message->session = session;
        strbuf_init(&message->body);
        receiver_session_set_data(session, message);
    }
    return message;
}

static void on_body(struct receiver_session *session, const char *bytes, size_t len)
{
    strbuf_append(&message_of(session)->body, bytes, len);
}

static void on_end(struct receiver_session *session)
{
    struct message *message = message_of(session);

    message->is_complete = true;
    STAILQ_INSERT_TAIL(&group, message, entry);
}

static void on_close(struct receiver_session *session)
{
    struct message *message = receiver_session_data(session);

    if (message == NULL)
        return;
    if (message->is_complete)
        STAILQ_REMOVE(&group, message, message, entry);
    strbuf_done(&message->body);
    free(message);
}

static int on_turn(void)
{
    struct message *message;

    /* An answer may uncover the next whole message: that one is the next group. */
    while (!STAILQ_EMPTY(&group)) {
        STAILQ_HEAD(, message) answered = STAILQ_HEAD_INITIALIZER(answered);
        if (file_fd >= 0)
            write_file();
        else
            write_rows();
        commits++;
        STAILQ_CONCAT(&answered, &group);
        while ((message = STAILQ_FIRST(&answered)) != NULL) {
            STAILQ_REMOVE_HEAD(&answered, entry);
            message->is_complete = false;
            committed++;
            strbuf_clear(&message->body);
            receiver_answer(message->session, "250 2.0.0 queued\r\n");
        }
    }
    return -1;
}

static const struct receiver_handler handler = { on_body, on_end, on_close, on_turn };

static bool open_database(const char *path, struct error *err)
{
    if (sqlite3_open(path, &database) != SQLITE_OK ||
        sqlite3_exec(database, schema, NULL, NULL, NULL) != SQLITE_OK)
        return fail(err, ERROR_IO, "%s: %s", path, sqlite3_errmsg(database));
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        if (sqlite3_prepare_v2(database, statement_text[i], -1, &statements[i], NULL) != SQLITE_OK)
            return fail(err, ERROR_IO, "%s: %s", path, sqlite3_errmsg(database));
    }
    return true;
}

static bool open_spool(const char *path, bool is_file, struct error *err)
{
    (void)unlink(path);
    if (!is_file)
        return open_database(path, err);
    file_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    return file_fd >= 0 || fail(err, ERROR_IO, "%s: %s", path, strerror(errno));
}

static void close_spool(void)
{
    for (int i = 0; i < STATEMENT_COUNT; i++)
        (void)sqlite3_finalize(statements[i]);
    (void)sqlite3_close(database);
    if (file_fd >= 0)
        (void)close(file_fd);
}

int main(int argc, char **argv)
{
    const struct receiver_options options = { 0 };
    const char *path = NULL;
    bool is_file = false;
    struct endpoint endpoint;
    struct error err = { 0 };
    int option = 0;

    while ((option = getopt(argc, argv, "fD:")) != -1) {
        if (option == 'f')
            is_file = true;
        else if (option == 'D')
            path = optarg;
    }
    if (path == NULL || optind + 1 != argc) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (!endpoint_parse(argv[optind], &endpoint, &err) || !open_spool(path, is_file, &err) ||
        !receiver_run(&endpoint, &options, &handler, &err)) {
        (void)fprintf(stderr, "bench-bound: %s\n", err.text);
        return EXIT_FAILURE;
    }
    (void)printf("{\"messages\": %ju, \"commits\": %ju}\n", (uintmax_t)committed,
                 (uintmax_t)commits);
    close_spool();
    return EXIT_SUCCESS;
}
