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

struct mailbox {
    pthread_mutex_t lock;
    struct mail_list pending; /* guarded by lock */
    bool is_awake;            /* guarded by lock: a wake-up is on its way */
    int wakeup_fd;
    struct event *wakeup;
    mailbox_drained_fn *drained;
    void *ctx;
};

static void deliver_pending(struct mailbox *mailbox)
{
    struct mail_list batch = STAILQ_HEAD_INITIALIZER(batch);

    pthread_mutex_lock(&mailbox->lock);
    STAILQ_CONCAT(&batch, &mailbox->pending);
    mailbox->is_awake = false;
    pthread_mutex_unlock(&mailbox->lock);
    while (!STAILQ_EMPTY(&batch)) {
        struct mail *mail = STAILQ_FIRST(&batch);
        STAILQ_REMOVE_HEAD(&batch, link);
        mail->on_arrival(mail);
    }
    if (mailbox->drained != NULL)
        mailbox->drained(mailbox->ctx);
}

static void on_wakeup(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count = 0;

    (void)what;
    (void)!read((int)fd, &count, sizeof count); /* only resets the counter */
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
            event_new(base, mailbox->wakeup_fd, EV_READ | EV_PERSIST, on_wakeup, mailbox);
    if (mailbox->wakeup == NULL || event_add(mailbox->wakeup, NULL) != 0) {
        mailbox_free(mailbox);
        return NULL;
    }
    return mailbox;
}

void mailbox_free(struct mailbox *mailbox)
{
    if (mailbox == NULL)
        return;
    while (!STAILQ_EMPTY(&mailbox->pending))
        deliver_pending(mailbox);
    if (mailbox->wakeup != NULL)
        event_free(mailbox->wakeup);
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
    bool must_wake = !mailbox->is_awake;
    mailbox->is_awake = true;
    pthread_mutex_unlock(&mailbox->lock);
    if (must_wake)
        (void)!write(mailbox->wakeup_fd, &one, sizeof one); /* fails only when already awake */
}
