/* Starts and stops threads that run an event loop. */
#include "thread.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "xalloc.h"

struct loop_thread {
    struct event_base *base;
    struct mailbox *mailbox;
    struct loop_thread_hooks hooks;
    void *ctx;
    char name[16];
    pthread_t thread;
    bool is_running;
};

struct stop_mail {
    struct mail mail;
    struct event_base *base;
};

static void on_stop_mail(struct mail *mail)
{
    struct stop_mail *stop = (struct stop_mail *)mail;

    (void)event_base_loopexit(stop->base, NULL);
    free(stop);
}

static void *run(void *arg)
{
    struct loop_thread *thread = arg;

    (void)pthread_setname_np(pthread_self(), thread->name);
    if (thread->hooks.on_start != NULL)
        thread->hooks.on_start(thread->ctx);
    (void)event_base_loop(thread->base, EVLOOP_NO_EXIT_ON_EMPTY);
    if (thread->hooks.on_stop != NULL)
        thread->hooks.on_stop(thread->ctx);
    return NULL;
}

struct loop_thread *loop_thread_new(const char *name, const struct loop_thread_hooks *hooks,
                                    void *ctx, struct error *err)
{
    struct loop_thread *thread = NEW(struct loop_thread);

    thread->hooks = *hooks;
    thread->ctx = ctx;
    (void)strncpy(thread->name, name, sizeof thread->name - 1);
    thread->base = event_base_new();
    if (thread->base != NULL)
        thread->mailbox = mailbox_new(thread->base, hooks->on_drained, ctx);
    if (thread->mailbox == NULL) {
        (void)fail(err, ERROR_BUSY, "thread %s: no event loop (out of file descriptors?)", name);
        loop_thread_free(thread);
        return NULL;
    }
    return thread;
}

bool loop_thread_start(struct loop_thread *thread, struct error *err)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&thread->thread, NULL, run, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return fail(err, ERROR_BUSY, "start thread %s: %s", thread->name, strerror(rc));
    thread->is_running = true;
    return true;
}

void loop_thread_stop(struct loop_thread *thread)
{
    if (thread == NULL || !thread->is_running)
        return;
    struct stop_mail *stop = NEW(struct stop_mail);
    stop->mail.on_arrival = on_stop_mail;
    stop->base = thread->base;
    mailbox_post(thread->mailbox, &stop->mail);
    (void)pthread_join(thread->thread, NULL);
    thread->is_running = false;
}

void loop_thread_free(struct loop_thread *thread)
{
    if (thread == NULL)
        return;
    mailbox_free(thread->mailbox);
    if (thread->base != NULL)
        event_base_free(thread->base);
    free(thread);
}

struct event_base *loop_thread_base(struct loop_thread *thread)
{
    return thread->base;
}

struct mailbox *loop_thread_mailbox(struct loop_thread *thread)
{
    return thread->mailbox;
}
