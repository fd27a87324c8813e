/* The FILTER language. */
#include "filter.h"

#include <string.h>

#include "address.h"
#include "cleanup.h"
#include "error.h"
#include "escape.h"
#include "glob.h"
#include "invariant.h"
#include "queue_id.h"
#include "suggest.h"
#include "units.h"
#include "verdict.h"
#include "xalloc.h"

enum { TERMS_MAX = 64, TERM_LEN_MAX = 1000, SHOWN_MAX = 60 };
#define STATES_ALL ((1u << RECIPIENT_STATE_COUNT) - 1)

enum value_kind {
    VALUE_TEXT, /* a glob */
    VALUE_ID,
    VALUE_STATES, /* names, separated by commas */
    VALUE_CLASS,
    VALUE_DURATION,
    VALUE_SIZE,
    VALUE_COUNT,
};

enum key {
    KEY_ID,
    KEY_SENDER,
    KEY_RECIPIENT,
    KEY_DOMAIN,
    KEY_SMARTHOST,
    KEY_STATE,
    KEY_CLASS,
    KEY_USER,
    KEY_TAG,
    KEY_AGE,
    KEY_SIZE,
    KEY_ATTEMPTS,
};

#define KEY_BIT(name) (1u << KEY_##name)
/* What all recipients of a message have in common. */
#define KEYS_OF_MESSAGE                                                                            \
    (KEY_BIT(ID) | KEY_BIT(SENDER) | KEY_BIT(USER) | KEY_BIT(TAG) | KEY_BIT(AGE) | KEY_BIT(SIZE))

/* What may stand before the operator. A fixed operator belongs to the words that need no quotes in a shell. */
static const struct {
    const char *name;
    enum key key;
    enum value_kind kind;
    char fixed_operator;
} words[] = {
    {"id",         KEY_ID,        VALUE_ID,       '\0'},
    { "sender",    KEY_SENDER,    VALUE_TEXT,     '\0'},
    { "recipient", KEY_RECIPIENT, VALUE_TEXT,     '\0'},
    { "domain",    KEY_DOMAIN,    VALUE_TEXT,     '\0'},
    { "smarthost", KEY_SMARTHOST, VALUE_TEXT,     '\0'},
    { "state",     KEY_STATE,     VALUE_STATES,   '\0'},
    { "class",     KEY_CLASS,     VALUE_CLASS,    '\0'},
    { "user",      KEY_USER,      VALUE_TEXT,     '\0'},
    { "tag",       KEY_TAG,       VALUE_TEXT,     '\0'},
    { "age",       KEY_AGE,       VALUE_DURATION, '\0'},
    { "size",      KEY_SIZE,      VALUE_SIZE,     '\0'},
    { "attempts",  KEY_ATTEMPTS,  VALUE_COUNT,    '\0'},
    { "older",     KEY_AGE,       VALUE_DURATION, '>' },
    { "newer",     KEY_AGE,       VALUE_DURATION, '<' },
    { "larger",    KEY_SIZE,      VALUE_SIZE,     '>' },
    { "smaller",   KEY_SIZE,      VALUE_SIZE,     '<' },
};

struct term {
    enum key key;
    char comparison; /* '=', '<' or '>' */
    bool is_glob;
    char *text;
    int64_t number;
    unsigned states;
};

struct filter {
    struct term *terms;
    size_t count;
    bool is_default;
};

/* Of what came from outside, a piece that can be shown. */
static char *shown(const char *text)
{
    AUTO_FREE char *start = xstrndup(text, SHOWN_MAX);

    return escape_text(start);
}

/* "; did you mean X?" or nothing. Returns, caller frees. */
static char *hint_of(const char *word, const char *const *names, size_t count)
{
    const char *nearest = suggest_nearest(word, names, count);

    return nearest != NULL ? xasprintf("; did you mean \"%s\"?", nearest) : xstrdup("");
}

static bool fail_key(const char *word, struct error *err)
{
    const char *names[COUNT_OF(words)];

    for (size_t i = 0; i < COUNT_OF(words); i++)
        names[i] = words[i].name;
    AUTO_FREE char *text = shown(word);
    AUTO_FREE char *hint = hint_of(word, names, COUNT_OF(words));
    return fail(
        err, ERROR_USAGE,
        "\"%s\" is no key of a filter%s (id sender recipient domain smarthost state class user "
        "tag age size attempts, older= newer= larger= smaller=)",
        text, hint);
}

static bool parse_states(const char *value, unsigned *ret_states, struct error *err)
{
    AUTO_FREE char *list = xstrdup(value);
    unsigned states = 0;
    char *rest = list;

    for (char *name = strsep(&rest, ","); name != NULL; name = strsep(&rest, ",")) {
        enum recipient_state state = RECIPIENT_QUEUED;
        if (!recipient_state_parse(name, &state)) {
            const char *names[RECIPIENT_STATE_COUNT];
            for (enum recipient_state i = 0; i < RECIPIENT_STATE_COUNT; i++)
                names[i] = recipient_state_name(i);
            AUTO_FREE char *text = shown(name);
            AUTO_FREE char *hint = hint_of(name, names, COUNT_OF(names));
            return fail(err, ERROR_USAGE,
                        "\"%s\" is no state%s (queued held in-doubt delivered failed expired "
                        "cancelled)",
                        text, hint);
        }
        states |= 1u << state;
    }
    *ret_states = states;
    return true;
}

