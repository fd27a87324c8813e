/* Mailboxes and threads: nothing is lost or reordered, also when many post at once and when a thread stops. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>

#include "mailbox.h"
#include "thread.h"
#include "xalloc.h"

enum { SENDERS = 4, EACH = 5000 };

/* Touched by the receiving thread only, and read when it has ended. */
struct receiver {
    unsigned next[SENDERS]; /* the number expected from each */
    unsigned arrived;
    unsigned batches;
    unsigned disorder;
    unsigned started;
    unsigned stopped;
};

struct numbered_mail {
    struct mail mail;
    struct receiver *receiver;
    unsigned sender;
    unsigned number;
};

struct sender {
    struct mailbox *mailbox;
    struct receiver *receiver;
    unsigned index;
};

static void on_numbered(struct mail *mail)
{
    struct numbered_mail *numbered = (struct numbered_mail *)mail;
    struct receiver *receiver = numbered->receiver;

    if (receiver->next[numbered->sender] != numbered->number)
        receiver->disorder++;
    receiver->next[numbered->sender] = numbered->number + 1;
    receiver->arrived++;
    free(numbered);
}

static void post(struct mailbox *mailbox, struct receiver *receiver, unsigned sender,
                 unsigned number)
{
    struct numbered_mail *numbered = NEW(struct numbered_mail);

    numbered->mail.on_arrival = on_numbered;
    numbered->receiver = receiver;
    numbered->sender = sender;
    numbered->number = number;
    mailbox_post(mailbox, &numbered->mail);
}

static void *run_sender(void *arg)
{
    struct sender *sender = arg;

    for (unsigned i = 0; i < EACH; i++)
        post(sender->mailbox, sender->receiver, sender->index, i);
    return NULL;
}

static void on_start(void *ctx)
{
    ((struct receiver *)ctx)->started++;
}

static void on_drained(void *ctx)
{
    ((struct receiver *)ctx)->batches++;
}

static void on_stop(void *ctx)
{
    ((struct receiver *)ctx)->stopped++;
}

static const struct loop_thread_hooks hooks = { on_start, on_drained, on_stop };

static void test_many_senders(void **state)
{
    struct receiver receiver = { 0 };
    struct error err;
    struct loop_thread *thread = loop_thread_new("receiver", &hooks, &receiver, &err);
    struct sender senders[SENDERS];
    pthread_t ids[SENDERS];

    (void)state;
    assert_non_null(thread);
    assert_true(loop_thread_start(thread, &err));
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ loop_thread_mailbox(thread), &receiver, i };
        assert_int_equal(pthread_create(&ids[i], NULL, run_sender, &senders[i]), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_join(ids[i], NULL), 0);
    loop_thread_stop(thread);
    assert_int_equal(receiver.arrived, SENDERS * EACH);
    assert_int_equal(receiver.disorder, 0);
    assert_in_range(receiver.batches, 1, SENDERS * EACH + 1);
    assert_int_equal(receiver.started, 1);
    assert_int_equal(receiver.stopped, 1);
    loop_thread_free(thread);
}

/* What was posted before the loop looked is one batch: the spool's group commit relies on it. */
static void test_one_batch(void **state)
{
    struct receiver receiver = { 0 };
    struct event_base *base = event_base_new();
    struct mailbox *mailbox = mailbox_new(base, on_drained, &receiver);

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        post(mailbox, &receiver, 0, i);
    assert_int_equal(receiver.arrived, 0);
    assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    assert_int_equal(receiver.arrived, 100);
    assert_int_equal(receiver.batches, 1);
    mailbox_free(mailbox);
    event_base_free(base);
}

static void test_pending_arrives_at_free(void **state)
{
    struct receiver receiver = { 0 };
    struct event_base *base = event_base_new();
    struct mailbox *mailbox = mailbox_new(base, NULL, NULL);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        post(mailbox, &receiver, 0, i);
    mailbox_free(mailbox);
    assert_int_equal(receiver.arrived, 3);
    event_base_free(base);
}

static void test_thread_that_never_ran(void **state)
{
    struct receiver receiver = { 0 };
    struct error err;
    struct loop_thread *thread = loop_thread_new("idle", &hooks, &receiver, &err);

    (void)state;
    post(loop_thread_mailbox(thread), &receiver, 0, 0);
    loop_thread_stop(thread);
    loop_thread_free(thread);
    assert_int_equal(receiver.arrived, 1);
    assert_int_equal(receiver.started, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_senders),
        cmocka_unit_test(test_one_batch),
        cmocka_unit_test(test_pending_arrives_at_free),
        cmocka_unit_test(test_thread_that_never_ran),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
