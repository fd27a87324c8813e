/* `*` patterns. */
#include "glob.h"

#include <stddef.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Only the last `*` is ever taken up again: an earlier one that took more could not help what follows the last.
   So no recursion, and no pattern makes it slow. */
bool glob_matches(const char *pattern, const char *text)
{
    const char *star = NULL;
    const char *star_text = NULL;

    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            star_text = text;
        } else if (*pattern != '\0' && lower(*pattern) == lower(*text)) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++star_text;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
