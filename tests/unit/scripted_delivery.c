/* Plays the delivery for tests of the dispatcher, and stands between dispatcher and spool. Main thread only. */
#include "scripted_delivery.h"

#include <stdarg.h>
#include <setjmp.h>
#include "error.h" /* before cmocka, which makes a macro of fail() */

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "cleanup.h"
#include "hash.h"
#include "invariant.h"
#include "xalloc.h"

#include "config.h"
#include "inflight.h"
#include "mailbox.h"
#include "order.h"
#include "spool.h"

enum { SLOTS = 256, MARKS = 256, OUT_MAX = 256 };

/* --- What the smarthosts know --- */

struct fact {
    UT_hash_handle hh;
    struct fact_key {
        int64_t key;
        int64_t number;
    } of;
    unsigned taken;
    unsigned doubted;
};

static struct fact *facts;

static struct fact *fact_of(int64_t key, uint16_t number)
{
    const struct fact_key of = { key, number };
    struct fact *fact = NULL;

    HASH_FIND(hh, facts, &of, sizeof of, fact);
    if (fact == NULL) {
        fact = NEW(struct fact);
        fact->of = of;
        HASH_ADD(hh, facts, of, sizeof fact->of, fact);
    }
    return fact;
}

unsigned script_taken_count(int64_t key, uint16_t number)
{
    return fact_of(key, number)->taken;
}

unsigned script_doubted_count(int64_t key, uint16_t number)
{
    return fact_of(key, number)->doubted;
}

/* --- Outcomes that are not committed yet --- */

/* While it is here, its done is ours. */
struct pending {
    LIST_ENTRY(pending) link;
    struct spool_outcome *outcome;
    spool_done_fn *done;
};

static LIST_HEAD(, pending) uncommitted = LIST_HEAD_INITIALIZER(uncommitted);

size_t script_uncommitted(void)
{
    struct pending *pending;
    size_t count = 0;

    LIST_FOREACH(pending, &uncommitted, link)
    count++;
    return count;
}

static struct pending *pending_of(const struct spool_outcome *outcome)
{
    struct pending *pending;

    LIST_FOREACH(pending, &uncommitted, link)
    if (pending->outcome == outcome)
        return pending;
    return NULL;
}

static bool is_uncommitted(int64_t key, uint16_t number)
{
    struct pending *pending;

    LIST_FOREACH(pending, &uncommitted, link)
    for (size_t i = 0; i < pending->outcome->recipient_count; i++)
        if (pending->outcome->key == key && pending->outcome->recipients[i].number == number)
            return true;
    return false;
}

static void on_recorded(struct spool_request *request)
{
    struct pending *pending = pending_of((struct spool_outcome *)request);

    MUST(pending != NULL); /* assert_non_null() does not tell the compiler */
    spool_done_fn *done = pending->done;
    if (request->is_ok || request->error.code == ERROR_MISSING) {
        LIST_REMOVE(pending, link);
        free(pending);
    }
    done(request);
}

/* --- Between dispatcher and spool --- */

void __real_spool_outcome_record(struct spool *spool, struct spool_outcome *outcome);
void __wrap_spool_outcome_record(struct spool *spool, struct spool_outcome *outcome);
void __real_spool_crashed_record(struct spool *spool, struct spool_crashed *crashed);
void __wrap_spool_crashed_record(struct spool *spool, struct spool_crashed *crashed);
void __real_spool_due_read(struct spool *spool, struct spool_due *due);
void __wrap_spool_due_read(struct spool *spool, struct spool_due *due);

struct held {
    STAILQ_ENTRY(held) link;
    struct spool *spool;
    struct spool_request *request;
};

static struct {
    unsigned faults;
    bool is_holding;
    STAILQ_HEAD(, held) held;
} gates[FAULT_COUNT] = {
    { .held = STAILQ_HEAD_INITIALIZER(gates[0].held) },
    { .held = STAILQ_HEAD_INITIALIZER(gates[1].held) },
    { .held = STAILQ_HEAD_INITIALIZER(gates[2].held) },
};

static void on_fault(struct mail *mail)
{
    struct spool_request *request = (struct spool_request *)mail;

    request->done(request);
}

