/* The words of a reply. One pass over the text, then searches of fixed short strings. */
#include "reply_words.h"

#include <stddef.h>
#include <string.h>

#include "invariant.h"

/* Of a longer reply the start decides: looking at every word of an endless one would take long. */
enum { ALTERNATIVE_MAX = 128, TEXT_MAX = 4096 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Bytes above ASCII belong to words: not everybody refuses mail in English. */
static bool is_word_byte(char c)
{
    return is_letter(c) || is_digit(c) || (unsigned char)c > 127;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* "user@host", "<user@host>", "\"any thing\"@host": the length, 0 when text does not begin with an address. */
static size_t address_len(const char *text)
{
    size_t len = text[0] == '<' ? 1 : 0;

    if (text[len] == '"') {
        const char *quote = strchr(text + len + 1, '"');
        if (quote == NULL || quote[1] != '@')
            return 0;
        len = (size_t)(quote - text) + 1;
    }
    len += strcspn(text + len, " \t\r\n@>");
    if (text[len] != '@')
        return 0;
    len += strcspn(text + len, " \t\r\n>)");
    return text[len] == '>' ? len + 1 : len;
}

/* "http://...", "www.example.com/page" and "mx.example.com": letters, digits, hyphens and at least one inner dot,
   with a last label that is no number. */
static size_t host_len(const char *text)
{
    size_t len = strcspn(text, " \t\r\n");
    const char *scheme = strstr(text, "://");

    if (scheme != NULL && scheme < text + len)
        return len;
    size_t dots = 0;
    size_t at = 0;
    size_t label = 0;
    for (; is_letter(text[at]) || is_digit(text[at]) || strchr("-_", text[at]) != NULL ||
           (text[at] == '.' && is_word_byte(text[at + 1]));
         at++) {
        if (text[at] == '\0')
            break;
        if (text[at] == '.') {
            dots++;
            label = at + 1;
        }
    }
    if (dots == 0 || is_digit(text[label]) || at - label < 2)
        return 0;
    if (text[at] == '/')
        return len;
    /* "STOREDRV.Submission.Exception:ThisException.ThatException" is the name of a fault, not of a host. */
    return memmem(text, at, "Exception", strlen("Exception")) != NULL ? 0 : at;
}

/* "\"anything\"": the length with both quotes, 0 when it has no end on this line. Subjects and names stand there. */
static size_t quotation_len(const char *text)
{
    size_t len = text[0] == '"' ? 1 + strcspn(text + 1, "\"\n") : 0;

    return len > 0 && text[len] == '"' ? len + 1 : 0;
}

/* Whether text is another reply: "550 5.1.1 ...", or a code behind a colon or an opening bracket. */
static bool is_quoted_reply(const char *text, char before)
{
    if (strchr("245", text[0]) == NULL || !is_digit(text[1]) || !is_digit(text[2]) ||
        (text[3] != ' ' && text[3] != '-'))
        return false;
    bool has_enhanced = is_digit(text[4]) && text[5] == '.' && is_digit(text[6]);
    return has_enhanced || before == ':' || before == '(' || before == '"';
}

void reply_words_of(const char *whole_text, char ret_words[REPLY_WORDS_SIZE])
{
    char start[TEXT_MAX + 1];
    size_t start_len = strnlen(whole_text, TEXT_MAX);
    const char *text = memcpy(start, whole_text, start_len);
    size_t len = 0;
    char before = '\0'; /* the last byte that is no space */
    bool is_start = true;

    start[start_len] = '\0';
    ret_words[len++] = ' ';
    while (*text != '\0' && len < REPLY_WORDS_SIZE - 2) {
        if (is_start && before != '\0' && is_quoted_reply(text, before))
            break;
        size_t skipped = is_start ? address_len(text) : 0;
        if (skipped == 0 && is_start)
            skipped = host_len(text);
        if (skipped == 0 && before != '\0')
            skipped = quotation_len(text);
        if (skipped > 0) {
            text += skipped;
            before = 'x';
            continue;
        }
        /* U+2019 is an apostrophe, too. */
        size_t apostrophe = *text == '\'' ? 1 : strncmp(text, "\xE2\x80\x99", 3) == 0 ? 3 : 0;
        if (apostrophe > 0) {
            text += apostrophe;
            continue;
        }
        if (is_word_byte(*text))
            ret_words[len++] = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
        else if (ret_words[len - 1] != ' ')
            ret_words[len++] = ' ';
        is_start = !is_word_byte(*text);
        if (!is_space(*text))
            before = *text;
        text++;
    }
    if (ret_words[len - 1] != ' ')
        ret_words[len++] = ' ';
    ret_words[len] = '\0';
}

/* The pieces between the stars, in their order. */
static bool alternative_occurs(const char *words, const char *alternative)
{
    char pieces[ALTERNATIVE_MAX];
    char *rest = pieces;

    MUST(strlen(alternative) < sizeof pieces);
    (void)strcpy(pieces, alternative);
    for (const char *piece = strsep(&rest, "*"); piece != NULL; piece = strsep(&rest, "*")) {
        const char *found = strstr(words, piece);
        size_t len = strlen(piece);
        if (found == NULL)
            return false;
        /* Neighbours share the space between them. */
        words = found + (len > 0 && piece[len - 1] == ' ' ? len - 1 : len);
    }
    return true;
}

bool reply_words_match(const char *words, const char *alternatives)
{
    while (*alternatives != '\0') {
        char alternative[ALTERNATIVE_MAX];
        size_t len = strcspn(alternatives, "|");
        MUST(len < sizeof alternative);
        (void)memcpy(alternative, alternatives, len);
        alternative[len] = '\0';
        if (alternative_occurs(words, alternative))
            return true;
        alternatives += len + (alternatives[len] == '|' ? 1 : 0);
    }
    return false;
}
