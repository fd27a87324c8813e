/* bench-fill: makes a deep queue. Writes messages through the spool's own code, many on their way at once, and gives
   them the outcomes that a queue of some days has: several smarthosts, states, users and ages. The daemon must not be
   running. */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blob.h"
#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "invariant.h"
#include "log.h"
#include "mailbox.h"
#include "queue_id.h"
#include "spool.h"
#include "units.h"
#include "xalloc.h"

enum {
    EXIT_USAGE = 2,
    UNDER_WAY_MAX = 4000,
    AGES_S = 4 * 24 * 3600, /* of the oldest; more, and mail would expire */
    USERS = 10,
    SHARES = 1000,
    MS_PER_S = 1000,
};

static const char usage[] =
    "usage: bench-fill [-n COUNT] [-s BYTES] DIRECTORY\n"
    "  -n  messages (1000)\n"
    "  -s  bytes of each body (300)\n"
    "DIRECTORY is a state-directory; smarthosts are first, second, third, rare and later.\n";

/* What becomes of a message, and how many of a thousand. due_in_s counts from now. */
static const struct share {
    int share;
    const char *smarthost;
    enum recipient_state state;
    enum recipient_waiting waiting;
    int due_in_s;
    const char *class; /* of the attempt; NULL: none was made */
    int code;
    const char *enhanced;
    const char *reply;
} shares[] = {
    { 200, "first", RECIPIENT_QUEUED, WAITING_NOW, -60, NULL, 0, "", NULL },
    { 300, "first", RECIPIENT_QUEUED, WAITING_RETRY, 7200, "throttled", 421, "4.7.0",
      "4.7.0 Try again later, closing connection." },
    { 240, "second", RECIPIENT_QUEUED, WAITING_RETRY, 1800, "connect-failed", 0, "",
      "Connection refused" },
    { 99, "third", RECIPIENT_QUEUED, WAITING_NOW, -3600, NULL, 0, "", NULL },
    { 1, "rare", RECIPIENT_QUEUED, WAITING_NOW, -3600, NULL, 0, "", NULL },
    { 100, "later", RECIPIENT_QUEUED, WAITING_TIME, 48 * 3600, NULL, 0, "", NULL },
    { 30, "second", RECIPIENT_HELD, WAITING_NONE, 0, "server-trouble", 451, "4.3.0",
      "4.3.0 Internal error" },
    { 10, "third", RECIPIENT_IN_DOUBT, WAITING_NONE, 7200, "connect-failed", 0, "",
      "Connection reset by peer" },
    { 10, "first", RECIPIENT_FAILED, WAITING_NONE, 0, "recipients-refused", 550, "5.1.1",
      "5.1.1 The email account that you tried to reach does not exist." },
    { 10, "second", RECIPIENT_DELIVERED, WAITING_NONE, 0, NULL, 250, "2.0.0", "2.0.0 OK" },
};

static struct {
    struct event_base *base;
    struct mailbox *mailbox;
    struct spool *spool;
    int64_t now_ms;
    int64_t count;
    int64_t body_bytes;
    int64_t next; /* number of the next message */
    unsigned under_way;
    bool has_failed;
    struct error error;
} fill;

static void feed(void);

static void answered(const struct spool_request *request)
{
    if (!request->is_ok && !fill.has_failed) {
        fill.has_failed = true;
        fill.error = request->error;
    }
    fill.under_way--;
    feed();
    if (fill.under_way == 0)
        (void)event_base_loopbreak(fill.base);
}

static void on_submitted(struct spool_request *request)
{
    struct spool_submit *submit = (struct spool_submit *)request;

    answered(request);
    spool_submit_free(submit);
}

static void on_recorded(struct spool_request *request)
{
    struct spool_outcome *outcome = (struct spool_outcome *)request;

    answered(request);
    spool_outcome_free(outcome);
}

static void expect(struct spool_request *request, spool_done_fn *done)
{
    request->reply_to = fill.mailbox;
    request->done = done;
    fill.under_way++;
}

static struct blob *body_new(int64_t number)
{
    static const char line[] = "All work and no play makes Jack a dull boy, one line of many.\r\n";
    size_t len = (size_t)fill.body_bytes;
    char *bytes = xcalloc(len + 1, 1);
    int at = snprintf(bytes, len, "Subject: Report %lld\r\nX-Bench-Fill: %lld\r\n\r\n",
                      (long long)number, (long long)number);

    for (size_t i = (size_t)at; i < len; i++)
        bytes[i] = line[(i - (size_t)at) % (sizeof line - 1)];
    return blob_new(bytes, len);
}

