/* "Did you mean": the name that a mistyped word is nearest to. */
#pragma once
#include <stddef.h>

/* One of names, or NULL when none is near enough to be meant: at most one slip in three letters, where a slip is a
   letter too many, too few, wrong, or exchanged with its neighbour. ASCII case, `-` and `_` are not distinguished. */
const char *suggest_nearest(const char *word, const char *const *names, size_t count);