static bool check_class(const char *value, struct error *err)
{
    const char *names[CLASS_COUNT];
    size_t count = 0;
    enum verdict_class parsed = CLASS_NONE;

    if (verdict_class_parse(value, &parsed))
        return true;
    for (enum verdict_class i = CLASS_NONE + 1; i < CLASS_COUNT; i++)
        names[count++] = verdict_class_name(i);
    AUTO_FREE char *text = shown(value);
    AUTO_FREE char *hint = hint_of(value, names, count);
    return fail(
        err, ERROR_USAGE,
        "\"%s\" is no class%s (sender-refused recipients-refused data-error auth-failed ...)", text,
        hint);
}

static bool parse_value(struct term *term, enum value_kind kind, const char *value,
                        struct error *err)
{
    term->is_glob = strchr(value, '*') != NULL;
    term->text = xstrdup(value);
    switch (kind) {
    case VALUE_TEXT:
        if (term->key == KEY_SENDER && strcmp(value, "<>") == 0)
            term->text[0] = '\0';
        return true;
    case VALUE_ID:
        if (!term->is_glob && !queue_id_is_plausible(value)) {
            AUTO_FREE char *text = shown(value);
            return fail(err, ERROR_USAGE,
                        "\"%s\" is no queue id: 10 to 26 digits and capital letters", text);
        }
        return true;
    case VALUE_STATES:
        return parse_states(value, &term->states, err);
    case VALUE_CLASS:
        return term->is_glob || value[0] == '\0' || check_class(value, err);
    case VALUE_DURATION:
        return units_parse_duration(value, &term->number, err);
    case VALUE_SIZE:
        return units_parse_size(value, &term->number, err);
    case VALUE_COUNT:
        return units_parse_count(value, &term->number, err);
    }
    return false;
}

static bool is_number(enum value_kind kind)
{
    return kind == VALUE_DURATION || kind == VALUE_SIZE || kind == VALUE_COUNT;
}

/* key, operator, value; name_len is the length of the key. */
static bool parse_comparison(struct term *term, const char *text, size_t name_len,
                             struct error *err)
{
    AUTO_FREE char *name = xstrndup(text, name_len);
    size_t i = 0;

    while (i < COUNT_OF(words) && strcmp(words[i].name, name) != 0)
        i++;
    if (i == COUNT_OF(words))
        return fail_key(name, err);
    char comparison = text[name_len];
    if (comparison != '=' && (words[i].fixed_operator != '\0' || !is_number(words[i].kind)))
        return fail(err, ERROR_USAGE, "\"%s\" is followed by '=', not by '%c'", name, comparison);
    term->key = words[i].key;
    term->comparison = words[i].fixed_operator != '\0' ? words[i].fixed_operator : comparison;
    return parse_value(term, words[i].kind, text + name_len + 1, err) ||
           fail_context(err, "%s", name);
}

static bool parse_term(struct term *term, const char *text, struct error *err)
{
    size_t name_len = strcspn(text, "=<>");

    if (strlen(text) > TERM_LEN_MAX)
        return fail(err, ERROR_USAGE, "a term of the filter is longer than %d bytes", TERM_LEN_MAX);
    if (text[name_len] != '\0')
        return parse_comparison(term, text, name_len, err);
    if (queue_id_is_plausible(text)) {
        term->key = KEY_ID;
        term->comparison = '=';
        term->text = xstrdup(text);
        return true;
    }
    AUTO_FREE char *shown_text = shown(text);
    return fail(err, ERROR_USAGE, "\"%s\" is neither key=value, nor a queue id, nor \"all\"",
                shown_text);
}

struct filter *filter_new(const char *const *terms, size_t count, struct error *err)
{
    if (count > TERMS_MAX) {
        (void)fail(err, ERROR_USAGE, "a filter has at most %d terms", TERMS_MAX);
        return NULL;
    }
    struct filter *filter = NEW(struct filter);
    filter->terms = xcalloc(count, sizeof *filter->terms);
    filter->is_default = count == 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(terms[i], "all") == 0)
            continue;
        /* Counted first, so that a half-read term is freed with the others. */
        if (!parse_term(&filter->terms[filter->count++], terms[i], err)) {
            filter_free(filter);
            return NULL;
        }
    }
    return filter;
}

void filter_free(struct filter *filter)
{
    if (filter == NULL)
        return;
    for (size_t i = 0; i < filter->count; i++)
        free(filter->terms[i].text);
    free(filter->terms);
    free(filter);
}

bool filter_is_default(const struct filter *filter)
{
    return filter->is_default;
}

/* What is absent (no tag, no class) is found by an empty value, and by no pattern: tag=* asks for any tag. */
static bool text_matches(const struct term *term, const char *text)
{
    if (text == NULL)
        return term->text[0] == '\0';
    return glob_matches(term->text, text);
}

