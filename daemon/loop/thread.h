/* A thread with an event base and a mailbox of its own. */
#pragma once
#include <stdbool.h>

#include "mailbox.h"

struct error;
struct event_base;
struct loop_thread;

struct loop_thread_hooks {
    void (*on_start)(void *ctx);   /* on the new thread, before its loop; may be NULL */
    void (*on_drained)(void *ctx); /* after each batch of mail; may be NULL */
    void (*on_stop)(void *ctx);    /* on the thread, after its loop has ended; may be NULL */
};

/* Makes the base and the mailbox; the thread does not run yet. name shows in ps and in logs (15 bytes). */
struct loop_thread *loop_thread_new(const char *name, const struct loop_thread_hooks *hooks,
                                    void *ctx, struct error *err);
/* All signals are blocked on the new thread. */
bool loop_thread_start(struct loop_thread *thread, struct error *err);
/* Asks the thread to end after the mail posted so far, and waits for it. */
void loop_thread_stop(struct loop_thread *thread);
/* After loop_thread_stop, or never started. */
void loop_thread_free(struct loop_thread *thread);

struct event_base *loop_thread_base(struct loop_thread *thread);
struct mailbox *loop_thread_mailbox(struct loop_thread *thread);