/* Whether it may go on to the spool. */
static bool pass(enum script_fault kind, struct spool *spool, struct spool_request *request)
{
    if (gates[kind].is_holding) {
        struct held *held = NEW(struct held);
        held->spool = spool;
        held->request = request;
        STAILQ_INSERT_TAIL(&gates[kind].held, held, link);
        return false;
    }
    if (gates[kind].faults == 0)
        return true;
    gates[kind].faults--;
    request->is_ok = false;
    request->error = (struct error){ .code = ERROR_FULL, .text = "by the test" };
    request->mail.on_arrival = on_fault;
    mailbox_post(request->reply_to, &request->mail);
    return false;
}

void __wrap_spool_outcome_record(struct spool *spool, struct spool_outcome *outcome)
{
    assert_true(outcome->recipient_count > 0);
    if (pending_of(outcome) == NULL) {
        for (size_t i = 0; i < outcome->recipient_count; i++)
            assert_false(is_uncommitted(outcome->key, outcome->recipients[i].number));
        struct pending *pending = NEW(struct pending);
        pending->outcome = outcome;
        pending->done = outcome->request.done;
        outcome->request.done = on_recorded;
        LIST_INSERT_HEAD(&uncommitted, pending, link);
    }
    if (pass(FAULT_OUTCOME, spool, &outcome->request))
        __real_spool_outcome_record(spool, outcome);
}

void __wrap_spool_crashed_record(struct spool *spool, struct spool_crashed *crashed)
{
    if (pass(FAULT_CRASHED, spool, &crashed->request))
        __real_spool_crashed_record(spool, crashed);
}

void __wrap_spool_due_read(struct spool *spool, struct spool_due *due)
{
    if (pass(FAULT_DUE, spool, &due->request))
        __real_spool_due_read(spool, due);
}

static void let_through(enum script_fault kind, struct spool *spool, struct spool_request *request)
{
    switch (kind) {
    case FAULT_OUTCOME:
        __wrap_spool_outcome_record(spool, (struct spool_outcome *)request);
        break;
    case FAULT_CRASHED:
        __wrap_spool_crashed_record(spool, (struct spool_crashed *)request);
        break;
    case FAULT_DUE:
        __wrap_spool_due_read(spool, (struct spool_due *)request);
        break;
    case FAULT_COUNT:
        break;
    }
}

void script_fail_next(enum script_fault fault, unsigned count)
{
    gates[fault].faults = count;
}

unsigned script_faults_left(enum script_fault fault)
{
    return gates[fault].faults;
}

void script_hold(enum script_fault kind)
{
    gates[kind].is_holding = true;
}

void script_release(enum script_fault kind)
{
    gates[kind].is_holding = false;
    while (!STAILQ_EMPTY(&gates[kind].held)) {
        AUTO_FREE struct held *held = STAILQ_FIRST(&gates[kind].held);
        STAILQ_REMOVE_HEAD(&gates[kind].held, link);
        let_through(kind, held->spool, held->request);
    }
}

size_t script_held(void)
{
    struct held *held;
    size_t count = 0;

    for (size_t i = 0; i < FAULT_COUNT; i++)
        STAILQ_FOREACH(held, &gates[i].held, link)
    count++;
    return count;
}

/* --- Slots, marks and orders --- */

void __wrap_delivery_order_start(struct delivery *delivery, struct delivery_order *order);
void __wrap_delivery_mark_committed(struct delivery *delivery, unsigned number);
bool __wrap_delivery_inflight_next(struct delivery *delivery, unsigned *number,
                                   struct inflight_mark *ret_mark);

static struct inflight_mark marks[MARKS];
static struct delivery_order *out[OUT_MAX];
static size_t out_count;
static size_t started_count;
static size_t answers_count;
/* What a crash takes along, so that the leak checker finds it. */
static void **graveyard;
static size_t graveyard_count;

size_t script_orders_out(void)
{
    return out_count;
}

struct delivery_order *script_order(size_t index)
{
    assert_true(index < out_count);
    return out[index];
}

size_t script_orders_started(void)
{
    return started_count;
}

size_t script_answers_out(void)
{
    return answers_count;
}

size_t script_marks(void)
{
    size_t count = 0;

    for (size_t i = 0; i < MARKS; i++)
        count += marks[i].phase != INFLIGHT_NONE;
    return count;
}

