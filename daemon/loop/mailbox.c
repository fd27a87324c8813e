/* Mailboxes: swaps the list out under the lock, handles it without. */
#include "mailbox.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "invariant.h"
#include "xalloc.h"

STAILQ_HEAD(mail_list, mail);

enum mailbox_state {
    MAILBOX_ASLEEP,    /* whoever posts writes to the eventfd */
    MAILBOX_LINGERING, /* the timer will look, unless many wait before */
    MAILBOX_AWAKE,     /* a wake-up is on its way, or a batch is being handled */
};

struct mailbox {
    pthread_mutex_t lock;
    struct mail_list pending; /* guarded by lock, as the next two are */
    unsigned pending_count;
    enum mailbox_state state;
    unsigned linger_ms; /* 0: does not linger */
    unsigned linger_most;
    int wakeup_fd;
    struct event *wakeup;
    struct event *timer;
    mailbox_drained_fn *drained;
    void *ctx;
};

static unsigned take_pending(struct mailbox *mailbox, struct mail_list *ret_batch)
{
    pthread_mutex_lock(&mailbox->lock);
    STAILQ_CONCAT(ret_batch, &mailbox->pending);
    unsigned count = mailbox->pending_count;
    mailbox->pending_count = 0;
    mailbox->state = MAILBOX_AWAKE;
    pthread_mutex_unlock(&mailbox->lock);
    return count;
}

/* After a batch. What came meanwhile is fetched in the next turn of the loop, so that its other events have theirs. */
static void rest(struct mailbox *mailbox, bool had_mail)
{
    pthread_mutex_lock(&mailbox->lock);
    if (mailbox->pending_count > mailbox->linger_most)
        mailbox->state = MAILBOX_AWAKE;
    else if (mailbox->linger_ms > 0 && (had_mail || mailbox->pending_count > 0))
        mailbox->state = MAILBOX_LINGERING;
    else
        mailbox->state = MAILBOX_ASLEEP;
    enum mailbox_state state = mailbox->state;
    pthread_mutex_unlock(&mailbox->lock);
    const struct timeval delay = {
        .tv_usec = state == MAILBOX_LINGERING ? mailbox->linger_ms * 1000 : 0,
    };
    if (state != MAILBOX_ASLEEP)
        (void)event_add(mailbox->timer, &delay);
}

static void deliver_pending(struct mailbox *mailbox)
{
    struct mail_list batch = STAILQ_HEAD_INITIALIZER(batch);
    unsigned count = take_pending(mailbox, &batch);

    while (!STAILQ_EMPTY(&batch)) {
        struct mail *mail = STAILQ_FIRST(&batch);
        STAILQ_REMOVE_HEAD(&batch, link);
        mail->on_arrival(mail);
    }
    if (mailbox->drained != NULL && count > 0)
        mailbox->drained(mailbox->ctx);
    rest(mailbox, count > 0);
}

/* By the eventfd or the timer. The eventfd is edge-triggered: each write counts, and its counter need not be read. */
static void on_wakeup(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    deliver_pending(arg);
}

struct mailbox *mailbox_new(struct event_base *base, mailbox_drained_fn *drained, void *ctx)
{
    struct mailbox *mailbox = NEW(struct mailbox);

    pthread_mutex_init(&mailbox->lock, NULL);
    STAILQ_INIT(&mailbox->pending);
    mailbox->drained = drained;
    mailbox->ctx = ctx;
    mailbox->wakeup_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mailbox->wakeup_fd >= 0)
        mailbox->wakeup =
            event_new(base, mailbox->wakeup_fd, EV_READ | EV_PERSIST | EV_ET, on_wakeup, mailbox);
    mailbox->timer = evtimer_new(base, on_wakeup, mailbox);
    if (mailbox->wakeup == NULL || mailbox->timer == NULL ||
        event_add(mailbox->wakeup, NULL) != 0) {
        mailbox_free(mailbox);
        return NULL;
    }
    return mailbox;
}

void mailbox_set_linger(struct mailbox *mailbox, unsigned delay_ms, unsigned most)
{
    MUST(delay_ms > 0 && delay_ms < 1000);
    mailbox->linger_ms = delay_ms;
    mailbox->linger_most = most;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (mailbox == NULL)
        return;
    while (!STAILQ_EMPTY(&mailbox->pending))
        deliver_pending(mailbox);
    if (mailbox->wakeup != NULL)
        event_free(mailbox->wakeup);
    if (mailbox->timer != NULL)
        event_free(mailbox->timer);
    if (mailbox->wakeup_fd >= 0)
        (void)close(mailbox->wakeup_fd);
    pthread_mutex_destroy(&mailbox->lock);
    free(mailbox);
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
    static const uint64_t one = 1;

    MUST(mail->on_arrival != NULL);
    pthread_mutex_lock(&mailbox->lock);
    STAILQ_INSERT_TAIL(&mailbox->pending, mail, link);
    mailbox->pending_count++;
    bool must_wake =
        mailbox->state == MAILBOX_ASLEEP ||
        (mailbox->state == MAILBOX_LINGERING && mailbox->pending_count > mailbox->linger_most);
    if (must_wake)
        mailbox->state = MAILBOX_AWAKE;
    pthread_mutex_unlock(&mailbox->lock);
    if (must_wake)
        (void)!write(mailbox->wakeup_fd, &one, sizeof one); /* fails only after 2^64 of them */
}
