/* The one way in which threads talk: a queue of messages into another thread's event loop (list, mutex, eventfd).
   Posting gives the message away; it runs on the receiver's thread. A receiver that is at work is not woken: it looks
   again when it has finished its batch. This holds the only mutex of the program. */
#pragma once
#include <stdbool.h>
#include <sys/queue.h>

struct event_base;
struct mailbox;
struct mail;

/* Runs on the receiving thread; owns the mail from then on. */
typedef void mail_fn(struct mail *mail);

/* The first member of whatever is sent. */
struct mail {
    STAILQ_ENTRY(mail) link;
    mail_fn *on_arrival;
};

/* Runs after each batch of arrivals: everything posted before the loop looked is one batch.
   This is where the spool thread commits its group. */
typedef void mailbox_drained_fn(void *ctx);

/* On the thread that owns the base, or before that thread runs. NULL when out of descriptors.
   drained may be NULL. */
struct mailbox *mailbox_new(struct event_base *base, mailbox_drained_fn *drained, void *ctx);

/* For a receiver that nobody waits for: after a batch it looks again by itself every delay_ms until there was nothing,
   and is not woken in between, unless most wait. What comes after a rest arrives at once. Before anything is posted. */
void mailbox_set_linger(struct mailbox *mailbox, unsigned delay_ms, unsigned most);

/* On the owner's thread (or after it has ended), when nobody can post any more. What is still pending arrives first. */
void mailbox_free(struct mailbox *mailbox);

/* From any thread; takes the mail, whose on_arrival is set. Order is kept per sender. */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);
