/* Writing outcomes into orders. On the delivery thread that works on the order. */
#pragma once
#include <stddef.h>

#include "delivery.h"
#include "verdict.h"

enum { ORDER_REPLY_MAX = 2000 };

/* What decided: a verdict, and the reply or our own words that led to it (one of them is NULL). */
struct outcome {
    struct verdict verdict;
    enum verdict_stage stage;
    const struct smtp_reply *reply;
    bool is_withheld; /* the text of reply repeats our password: it is not kept */
    const char *words;
};

struct outcome outcome_of_reply(const struct delivery_order *order, enum verdict_stage stage,
                                const struct smtp_reply *reply);
struct outcome outcome_of_trouble(enum verdict_stage stage, enum trouble trouble,
                                  const char *words);
/* Whether it concerns the mail (this recipient, message or sender), not whoever takes it. */
bool outcome_is_of_mail(const struct outcome *outcome);

void order_recipient_decide(struct delivery_recipient *recipient, enum delivery_result result,
                            const struct outcome *outcome);
/* Trouble of the connection, the account or the smarthost. The first one counts. */
void order_trouble_note(struct delivery_order *order, const struct outcome *outcome);
/* Gives the order back to whom it belongs. */
void order_give_back(struct delivery_order *order);
