/* The loop of the asking side, and requests with usual contents. */
#include "spool_fixture.h"

#include <event2/event.h>
#include <stdarg.h>
#include <setjmp.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blob.h"
#include "filter.h"
#include "mailbox.h"
#include "xalloc.h"

#include <cmocka.h> /* last: it defines fail() */

void fixture_init(struct fixture *fixture)
{
    const char *tmp = getenv("TMPDIR");

    *fixture = (struct fixture){ .directory = NULL };
    fixture->directory = xasprintf("%s/outbox-spool-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(fixture->directory));
    fixture->base = event_base_new();
    fixture->mailbox = mailbox_new(fixture->base, NULL, NULL);
    assert_non_null(fixture->mailbox);
}

void fixture_done(struct fixture *fixture)
{
    fixture_stop(fixture);
    mailbox_free(fixture->mailbox);
    event_base_free(fixture->base);
    DIR *directory = opendir(fixture->directory);
    if (directory != NULL) {
        for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
            (void)unlinkat(dirfd(directory), entry->d_name, 0);
        (void)closedir(directory);
    }
    (void)rmdir(fixture->directory);
    free(fixture->directory);
}

void fixture_start(struct fixture *fixture)
{
    struct error err = { 0 };

    fixture->spool = spool_start(fixture->directory, &err);
    if (fixture->spool == NULL)
        fail_msg("spool_start: %s", err.text);
}

const char *fixture_start_refused(struct fixture *fixture)
{
    fixture->error = (struct error){ 0 };
    fixture->spool = spool_start(fixture->directory, &fixture->error);
    if (fixture->spool == NULL)
        return fixture->error.text;
    fixture_stop(fixture);
    return NULL;
}

void fixture_stop(struct fixture *fixture)
{
    spool_stop(fixture->spool);
    fixture->spool = NULL;
}

char *fixture_path(const struct fixture *fixture, const char *name)
{
    return xasprintf("%s/%s", fixture->directory, name);
}

static void on_answer(struct spool_request *request)
{
    struct fixture *fixture = request->ctx;

    if (!request->is_ok)
        fixture->error = request->error;
    fixture->answers_awaited--;
    if (fixture->answers_awaited == 0)
        (void)event_base_loopbreak(fixture->base);
}

void fixture_expect(struct fixture *fixture, struct spool_request *request)
{
    request->reply_to = fixture->mailbox;
    request->done = on_answer;
    request->ctx = fixture;
    fixture->answers_awaited++;
}

void fixture_wait(struct fixture *fixture)
{
    while (fixture->answers_awaited > 0)
        assert_int_not_equal(event_base_loop(fixture->base, EVLOOP_NO_EXIT_ON_EMPTY), -1);
}

void message_id(char ret_id[QUEUE_ID_SIZE], int64_t key)
{
    (void)snprintf(ret_id, QUEUE_ID_SIZE, "TEST%018lld", (long long)key);
}

static struct blob *body_of(size_t len)
{
    char *bytes = xcalloc(len + 1, 1);

    (void)memset(bytes, 'x', len);
    return blob_new(bytes, len);
}

struct spool_submit *message_new(struct fixture *fixture, size_t recipient_count,
                                 const char *smarthost, size_t body_len)
{
    struct spool_submit *submit = spool_submit_new(recipient_count);

    submit->key = spool_message_key_new(fixture->spool);
    message_id(submit->id, submit->key);
    submit->sender = xstrdup("sender@example.com");
    submit->header_from = xstrdup("from@example.com");
    submit->user = xstrdup("alice");
    submit->uid = 1000;
    submit->accepted_at_ms = TEST_NOW_S * INT64_C(1000) + submit->key;
    submit->size_bytes = (int64_t)body_len;
    submit->chunk_count = 1;
    submit->last_chunk = body_of(body_len);
    for (size_t i = 0; i < recipient_count; i++) {
        submit->recipients[i].address = xasprintf("rcpt%zu@example.com", i);
        submit->recipients[i].smarthost = xstrdup(smarthost);
        submit->recipients[i].due_at_s = TEST_NOW_S;
        submit->recipients[i].waiting = WAITING_NOW;
    }
    return submit;
}

bool submit_one(struct fixture *fixture, struct spool_submit *submit, int64_t *ret_key)
{
    fixture_expect(fixture, &submit->request);
    spool_message_submit(fixture->spool, submit);
    fixture_wait(fixture);
    bool is_ok = submit->request.is_ok;
    if (is_ok && ret_key != NULL)
        *ret_key = submit->key;
    spool_submit_free(submit);
    return is_ok;
}

int64_t accept_one(struct fixture *fixture)
{
    int64_t key = 0;

    assert_true(submit_one(fixture, message_new(fixture, 1, "relay", 10), &key));
    return key;
}

bool append_one(struct fixture *fixture, int64_t key, uint32_t index, size_t len)
{
    struct spool_chunk *chunk = spool_chunk_new(key, index, body_of(len));

    fixture_expect(fixture, &chunk->request);
    spool_chunk_append(fixture->spool, chunk);
    fixture_wait(fixture);
    bool is_ok = chunk->request.is_ok;
    spool_chunk_free(chunk);
    return is_ok;
}

struct spool_outcome *outcome_new(int64_t key, uint16_t number, enum recipient_state state)
{
    struct spool_outcome *outcome = spool_outcome_new(1);

    outcome->key = key;
    outcome->at_ms = (TEST_NOW_S + 5) * INT64_C(1000);
    outcome->duration_ms = 120;
    outcome->smarthost = xstrdup("relay");
    outcome->host = xstrdup("mail.example.com [192.0.2.1]:587");
    outcome->recipients[0] = (struct spool_outcome_recipient){
        .number = number,
        .state = state,
        .waiting = state == RECIPIENT_QUEUED ? WAITING_RETRY : WAITING_NONE,
        .due_at_s = state == RECIPIENT_QUEUED || state == RECIPIENT_IN_DOUBT ? TEST_NOW_S + 60 : 0,
        .is_attempt = true,
        .code = state == RECIPIENT_DELIVERED ? 250 : 451,
        .class = state == RECIPIENT_DELIVERED ? NULL : "recipients-refused",
        .enhanced = "4.2.1",
        .reply = xstrdup("come back"),
        .stage = "rcpt",
        .rule = "rcpt-4xx",
    };
    return outcome;
}

bool record_one(struct fixture *fixture, struct spool_outcome *outcome)
{
    fixture_expect(fixture, &outcome->request);
    spool_outcome_record(fixture->spool, outcome);
    fixture_wait(fixture);
    bool is_ok = outcome->request.is_ok;
    spool_outcome_free(outcome);
    return is_ok;
}

struct spool_due *due_of(struct fixture *fixture, const char *smarthost, int64_t now_s)
{
    struct spool_due *due = spool_due_new(smarthost, now_s, 100);

    fixture_expect(fixture, &due->request);
    spool_due_read(fixture->spool, due);
    fixture_wait(fixture);
    assert_true(due->request.is_ok);
    return due;
}

struct spool_list *list_of(struct fixture *fixture, struct filter *filter)
{
    struct spool_list *list = spool_list_new(filter, SPOOL_ANYBODY, TEST_NOW_S + 10, 100);

    fixture_expect(fixture, &list->request);
    spool_list_read(fixture->spool, list);
    fixture_wait(fixture);
    assert_true(list->request.is_ok);
    return list;
}

struct spool_summary *summary_of(struct fixture *fixture)
{
    struct spool_summary *summary = spool_summary_new();

    fixture_expect(fixture, &summary->request);
    spool_summary_read(fixture->spool, summary);
    fixture_wait(fixture);
    assert_true(summary->request.is_ok);
    return summary;
}

struct spool_log *log_of(struct fixture *fixture, const char *id)
{
    struct spool_log *log = spool_log_new(id, SPOOL_ANYBODY, 0, 100);

    fixture_expect(fixture, &log->request);
    spool_log_read(fixture->spool, log);
    fixture_wait(fixture);
    assert_true(log->request.is_ok);
    return log;
}

int64_t chunk_len_of(struct fixture *fixture, int64_t key, uint32_t index)
{
    struct spool_chunk *chunk = spool_chunk_new(key, index, NULL);

    fixture_expect(fixture, &chunk->request);
    spool_chunk_read(fixture->spool, chunk);
    fixture_wait(fixture);
    int64_t len = chunk->request.is_ok ? (int64_t)blob_len(chunk->data) : -1;
    spool_chunk_free(chunk);
    return len;
}

struct filter *filter_of(const char *terms)
{
    char *copy = xstrdup(terms);
    const char *words[8];
    char *rest = NULL;
    size_t count = 0;
    struct error err = { 0 };

    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    struct filter *filter = filter_new(words, count, &err);
    if (filter == NULL)
        fail_msg("%s", err.text);
    free(copy);
    return filter;
}
