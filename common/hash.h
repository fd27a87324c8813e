/* uthash with a hash function that clang compiles without a warning: the default one falls through switch labels. */
#pragma once

#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>
