/* Conversations with a scripted daemon on the other end of a socket pair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

/* Before cmocka.h, which has a macro fail. */
#include "error.h"

#include <cmocka.h>

#include "cleanup.h"
#include "strbuf.h"
#include "submission.h"
#include "xalloc.h"

/* The script: "S:" lines are sent, "C:" lines must be read, "B:" reads lines up to the dot and compares their count of
   bytes, "X" hangs up. */
struct daemon {
    int fd;
    const char *const *script;
    char *mismatch; /* NULL: all went as written */
};

static void expect_line(struct daemon *daemon, FILE *stream, const char *expected)
{
    char line[1024] = "";

    if (fgets(line, sizeof line, stream) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    if (strcmp(line, expected) != 0 && daemon->mismatch == NULL)
        daemon->mismatch = xasprintf("heard \"%s\", not \"%s\"", line, expected);
}

static void *run_daemon(void *arg)
{
    struct daemon *daemon = arg;
    FILE *in = fdopen(dup(daemon->fd), "r");
    FILE *out = fdopen(daemon->fd, "w");

    for (const char *const *step = daemon->script; *step != NULL && daemon->mismatch == NULL;
         step++) {
        if (strncmp(*step, "C:", 2) == 0) {
            expect_line(daemon, in, *step + 2);
        } else if (strncmp(*step, "S:", 2) == 0) {
            (void)fprintf(out, "%s\r\n", *step + 2);
            (void)fflush(out);
        }
    }
    (void)fclose(in);
    (void)fclose(out);
    return NULL;
}

enum { RECIPIENTS = 3, STEPS_MAX = 48 };

static const char mail[] = "C:MAIL FROM:<s@x> SIZE=22";
#define OPENING                                                                                    \
    "S:220 localhost ESMTP", "C:EHLO localhost", "S:250-localhost", "S:250-PIPELINING",            \
        "S:250-SIZE 1000", "S:250 8BITMIME"
/* DATA comes without waiting for the replies before it. */
#define RCPTS "C:RCPT TO:<a@x>", "C:RCPT TO:<b@x>", "C:RCPT TO:<c@x>", "C:DATA"
#define BODY  "C:Subject: t", "C:", "C:..dot", "C:."

static const struct {
    const char *name;
    const char *script[STEPS_MAX];
    int status;
    enum submission_fate fates[RECIPIENTS];
} rows[] = {
    { "all accepted",
      { OPENING, mail, RCPTS, "S:250 ok", "S:250 ok", "S:250 ok", "S:250 ok", "S:354 go", BODY,
        "S:250 2.0.0 queued as X", "C:QUIT" },
      EX_OK,
      { FATE_ACCEPTED, FATE_ACCEPTED, FATE_ACCEPTED } },
    { "one refused",
      { OPENING, mail, RCPTS, "S:250 ok", "S:250 ok", "S:550 5.1.1 no", "S:250 ok", "S:354 go",
        BODY, "S:250 2.0.0 queued as X", "C:QUIT" },
      EX_OK,
      { FATE_ACCEPTED, FATE_REFUSED, FATE_ACCEPTED } },
    { "all refused",
      { OPENING, mail, RCPTS, "S:250 ok", "S:550 5.1.1 no", "S:550 5.1.1 no", "S:550 5.1.1 no",
        "S:503 5.5.1 no", "C:QUIT" },
      EX_NOUSER,
      { FATE_REFUSED, FATE_REFUSED, FATE_REFUSED } },
    { "all refused, one for now",
      { OPENING, mail, RCPTS, "S:250 ok", "S:550 5.1.1 no", "S:451 4.3.0 later", "S:550 5.1.1 no",
        "S:503 5.5.1 no", "C:QUIT" },
      EX_TEMPFAIL,
      { FATE_REFUSED, FATE_DEFERRED, FATE_REFUSED } },
    { "the transaction is full",
      { OPENING, mail, RCPTS, "S:250 ok", "S:250 ok", "S:250 ok", "S:452 4.5.3 too many",
        "S:354 go", BODY, "S:250 2.0.0 queued as X", mail, "C:RCPT TO:<c@x>", "C:DATA", "S:250 ok",
        "S:250 ok", "S:354 go", BODY, "S:250 2.0.0 queued as Y" },
      EX_OK,
      { FATE_ACCEPTED, FATE_ACCEPTED, FATE_ACCEPTED } },
    { "sender not allowed",
      { OPENING, mail, RCPTS, "S:550 5.7.1 not yours", "S:503 5.5.1 no", "S:503 5.5.1 no",
        "S:503 5.5.1 no", "S:503 5.5.1 no", "C:QUIT" },
      EX_NOPERM,
      { FATE_REFUSED, FATE_REFUSED, FATE_REFUSED } },
    { "sender not allowed, and gone over what follows",
      { OPENING, mail, RCPTS, "S:550 5.7.1 not yours", "S:503 5.5.1 no",
        "S:421 4.7.0 too many errors", "X" },
      EX_NOPERM,
      { FATE_REFUSED, FATE_REFUSED, FATE_REFUSED } },
    { "refused at DATA",
      { OPENING, mail, RCPTS, "S:250 ok", "S:250 ok", "S:250 ok", "S:250 ok", "S:451 4.3.0 later",
        "C:QUIT" },
      EX_TEMPFAIL,
      { FATE_DEFERRED, FATE_DEFERRED, FATE_DEFERRED } },
    { "too large at the dot",
      { OPENING, mail, RCPTS, "S:250 ok", "S:250 ok", "S:250 ok", "S:250 ok", "S:354 go", BODY,
        "S:552 5.3.4 too large", "C:QUIT" },
      EX_DATAERR,
      { FATE_REFUSED, FATE_REFUSED, FATE_REFUSED } },
    { "no space at the dot",
      { OPENING, mail, RCPTS, "S:250 ok", "S:250 ok", "S:250 ok", "S:250 ok", "S:354 go", BODY,
        "S:452 4.3.1 full", "C:QUIT" },
      EX_TEMPFAIL,
      { FATE_DEFERRED, FATE_DEFERRED, FATE_DEFERRED } },
    { "gone instead of an answer to the dot",
      { OPENING, mail, RCPTS, "S:250 ok", "S:250 ok", "S:250 ok", "S:250 ok", "S:354 go", BODY,
        "X" },
      EX_TEMPFAIL,
      { FATE_DEFERRED, FATE_DEFERRED, FATE_DEFERRED } },
    { "gone after RCPT",
      { OPENING, mail, RCPTS, "S:250 ok", "S:250 ok", "X" },
      EX_TEMPFAIL,
      { FATE_DEFERRED, FATE_DEFERRED, FATE_DEFERRED } },
    { "not SMTP",
      { OPENING, mail, RCPTS, "S:hello" },
      EX_TEMPFAIL,
      { FATE_DEFERRED, FATE_DEFERRED, FATE_DEFERRED } },
    { "refused greeting",
      { "S:421 4.3.2 shutting down" },
      EX_TEMPFAIL,
      { FATE_PENDING, FATE_PENDING, FATE_PENDING } },
    { "refused user",
      { "S:554 5.7.1 not you" },
      EX_NOPERM,
      { FATE_PENDING, FATE_PENDING, FATE_PENDING } },
};

static int talk(int fd, struct submission_message *message, bool is_trial)
{
    struct error err;
    int status = EX_OK;
    AUTO_FREE char *reply = NULL;
    struct submission *submission = submission_open(fd, &status, &err);

    if (submission == NULL)
        return status;
    status = is_trial ? submission_verify(submission, message, &err)
                      : submission_send(submission, message, &reply, &err);
    submission_close(submission);
    return status;
}

/* The daemon goes by its script while message, whose text is filled in, is submitted, or as a trial only verified.
   Returns the exit status. */
static int converse(const char *name, const char *const *script, struct submission_message *message,
                    bool is_trial)
{
    static const char text[] = "Subject: t\r\n\r\n.dot\r\n";
    struct message_input input = { .rest_fd = -1, .size_bytes = 22 };
    int fds[2];
    pthread_t thread;

    strbuf_init(&input.head);
    strbuf_append_text(&input.head, text);
    message->sender = "s@x";
    message->extra_header = "";
    message->input = &input;
    message->header_len = 12;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct daemon daemon = { .fd = fds[1], .script = script };
    assert_int_equal(pthread_create(&thread, NULL, run_daemon, &daemon), 0);
    int status = talk(fds[0], message, is_trial);
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (daemon.mismatch != NULL)
        fail_msg("%s: the daemon %s", name, daemon.mismatch);
    strbuf_done(&input.head);
    return status;
}

static void run_row(size_t row)
{
    struct submission_recipient recipients[RECIPIENTS] = { { .address = (char[]){ "a@x" } },
                                                           { .address = (char[]){ "b@x" } },
                                                           { .address = (char[]){ "c@x" } } };
    struct submission_message message = { .recipients = recipients, .recipient_count = RECIPIENTS };
    int status = converse(rows[row].name, rows[row].script, &message, false);

    if (status != rows[row].status)
        fail_msg("%s: status %d", rows[row].name, status);
    for (size_t i = 0; i < RECIPIENTS; i++) {
        if (recipients[i].fate != rows[row].fates[i])
            fail_msg("%s: recipient %zu is %d", rows[row].name, i, (int)recipients[i].fate);
        free(recipients[i].reply);
    }
}

static void test_conversations(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        run_row(i);
}

/* A refused sender is the whole answer: nothing more is asked, for the daemon may be gone by then. */
static void test_verify_refused_sender(void **state)
{
    static const char *const script[] = {
        OPENING,  mail, "C:RCPT TO:<a@x>", "S:550 5.7.1 not yours", "S:421 4.7.0 too many errors",
        "C:QUIT", NULL
    };
    struct submission_recipient recipient = { .address = (char[]){ "a@x" } };
    struct submission_message message = { .recipients = &recipient, .recipient_count = 1 };

    (void)state;
    assert_int_equal(converse("verify", script, &message, true), EX_NOPERM);
    free(recipient.reply);
}

enum { BATCH = 50, BATCH_STEPS_MAX = 200 };

struct script {
    const char *steps[BATCH_STEPS_MAX];
    size_t count;
};

static void add_steps(struct script *script, size_t times, const char *step)
{
    for (size_t i = 0; i < times; i++)
        script->steps[script->count++] = step;
}

static void add_all(struct script *script, const char *const *steps)
{
    for (; *steps != NULL; steps++)
        add_steps(script, 1, *steps);
}

/* More recipients than one batch asks for: DATA waits for the last batch, or for a transaction that is full. */
static void test_batches(void **state)
{
    static const struct {
        const char *name;
        const char *last_reply; /* of the first batch */
        const char *rest[32];
    } cases[] = {
        { "in two batches",
          "S:250 ok",
          { "C:RCPT TO:<r@x>", "C:DATA", "S:250 ok", "S:354 go", BODY, "S:250 2.0.0 queued as X",
            "C:QUIT" } },
        { "full in the first batch",
          "S:452 4.5.3 too many",
          { "C:DATA", "S:354 go", BODY, "S:250 2.0.0 queued as X", mail, "C:RCPT TO:<r@x>",
            "C:RCPT TO:<r@x>", "C:DATA", "S:250 ok", "S:250 ok", "S:250 ok", "S:354 go", BODY,
            "S:250 2.0.0 queued as Y", "C:QUIT" } },
    };
    static const char *const opening[] = { OPENING, mail, NULL };
    static char address[] = "r@x";

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct submission_recipient recipients[BATCH + 1];
        struct submission_message message = { .recipients = recipients,
                                              .recipient_count = BATCH + 1 };
        struct script script = { .count = 0 };
        for (size_t r = 0; r <= BATCH; r++)
            recipients[r] = (struct submission_recipient){ .address = address };
        add_all(&script, opening);
        add_steps(&script, BATCH, "C:RCPT TO:<r@x>");
        add_steps(&script, BATCH, "S:250 ok"); /* MAIL, and RCPT but for the last */
        add_steps(&script, 1, cases[i].last_reply);
        add_all(&script, cases[i].rest);
        assert_int_equal(converse(cases[i].name, script.steps, &message, false), EX_OK);
        for (size_t r = 0; r <= BATCH; r++) {
            assert_int_equal(recipients[r].fate, FATE_ACCEPTED);
            free(recipients[r].reply);
        }
    }
}

static void test_dot_stuffing(void **state)
{
    static const struct {
        const char *text;
        const char *stuffed;
    } cases[] = {
        { "a\r\n", "a\r\n" },
        { ".\r\n", "..\r\n" },
        { "..\r\n", "...\r\n" },
        { "a.\r\n.b\r\n\r\n.\r\n", "a.\r\n..b\r\n\r\n..\r\n" },
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t len = strlen(cases[i].text);
        /* Cut at every point. */
        for (size_t cut = 0; cut <= len; cut++) {
            AUTO_STRBUF struct strbuf out;
            bool at_line_start = true;
            strbuf_init(&out);
            submission_stuff_dots(&out, cases[i].text, cut, &at_line_start);
            submission_stuff_dots(&out, cases[i].text + cut, len - cut, &at_line_start);
            assert_string_equal(out.data, cases[i].stuffed);
        }
    }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversations),
        cmocka_unit_test(test_verify_refused_sender),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_dot_stuffing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
