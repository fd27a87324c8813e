/* The words of a reply, as rules look for them. What other people put into it is taken out first, because whoever
   chooses an address must not choose a verdict: addresses, host names, URLs, quotations, and replies repeated inside
   this one. */
#pragma once
#include <stdbool.h>

enum { REPLY_WORDS_SIZE = 2048 };

/* Lower case, words separated by one space, a space at both ends; apostrophes vanish ("can't" is "cant"). */
void reply_words_of(const char *text, char ret_words[REPLY_WORDS_SIZE]);
/* alternatives: pieces separated by '|', of which one must occur; in a piece '*' stands for any words between. */
bool reply_words_match(const char *words, const char *alternatives);