static bool is_marked(int64_t key, uint16_t number)
{
    for (size_t i = 0; i < MARKS; i++)
        for (size_t j = 0; marks[i].phase != INFLIGHT_NONE && j < marks[i].number_count; j++)
            if (marks[i].key == key && marks[i].numbers[j] == number)
                return true;
    return false;
}

static void mark(const struct delivery_order *order, enum inflight_phase phase)
{
    struct inflight_mark *slot = &marks[order->mark];

    *slot = (struct inflight_mark){ .phase = phase, .key = order->key };
    (void)strncpy(slot->smarthost, order->smarthost->name, INFLIGHT_NAME_MAX);
    for (size_t i = 0; i < order->recipient_count; i++) {
        const struct delivery_recipient *recipient = &order->recipients[i];
        bool is_at_dot =
            recipient->result == DELIVERY_DONE || recipient->result == DELIVERY_IN_DOUBT;
        if (phase == INFLIGHT_TAKEN || is_at_dot)
            slot->numbers[slot->number_count++] = recipient->number;
    }
}

void __wrap_delivery_order_start(struct delivery *delivery, struct delivery_order *order)
{
    (void)delivery;
    assert_true(order->slot < SLOTS && out_count < OUT_MAX);
    assert_true(order->mark < MARKS);
    assert_int_equal(marks[order->mark].phase, INFLIGHT_NONE);
    for (size_t i = 0; i < out_count; i++)
        assert_int_not_equal(out[i]->slot, order->slot);
    assert_true(order->recipient_count > 0);
    assert_true(order->recipient_count <= order->smarthost->recipients_max);
    for (size_t i = 0; i < order->recipient_count; i++) {
        assert_false(is_marked(order->key, order->recipients[i].number));
        assert_false(is_uncommitted(order->key, order->recipients[i].number));
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(order->recipients[i].number, order->recipients[j].number);
    }
    mark(order, INFLIGHT_TAKEN);
    out[out_count++] = order;
    started_count++;
}

void __wrap_delivery_mark_committed(struct delivery *delivery, unsigned number)
{
    (void)delivery;
    assert_true(number < MARKS);
    for (size_t i = 0; i < out_count; i++)
        assert_int_not_equal(out[i]->mark, number);
    struct pending *pending;
    LIST_FOREACH(pending, &uncommitted, link)
    if (pending->outcome->smarthost != NULL && pending->outcome->key == marks[number].key)
        assert_string_not_equal(pending->outcome->smarthost, marks[number].smarthost);
    marks[number].phase = INFLIGHT_NONE;
}

bool __wrap_delivery_inflight_next(struct delivery *delivery, unsigned *number,
                                   struct inflight_mark *ret_mark)
{
    (void)delivery;
    while (*number < MARKS) {
        *ret_mark = marks[(*number)++];
        if (ret_mark->phase == INFLIGHT_NONE)
            continue;
        /* At the dot and not recorded: it may be sent again, and is known to be. */
        for (size_t i = 0; ret_mark->phase == INFLIGHT_AT_DOT && i < ret_mark->number_count; i++)
            fact_of(ret_mark->key, ret_mark->numbers[i])->doubted++;
        return true;
    }
    return false;
}

/* --- Answers --- */

static bool reached_mail(enum verdict_stage stage)
{
    return stage >= STAGE_MAIL && stage <= STAGE_END_OF_DATA;
}

void script_accept(struct delivery_order *order, size_t index)
{
    static const struct smtp_reply reply = { .code = 250, .enhanced = "2.0.0", .text = "taken" };
    struct outcome outcome = outcome_of_reply(order, STAGE_END_OF_DATA, &reply);

    order->was_connected = true;
    order_recipient_decide(&order->recipients[index], DELIVERY_DONE, &outcome);
    fact_of(order->key, order->recipients[index].number)->taken++;
}

static void note(struct delivery_order *order, struct delivery_recipient *recipient,
                 const struct outcome *outcome)
{
    if (recipient != NULL && outcome_is_of_mail(outcome))
        order_recipient_decide(recipient, DELIVERY_REFUSED, outcome);
    else
        order_trouble_note(order, outcome);
    order->was_connected = order->was_connected || reached_mail(outcome->stage);
}

static void note_reply(struct delivery_order *order, struct delivery_recipient *recipient,
                       enum verdict_stage stage, const char *text)
{
    struct smtp_reply reply;
    struct error err;
    AUTO_FREE char *words = NULL;

