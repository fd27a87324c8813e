/* For tests: deliveries whose timeouts pass quickly. */
#pragma once
#include "delivery.h"
#include "session.h"

struct delivery *delivery_start_with(const struct delivery_options *options,
                                     const struct session_timing *timing, struct error *err);
