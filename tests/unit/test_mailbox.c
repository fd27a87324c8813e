/* Mailboxes and threads: nothing is lost or reordered, also when many post at once and when a thread stops. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "mailbox.h"
#include "thread.h"
#include "xalloc.h"

enum { SENDERS = 4, EACH = 5000 };

/* A wake-up is a write to the eventfd. */
static atomic_uint wakeups;

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    if (len == sizeof(uint64_t))
        (void)atomic_fetch_add(&wakeups, 1);
    return __real_write(fd, bytes, len);
}

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

/* On one thread, so that a test knows when the receiver looks. */
struct desk {
    struct receiver receiver;
    struct event_base *base;
    struct mailbox *mailbox;
    unsigned posted;
};

static void desk_open(struct desk *desk)
{
    *desk = (struct desk){ .base = event_base_new() };
    assert_non_null(desk->base);
    desk->mailbox = mailbox_new(desk->base, on_drained, &desk->receiver);
    assert_non_null(desk->mailbox);
    atomic_store(&wakeups, 0);
}

static void desk_close(struct desk *desk)
{
    mailbox_free(desk->mailbox);
    event_base_free(desk->base);
    assert_int_equal(desk->receiver.disorder, 0);
}

static void desk_post(struct desk *desk, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        post(desk->mailbox, &desk->receiver, 0, desk->posted++);
}

static void desk_assert(const struct desk *desk, unsigned arrived, unsigned batches, unsigned woken)
{
    assert_int_equal(desk->receiver.arrived, arrived);
    assert_int_equal(desk->receiver.batches, batches);
    assert_int_equal(atomic_load(&wakeups), woken);
}

static void test_every_rest_ends_with_a_wakeup(void **state)
{
    struct desk desk;

    (void)state;
    desk_open(&desk);
    for (unsigned round = 1; round <= 1000; round++) {
        desk_post(&desk, 2);
        assert_int_equal(event_base_loop(desk.base, EVLOOP_NONBLOCK), 0);
        desk_assert(&desk, 2 * round, round, round);
    }
    desk_close(&desk);
}

struct posting_mail {
    struct mail mail;
    struct desk *desk;
};

static void on_posting(struct mail *mail)
{
    struct posting_mail *posting = (struct posting_mail *)mail;

    desk_post(posting->desk, 5);
    free(posting);
}

/* What is posted while a batch is handled comes in the next one, and costs no wake-up. */
static void test_receiver_at_work_is_not_woken(void **state)
{
    struct desk desk;

    (void)state;
    desk_open(&desk);
    struct posting_mail *posting = NEW(struct posting_mail);
    posting->mail.on_arrival = on_posting;
    posting->desk = &desk;
    mailbox_post(desk.mailbox, &posting->mail);
    assert_int_equal(event_base_loop(desk.base, EVLOOP_ONCE), 0);
    desk_assert(&desk, 0, 1, 1);
    assert_int_equal(event_base_loop(desk.base, EVLOOP_ONCE), 0);
    desk_assert(&desk, 5, 2, 1);
    desk_post(&desk, 1);
    assert_int_equal(event_base_loop(desk.base, EVLOOP_ONCE), 0);
    desk_assert(&desk, 6, 3, 2);
    desk_close(&desk);
}

static void test_lingering(void **state)
{
    struct desk desk;

    (void)state;
    desk_open(&desk);
    mailbox_set_linger(desk.mailbox, 1, 1000);
    desk_post(&desk, 1);
    assert_int_equal(event_base_loop(desk.base, EVLOOP_NONBLOCK), 0);
    desk_assert(&desk, 1, 1, 1); /* at once */
    desk_post(&desk, 100);
    assert_int_equal(event_base_loop(desk.base, EVLOOP_ONCE), 0);
    desk_assert(&desk, 101, 2, 1); /* by the timer */
    assert_int_equal(event_base_loop(desk.base, EVLOOP_ONCE), 0);
    desk_assert(&desk, 101, 2, 1); /* by the timer for the last time: there was nothing */
    assert_false(event_base_get_num_events(desk.base, EVENT_BASE_COUNT_ADDED) > 1);
    desk_post(&desk, 1);
    assert_int_equal(event_base_loop(desk.base, EVLOOP_NONBLOCK), 0);
    desk_assert(&desk, 102, 3, 2);
    desk_close(&desk);
}

/* Too many do not wait for the timer. */
static void test_lingering_ends_early(void **state)
{
    struct desk desk;

    (void)state;
    desk_open(&desk);
    mailbox_set_linger(desk.mailbox, 999, 3);
    desk_post(&desk, 1);
    assert_int_equal(event_base_loop(desk.base, EVLOOP_NONBLOCK), 0);
    desk_post(&desk, 3);
    assert_int_equal(event_base_loop(desk.base, EVLOOP_NONBLOCK), 0);
    desk_assert(&desk, 1, 1, 1);
    desk_post(&desk, 2);
    desk_assert(&desk, 1, 1, 2);
    assert_int_equal(event_base_loop(desk.base, EVLOOP_NONBLOCK), 0);
    desk_assert(&desk, 6, 2, 2);
    desk_post(&desk, 2);
    desk_close(&desk); /* what still waits arrives */
    assert_int_equal(desk.receiver.arrived, 8);
}

/* A receiver that lingers loses nothing either, whenever others post. */
static void test_lingering_thread(void **state)
{
    struct receiver receiver = { 0 };
    struct error err;
    struct loop_thread *thread = loop_thread_new("receiver", &hooks, &receiver, &err);
    struct sender sender = { loop_thread_mailbox(thread), &receiver, 0 };

    (void)state;
    mailbox_set_linger(loop_thread_mailbox(thread), 1, 100);
    assert_true(loop_thread_start(thread, &err));
    (void)run_sender(&sender);
    loop_thread_stop(thread);
    loop_thread_free(thread);
    assert_int_equal(receiver.arrived, EACH);
    assert_int_equal(receiver.disorder, 0);
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
        cmocka_unit_test(test_every_rest_ends_with_a_wakeup),
        cmocka_unit_test(test_receiver_at_work_is_not_woken),
        cmocka_unit_test(test_lingering),
        cmocka_unit_test(test_lingering_ends_early),
        cmocka_unit_test(test_lingering_thread),
        cmocka_unit_test(test_pending_arrives_at_free),
        cmocka_unit_test(test_thread_that_never_ran),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
