/* A delivery that the test plays (linked with --wrap): orders come to the test, which answers them as it likes.
   What must hold at any moment is checked at every call that passes through: no slot is used again before its order
   is back, no mark before it is cleared, no mark is cleared before the commit, and no recipient is handed out while an earlier outcome of it is not
   on disk. Requests of the dispatcher to the spool pass through here as well, to be failed or kept back. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery.h"
#include "verdict.h"

struct mailbox;

/* Orders that are out, oldest first. */
size_t script_orders_out(void);
struct delivery_order *script_order(size_t index);
/* Since the beginning. */
size_t script_orders_started(void);

/* Outcomes; then script_answer gives the order back. A recipient that gets none is untried. */
void script_accept(struct delivery_order *order, size_t index);
void script_refuse(struct delivery_order *order, size_t index, enum verdict_stage stage,
                   const char *reply);
void script_refuse_all(struct delivery_order *order, enum verdict_stage stage, const char *reply);
/* For a reason of the message, before MAIL. */
void script_object(struct delivery_order *order, enum trouble trouble);
void script_doubt(struct delivery_order *order);
void script_trouble(struct delivery_order *order, enum verdict_stage stage, enum trouble trouble);
void script_trouble_reply(struct delivery_order *order, enum verdict_stage stage,
                          const char *reply);
void script_answer(struct delivery_order *order);
/* All accepted, and answered. */
void script_deliver(struct delivery_order *order);
/* Answers on their way to the dispatcher. */
size_t script_answers_out(void);

/* How often the smarthost has taken responsibility for this recipient; how often a start found it at the dot. */
unsigned script_taken_count(int64_t key, uint16_t number);
unsigned script_doubted_count(int64_t key, uint16_t number);

/* The process is gone: what is out never comes back; the marks stay. */
void script_end(void);
/* Slots that are marked as taken or at the dot. */
size_t script_marks(void);
/* For the next test: forgets everything. */
void script_reset(void);

/* The next count requests of this kind are answered ERROR_FULL instead of reaching the spool. */
enum script_fault { FAULT_OUTCOME, FAULT_CRASHED, FAULT_DUE, FAULT_COUNT };
void script_fail_next(enum script_fault fault, unsigned count);
unsigned script_faults_left(enum script_fault fault);
/* Outcomes given to the spool and not committed. */
size_t script_uncommitted(void);
/* Requests of this kind are kept back from now on, until they are released. */
void script_hold(enum script_fault kind);
void script_release(enum script_fault kind);
size_t script_held(void);
