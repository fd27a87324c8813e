/* Queue ids: what people see of a message. 22 characters of Crockford's base 32 (digits and upper-case letters
   without I, L, O, U): 9 for the milliseconds since 1970 (enough until the year 3084), 13 for 64 random bits.
   Sorting them as text sorts them by time; apart from the time they reveal nothing. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { QUEUE_ID_LEN = 22, QUEUE_ID_SIZE = QUEUE_ID_LEN + 1 };

void queue_id_format(char ret_id[QUEUE_ID_SIZE], int64_t time_ms, uint64_t random);
/* With random bits from the kernel (getrandom). */
void queue_id_new(char ret_id[QUEUE_ID_SIZE], int64_t time_ms);
/* Whether text could be an id of ours: the contract's grammar [0-9A-Z]{10,26}. */
bool queue_id_is_plausible(const char *text);
/* The milliseconds in an id made by queue_id_format; false if it is none. */
bool queue_id_time(const char *id, int64_t *ret_time_ms);