/* The same answer as an index gives, which knows nothing of case. */
static bool name_matches(const struct term *term, const char *text)
{
    if (term->is_glob)
        return text_matches(term, text);
    return strcmp(term->text, text != NULL ? text : "") == 0;
}

static bool number_matches(const struct term *term, int64_t number)
{
    if (term->comparison == '<')
        return number < term->number;
    return term->comparison == '>' ? number > term->number : number == term->number;
}

static bool term_matches(const struct term *term, const struct filter_row *row, int64_t now_s)
{
    switch (term->key) {
    case KEY_ID:
        return name_matches(term, row->id);
    case KEY_SENDER:
        return text_matches(term, row->sender);
    case KEY_RECIPIENT:
        return text_matches(term, row->recipient);
    case KEY_DOMAIN:
        return text_matches(term, address_text_domain(row->recipient));
    case KEY_SMARTHOST:
        return name_matches(term, row->smarthost);
    case KEY_STATE:
        return (term->states & (1u << row->state)) != 0;
    case KEY_CLASS:
        return text_matches(term, row->class);
    case KEY_USER:
        return text_matches(term, row->user);
    case KEY_TAG:
        return text_matches(term, row->tag);
    case KEY_AGE:
        return number_matches(term, now_s > row->accepted_at_s ? now_s - row->accepted_at_s : 0);
    case KEY_SIZE:
        return number_matches(term, row->size_bytes);
    case KEY_ATTEMPTS:
        return number_matches(term, row->attempts);
    }
    return false;
}

static bool terms_match(const struct filter *filter, unsigned keys, const struct filter_row *row,
                        int64_t now_s)
{
    for (size_t i = 0; i < filter->count; i++)
        if ((keys & 1u << filter->terms[i].key) != 0 &&
            !term_matches(&filter->terms[i], row, now_s))
            return false;
    return true;
}

bool filter_matches_message(const struct filter *filter, const struct filter_row *row,
                            int64_t now_s)
{
    return terms_match(filter, KEYS_OF_MESSAGE, row, now_s);
}

bool filter_matches_recipient(const struct filter *filter, const struct filter_row *row)
{
    MUST(row->state < RECIPIENT_STATE_COUNT);
    if (filter->is_default)
        return !recipient_state_is_final(row->state);
    return terms_match(filter, ~KEYS_OF_MESSAGE, row, 0);
}

bool filter_matches(const struct filter *filter, const struct filter_row *row, int64_t now_s)
{
    return filter_matches_recipient(filter, row) && filter_matches_message(filter, row, now_s);
}

static bool has_terms(const struct filter *filter, unsigned keys)
{
    for (size_t i = 0; i < filter->count; i++)
        if ((keys & 1u << filter->terms[i].key) != 0)
            return true;
    return false;
}

bool filter_has_message_terms(const struct filter *filter)
{
    return has_terms(filter, KEYS_OF_MESSAGE);
}

bool filter_has_recipient_terms(const struct filter *filter)
{
    return has_terms(filter, ~(KEYS_OF_MESSAGE | KEY_BIT(STATE)));
}

static const char *exact_text(const struct filter *filter, enum key key)
{
    for (size_t i = 0; i < filter->count; i++)
        if (filter->terms[i].key == key && !filter->terms[i].is_glob)
            return filter->terms[i].text;
    return NULL;
}

const char *filter_exact_id(const struct filter *filter)
{
    const char *id = exact_text(filter, KEY_ID);

    return id != NULL ? id : "";
}

const char *filter_exact_smarthost(const struct filter *filter)
{
    return exact_text(filter, KEY_SMARTHOST);
}

unsigned filter_states(const struct filter *filter)
{
    unsigned states = STATES_ALL;

    if (filter->is_default) {
        for (enum recipient_state state = 0; state < RECIPIENT_STATE_COUNT; state++)
            if (recipient_state_is_final(state))
                states &= ~(1u << state);
        return states;
    }
    for (size_t i = 0; i < filter->count; i++)
        if (filter->terms[i].key == KEY_STATE)
            states &= filter->terms[i].states;
    return states;
}

void filter_accepted_range(const struct filter *filter, int64_t now_s, int64_t *ret_from_s,
                           int64_t *ret_until_s)
{
    int64_t from_s = INT64_MIN;
    int64_t until_s = INT64_MAX;

    for (size_t i = 0; i < filter->count; i++) {
        const struct term *term = &filter->terms[i];
        if (term->key != KEY_AGE)
            continue;
        int64_t at_s = now_s - term->number;
        int64_t first_s = term->comparison == '<' ? at_s + 1 : at_s;
        int64_t last_s = term->comparison == '>' ? at_s - 1 : at_s;
        if (term->comparison != '>' && first_s > from_s)
            from_s = first_s;
        /* What is from the future has age 0. */
        if ((term->comparison == '>' || (term->comparison == '=' && term->number > 0)) &&
            last_s < until_s)
            until_s = last_s;
    }
    *ret_from_s = from_s;
    *ret_until_s = until_s;
}
