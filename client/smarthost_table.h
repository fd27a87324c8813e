/* Smarthosts as outbox status and outbox smarthost list show them. */
#pragma once
#include <jansson.h>

/* An array of smarthost objects. */
void smarthost_table_print(const json_t *smarthosts);