    assert_true(smtp_reply_parse(text, &reply, &words, &err));
    struct outcome outcome = outcome_of_reply(order, stage, &reply);
    note(order, recipient, &outcome);
}

void script_refuse(struct delivery_order *order, size_t index, enum verdict_stage stage,
                   const char *reply)
{
    note_reply(order, &order->recipients[index], stage, reply);
}

void script_refuse_all(struct delivery_order *order, enum verdict_stage stage, const char *reply)
{
    for (size_t i = 0; i < order->recipient_count; i++)
        script_refuse(order, i, stage, reply);
}

void script_object(struct delivery_order *order, enum trouble trouble)
{
    struct outcome outcome = outcome_of_trouble(STAGE_MAIL, trouble, "by the test");

    for (size_t i = 0; i < order->recipient_count; i++)
        order_recipient_decide(&order->recipients[i], DELIVERY_REFUSED, &outcome);
}

void script_doubt(struct delivery_order *order)
{
    struct outcome outcome = outcome_of_trouble(STAGE_END_OF_DATA, TROUBLE_LOST_AFTER_DOT, "lost");

    order->was_connected = true;
    for (size_t i = 0; i < order->recipient_count; i++)
        order_recipient_decide(&order->recipients[i], DELIVERY_IN_DOUBT, &outcome);
    order_trouble_note(order, &outcome);
}

void script_trouble(struct delivery_order *order, enum verdict_stage stage, enum trouble trouble)
{
    struct outcome outcome = outcome_of_trouble(stage, trouble, "by the test");

    note(order, NULL, &outcome);
}

void script_trouble_reply(struct delivery_order *order, enum verdict_stage stage, const char *reply)
{
    note_reply(order, NULL, stage, reply);
}

static void on_order_back(struct mail *mail)
{
    struct delivery_order *order = (struct delivery_order *)mail;

    answers_count--;
    order->done(order);
}

static void forget_out(const struct delivery_order *order)
{
    size_t i = 0;

    while (i < out_count && out[i] != order)
        i++;
    assert_true(i < out_count);
    out_count--;
    (void)memmove(&out[i], &out[i + 1], (out_count - i) * sizeof out[0]);
}

void script_answer(struct delivery_order *order)
{
    bool is_at_dot = false;

    for (size_t i = 0; i < order->recipient_count; i++)
        is_at_dot = is_at_dot || order->recipients[i].result == DELIVERY_DONE ||
                    order->recipients[i].result == DELIVERY_IN_DOUBT;
    if (is_at_dot)
        mark(order, INFLIGHT_AT_DOT);
    forget_out(order);
    order->is_session_open = !order->has_trouble;
    order->mail.on_arrival = on_order_back;
    answers_count++;
    mailbox_post(order->reply_to, &order->mail);
}

void script_deliver(struct delivery_order *order)
{
    for (size_t i = 0; i < order->recipient_count; i++)
        script_accept(order, i);
    script_answer(order);
}

/* --- Ends --- */

static void bury(void *what)
{
    graveyard = xrealloc(graveyard, graveyard_count + 1, sizeof *graveyard);
    graveyard[graveyard_count++] = what;
}

void script_end(void)
{
    while (out_count > 0)
        bury(out[--out_count]);
    for (size_t i = 0; i < FAULT_COUNT; i++) {
        while (!STAILQ_EMPTY(&gates[i].held)) {
            struct held *held = STAILQ_FIRST(&gates[i].held);
            STAILQ_REMOVE_HEAD(&gates[i].held, link);
            bury(held);
        }
        gates[i].is_holding = false;
    }
    while (!LIST_EMPTY(&uncommitted)) {
        struct pending *pending = LIST_FIRST(&uncommitted);
        LIST_REMOVE(pending, link);
        free(pending);
    }
}

void script_reset(void)
{
    struct fact *fact;
    struct fact *next;

    script_end();
    HASH_ITER(hh, facts, fact, next)
    {
        HASH_DEL(facts, fact);
        free(fact);
    }
    (void)memset(marks, 0, sizeof marks);
    for (size_t i = 0; i < FAULT_COUNT; i++)
        gates[i].faults = 0;
    started_count = 0;
}
