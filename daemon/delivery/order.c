/* Orders: made and freed by whoever gives them, filled in by the session. */
#include "order.h"

#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "blob.h"
#include "config.h"
#include "invariant.h"
#include "xalloc.h"

struct delivery_order *delivery_order_new(const struct config *config,
                                          const struct smarthost_config *smarthost,
                                          size_t recipient_count)
{
    struct delivery_order *order = NEW(struct delivery_order);

    order->config = config_ref(config);
    order->smarthost = smarthost;
    order->recipient_count = recipient_count;
    order->recipients = xcalloc(recipient_count, sizeof *order->recipients);
    for (size_t i = 0; i < recipient_count; i++)
        order->recipients[i].result = DELIVERY_UNTRIED;
    return order;
}

void delivery_order_free(struct delivery_order *order)
{
    if (order == NULL)
        return;
    for (size_t i = 0; i < order->recipient_count; i++) {
        free(order->recipients[i].address);
        free(order->recipients[i].reply);
    }
    free(order->recipients);
    free(order->sender);
    free(order->trouble_text);
    free(order->host);
    blob_unref(order->body);
    config_unref(order->config);
    free(order);
}

struct outcome outcome_of_reply(const struct delivery_order *order, enum verdict_stage stage,
                                const struct smtp_reply *reply)
{
    const char *password = order->smarthost->password;

    return (struct outcome){ .verdict = verdict_of_reply(order->smarthost->provider, stage, reply),
                             .stage = stage,
                             .reply = reply,
                             .is_withheld =
                                 password != NULL && auth_is_secret_in(password, reply->text) };
}

struct outcome outcome_of_trouble(enum verdict_stage stage, enum trouble trouble, const char *words)
{
    return (struct outcome){ .verdict = verdict_of_trouble(stage, trouble),
                             .stage = stage,
                             .words = words };
}

bool outcome_is_of_mail(const struct outcome *outcome)
{
    switch (outcome->verdict.scope) {
    case SCOPE_RECIPIENT:
    case SCOPE_MESSAGE:
    case SCOPE_SENDER:
        return true;
    case SCOPE_ACCOUNT:
    case SCOPE_SMARTHOST:
    case SCOPE_CONNECTION:
    case SCOPE_COUNT:
        return false;
    }
    return false;
}

static char *outcome_text(const struct outcome *outcome)
{
    const char *text = outcome->reply != NULL ? outcome->reply->text : outcome->words;

    if (outcome->is_withheld)
        text = "(withheld: it repeats the password)";
    return text != NULL ? xstrndup(text, ORDER_REPLY_MAX) : NULL;
}

void order_recipient_decide(struct delivery_recipient *recipient, enum delivery_result result,
                            const struct outcome *outcome)
{
    recipient->result = result;
    recipient->verdict = outcome->verdict;
    recipient->stage = outcome->stage;
    if (outcome->reply != NULL) {
        recipient->code = outcome->reply->code;
        (void)memcpy(recipient->enhanced, outcome->reply->enhanced, sizeof recipient->enhanced);
    }
    free(recipient->reply);
    recipient->reply = outcome_text(outcome);
}

void order_trouble_note(struct delivery_order *order, const struct outcome *outcome)
{
    if (order->has_trouble)
        return;
    order->has_trouble = true;
    order->trouble = outcome->verdict;
    order->trouble_stage = outcome->stage;
    if (outcome->reply != NULL) {
        order->trouble_code = outcome->reply->code;
        (void)memcpy(order->trouble_enhanced, outcome->reply->enhanced,
                     sizeof order->trouble_enhanced);
    }
    order->trouble_text = outcome_text(outcome);
}

static void on_given_back(struct mail *mail)
{
    struct delivery_order *order = (struct delivery_order *)mail;

    order->done(order);
}

void order_give_back(struct delivery_order *order)
{
    order->mail.on_arrival = on_given_back;
    mailbox_post(order->reply_to, &order->mail);
}