/* Spread evenly over the whole queue, whatever its length. */
static const struct share *share_of(int64_t number)
{
    int64_t place = number * 617 % SHARES; /* 617 and 1,000 have no common factor */
    size_t i = 0;

    while (place >= shares[i].share)
        place -= shares[i++].share;
    MUST(i < COUNT_OF(shares));
    return &shares[i];
}

static int64_t submit(const struct share *share, int64_t number)
{
    struct spool_submit *submit = spool_submit_new(1);
    unsigned user = (unsigned)(number % USERS);

    submit->key = spool_message_key_new(fill.spool);
    submit->accepted_at_ms =
        fill.now_ms - (int64_t)AGES_S * MS_PER_S + number * AGES_S / fill.count * MS_PER_S;
    queue_id_new(submit->id, submit->accepted_at_ms);
    submit->sender = xasprintf("shop%u@src.example", user);
    submit->header_from = xstrdup(submit->sender);
    submit->user = xasprintf("app%u", user);
    submit->uid = 5000 + user;
    submit->tag = xasprintf("tag%lld", (long long)(number / SHARES));
    submit->size_bytes = fill.body_bytes;
    submit->chunk_count = 1;
    submit->last_chunk = body_new(number);
    submit->recipients[0] = (struct spool_new_recipient){
        .address = xasprintf("customer%lld@dest%lld.example", (long long)number,
                             (long long)(number % 500)),
        .smarthost = xstrdup(share->smarthost),
        .due_at_s = fill.now_ms / MS_PER_S + share->due_in_s,
        .waiting = share->waiting == WAITING_TIME ? WAITING_TIME : WAITING_NOW,
    };
    int64_t key = submit->key;
    expect(&submit->request, on_submitted);
    spool_message_submit(fill.spool, submit);
    return key;
}

/* Requests are done in the order they were posted: the message is there by then. */
static void record(const struct share *share, int64_t key, int64_t number)
{
    struct spool_outcome *outcome = spool_outcome_new(1);

    outcome->key = key;
    outcome->at_ms = fill.now_ms;
    outcome->duration_ms = 120;
    outcome->smarthost = xstrdup(share->smarthost);
    outcome->host = xasprintf("%s.example [192.0.2.1]:587", share->smarthost);
    struct spool_outcome_recipient *news = &outcome->recipients[0];
    *news = (struct spool_outcome_recipient){
        .state = share->state,
        .waiting = share->waiting,
        .due_at_s =
            share->due_in_s != 0 ? fill.now_ms / MS_PER_S + share->due_in_s + number % 3600 : 0,
        .is_attempt = true,
        .class = share->class,
        .code = share->code,
        .reply = xstrdup(share->reply),
        .stage = "rcpt",
        .rule = "bench",
    };
    (void)snprintf(news->enhanced, sizeof news->enhanced, "%s", share->enhanced);
    expect(&outcome->request, on_recorded);
    spool_outcome_record(fill.spool, outcome);
}

static void feed(void)
{
    while (fill.next < fill.count && fill.under_way < UNDER_WAY_MAX && !fill.has_failed) {
        int64_t number = fill.next++;
        const struct share *share = share_of(number);
        int64_t key = submit(share, number);
        if (share->reply != NULL)
            record(share, key, number);
    }
}

static bool run(const char *directory, struct error *err)
{
    fill.base = event_base_new();
    fill.mailbox = fill.base != NULL ? mailbox_new(fill.base, NULL, NULL) : NULL;
    if (fill.mailbox == NULL)
        return fail(err, ERROR_BUSY, "no event loop");
    fill.spool = spool_start(directory, err);
    if (fill.spool == NULL)
        return false;
    fill.now_ms = clock_wall_ms();
    feed();
    while (fill.under_way > 0 && event_base_loop(fill.base, EVLOOP_NO_EXIT_ON_EMPTY) == 0)
        continue;
    spool_stop(fill.spool);
    mailbox_free(fill.mailbox);
    event_base_free(fill.base);
    if (fill.has_failed)
        *err = fill.error;
    return !fill.has_failed;
}

int main(int argc, char **argv)
{
    struct error err = { 0 };
    int option = 0;

    fill.count = 1000;
    fill.body_bytes = 300;
    while ((option = getopt(argc, argv, "n:s:")) != -1) {
        int64_t *number = option == 'n' ? &fill.count : &fill.body_bytes;
        if (option == '?' || !units_parse_count(optarg, number, &err) || *number < 1)
            optind = argc + 1;
    }
    if (optind + 1 != argc || fill.body_bytes < 100 || fill.body_bytes > SPOOL_CHUNK_BYTES) {
        (void)fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (!run(argv[optind], &err)) {
        (void)fprintf(stderr, "bench-fill: %s\n", err.text);
        return EXIT_FAILURE;
    }
    (void)printf("{\"messages\": %lld}\n", (long long)fill.count);
    return EXIT_SUCCESS;
}
