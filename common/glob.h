/* Patterns of the configuration and of filters: `*` stands for any run of bytes, ASCII case is ignored, nothing
   else is special. Linear memory, no recursion, at most pattern length x text length steps. */
#pragma once
#include <stdbool.h>

bool glob_matches(const char *pattern, const char *text);
