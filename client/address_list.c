/* Address lists: a scanner that keeps the tokens of the current member and decides at its end what they were. */
#include "address_list.h"

#include <string.h>

enum {
    MEMBER_MAX = 512, /* kept of one member: more than any legal address */
};

enum place {
    PLACE_OUTSIDE, /* a bare address or a display name: known at its end */
    PLACE_ANGLE,   /* between < and > */
    PLACE_BEHIND,  /* behind the >: nothing more may come */
};

struct scanner {
    const char *text;
    size_t len;
    size_t at;
    enum place place;
    char member[MEMBER_MAX + 1];
    size_t member_len;
    bool is_too_long;
    bool has_broken_syntax;
    bool may_join;  /* the last token was '.', '@', or there is none: a word may follow */
    bool has_angle; /* "<>" is a member too: the null address */
    address_list_fn *found;
    void *ctx;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_special(char c)
{
    return c != '\0' && strchr("()<>[]:;@,.\"", c) != NULL;
}

static void member_clear(struct scanner *scanner)
{
    scanner->member_len = 0;
    scanner->is_too_long = false;
    scanner->has_broken_syntax = false;
    scanner->may_join = true;
}

static void keep(struct scanner *scanner, const char *bytes, size_t len)
{
    if (memchr(bytes, '\0', len) != NULL)
        scanner->has_broken_syntax = true; /* the result is a C string */
    if (len > MEMBER_MAX - scanner->member_len) {
        len = MEMBER_MAX - scanner->member_len;
        scanner->is_too_long = true;
    }
    memcpy(scanner->member + scanner->member_len, bytes, len);
    scanner->member_len += len;
    scanner->member[scanner->member_len] = '\0';
}

static void keep_word(struct scanner *scanner, const char *bytes, size_t len)
{
    if (!scanner->may_join) {
        /* "John Doe": two words side by side are a phrase, which is fine before '<' only. */
        scanner->has_broken_syntax = true;
        keep(scanner, " ", 1);
    }
    keep(scanner, bytes, len);
    scanner->may_join = false;
}

static void member_end(struct scanner *scanner)
{
    bool is_address = !scanner->is_too_long && !scanner->has_broken_syntax;

    scanner->member[scanner->member_len] = '\0';
    if (scanner->member_len > 0 || scanner->has_angle)
        scanner->found(scanner->member, is_address, scanner->ctx);
    member_clear(scanner);
    scanner->place = PLACE_OUTSIDE;
    scanner->has_angle = false;
}

/* From the opening parenthesis to the matching one, or to the end. */
static void skip_comment(struct scanner *scanner)
{
    size_t depth = 0;

    for (; scanner->at < scanner->len; scanner->at++) {
        char c = scanner->text[scanner->at];
        if (c == '\\' && scanner->at + 1 < scanner->len)
            scanner->at++;
        else if (c == '(')
            depth++;
        else if (c == ')' && --depth == 0)
            break;
    }
    if (scanner->at < scanner->len)
        scanner->at++;
}

/* A quoted string or a domain literal, delimiters included; line ends of folding are not part of it. */
static void read_delimited(struct scanner *scanner, char end)
{
    bool is_closed = false;

    keep_word(scanner, &scanner->text[scanner->at++], 1);
    while (scanner->at < scanner->len && !is_closed) {
        char c = scanner->text[scanner->at];
        size_t taken = c == '\\' && scanner->at + 1 < scanner->len ? 2 : 1;
        if (c != '\r' && c != '\n')
            keep(scanner, &scanner->text[scanner->at], taken);
        scanner->at += taken;
        is_closed = c == end;
    }
    if (!is_closed)
        scanner->has_broken_syntax = true;
}

static void read_atom(struct scanner *scanner)
{
    size_t start = scanner->at;

    while (scanner->at < scanner->len && !is_space(scanner->text[scanner->at]) &&
           !is_special(scanner->text[scanner->at]))
        scanner->at++;
    keep_word(scanner, scanner->text + start, scanner->at - start);
}

static void on_special(struct scanner *scanner, char c)
{
    scanner->at++;
    switch (c) {
    case '.':
    case '@':
        keep(scanner, &c, 1);
        scanner->may_join = true;
        break;
    case '<':
        if (scanner->place != PLACE_OUTSIDE) {
            scanner->has_broken_syntax = true;
            break;
        }
        member_clear(scanner); /* what stood before is the display name */
        scanner->place = PLACE_ANGLE;
        scanner->has_angle = true;
        break;
    case '>':
        if (scanner->place != PLACE_ANGLE)
            scanner->has_broken_syntax = true;
        scanner->place = PLACE_BEHIND;
        scanner->may_join = false;
        break;
    case ':':
        /* Outside: the name of a group. Inside: the end of a source route (RFC 5322 4.4). */
        if (scanner->place == PLACE_BEHIND)
            scanner->has_broken_syntax = true;
        else
            member_clear(scanner);
        break;
    default: /* a bracket or parenthesis that closes nothing */
        scanner->has_broken_syntax = true;
        break;
    }
}

static void on_separator(struct scanner *scanner)
{
    scanner->at++;
    if (scanner->place != PLACE_ANGLE) {
        member_end(scanner);
        return;
    }
    /* Commas separate the hosts of a source route, which ends with a colon: <@a,@b:c@d>. */
    if (scanner->member[0] != '@')
        scanner->has_broken_syntax = true;
    keep(scanner, ",", 1);
    scanner->may_join = true;
}

static void step(struct scanner *scanner)
{
    char c = scanner->text[scanner->at];

    if (is_space(c))
        scanner->at++;
    else if (c == '(')
        skip_comment(scanner);
    else if (c == ',' || c == ';')
        on_separator(scanner);
    else if (c == '"')
        read_delimited(scanner, '"');
    else if (c == '[')
        read_delimited(scanner, ']');
    else if (is_special(c))
        on_special(scanner, c);
    else
        read_atom(scanner);
}

void address_list_parse(const char *text, size_t len, address_list_fn *found, void *ctx)
{
    struct scanner scanner = { .text = text, .len = len, .found = found, .ctx = ctx };

    member_clear(&scanner);
    while (scanner.at < scanner.len)
        step(&scanner);
    if (scanner.place == PLACE_ANGLE)
        scanner.has_broken_syntax = true;
    member_end(&scanner);
}
