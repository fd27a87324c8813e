/* Edit distance over short names. */
#include "suggest.h"

#include <string.h>

/* Longer words are no slips of ours; the bound keeps the rows on the stack. */
enum { WORD_MAX = 64 };

static char fold(char c)
{
    if (c == '_')
        return '-';
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: Levenshtein, and an exchange of neighbours counts once. Both are at most WORD_MAX long. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0];
    size_t *above = rows[1];
    size_t *row = rows[2];

    for (size_t j = 0; j <= b_len; j++)
        above[j] = j;
    (void)memcpy(before, above, sizeof rows[0]);
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t change = fold(a[i - 1]) == fold(b[j - 1]) ? 0 : 1;
            row[j] = smaller(above[j - 1] + change, smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]))
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_len];
}

const char *suggest_nearest(const char *word, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    size_t word_len = strlen(word);
    size_t best = smaller(word_len / 3, 3) + 1; /* must be below this */

    if (word_len == 0 || word_len > WORD_MAX)
        return NULL;
    if (word_len < 3)
        best = 2;
    for (size_t i = 0; i < count; i++) {
        size_t name_len = strlen(names[i]);
        if (name_len > WORD_MAX)
            continue;
        size_t slips = distance(word, word_len, names[i], name_len);
        if (slips < best) {
            best = slips;
            nearest = names[i];
        }
    }
    return nearest;
}
