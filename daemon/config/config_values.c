/* Values: whatever libconfig read becomes text again, so that `4`, `"4"` and a fallback take the same way. */
#include "config_values.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "escape.h"
#include "invariant.h"
#include "xalloc.h"

enum { TEXT_MAX = 1024, HOST_MAX = 253, LIST_MAX = 1000, SCALAR_SIZE = 40 };

/* Puts text into the member at place. */
typedef bool parse_fn(const struct config_key *key, const char *text, void *place,
                      struct error *err);

static bool is_plain_text(const char *text)
{
    for (const char *p = text; *p != '\0'; p++)
        if (iscntrl((unsigned char)*p))
            return false;
    return utf8_is_valid(text, strlen(text));
}

static bool check_text(const char *text, struct error *err)
{
    if (!is_plain_text(text))
        return fail(err, ERROR_CONFIG, "control characters and broken UTF-8 are not accepted");
    if (strlen(text) > TEXT_MAX)
        return fail(err, ERROR_CONFIG, "longer than %d bytes", TEXT_MAX);
    return true;
}

static void store_text(void *place, const char *text)
{
    char **member = place;

    free(*member);
    *member = xstrdup(text);
}

static bool parse_text(const struct config_key *key, const char *text, void *place,
                       struct error *err)
{
    (void)key;
    if (*text == '\0')
        return fail(err, ERROR_CONFIG, "is empty");
    if (!check_text(text, err))
        return false;
    store_text(place, text);
    return true;
}

/* What may stand in a command line of SMTP and in a URL: not the grammar of domains, but nothing can break out. */
static bool parse_host(const struct config_key *key, const char *text, void *place,
                       struct error *err)
{
    (void)key;
    size_t len = strlen(text);
    if (len == 0 || len > HOST_MAX || *text == '-' || *text == '.')
        return fail(err, ERROR_CONFIG, "\"%.60s\" is not a host name", text);
    for (const char *p = text; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && strchr(".-_:[]", *p) == NULL)
            return fail(err, ERROR_CONFIG,
                        "\"%.60s\" is not a host name (letters, digits, '-' and '.')", text);
    store_text(place, text);
    return true;
}

static bool parse_path(const struct config_key *key, const char *text, void *place,
                       struct error *err)
{
    if (key->words != NULL && strcmp(text, key->words) == 0)
        return true;
    if (!check_text(text, err))
        return false;
    if (*text != '/')
        return fail(err, ERROR_CONFIG, "\"%.60s\" does not begin with '/'", text);
    store_text(place, text);
    return true;
}

static bool parse_word(const struct config_key *key, const char *text, void *place,
                       struct error *err)
{
    size_t len = strlen(text);

    for (const char *p = key->words; *p != '\0'; p += strspn(p, " ")) {
        size_t word_len = strcspn(p, " ");
        if (word_len == len && strncmp(p, text, len) == 0) {
            store_text(place, text);
            return true;
        }
        p += word_len;
    }
    return fail(err, ERROR_CONFIG, "\"%.60s\" is none of: %s", text, key->words);
}

static bool parse_integer(enum config_type type, const char *text, int64_t *ret_value,
                          struct error *err)
{
    if (type == TYPE_DURATION)
        return units_parse_duration(text, ret_value, err);
    if (type == TYPE_SIZE)
        return units_parse_size(text, ret_value, err);
    return units_parse_count(text, ret_value, err);
}

static bool parse_quantity(const struct config_key *key, const char *text, void *place,
                           struct error *err)
{
    int64_t value = 0;
    int64_t minimum = 0;
    int64_t maximum = 0;

    if (!parse_integer(key->type, text, &value, err))
        return false;
    MUST(parse_integer(key->type, key->minimum, &minimum, err));
    MUST(parse_integer(key->type, key->maximum, &maximum, err));
    if (value < minimum || value > maximum)
        return fail(err, ERROR_CONFIG, "%.40s is not between %s and %s", text, key->minimum,
                    key->maximum);
    if (key->type == TYPE_NUMBER)
        *(unsigned *)place = (unsigned)value;
    else
        *(int64_t *)place = value;
    return true;
}

static bool parse_rate(const struct config_key *key, const char *text, void *place,
                       struct error *err)
{
    (void)key;
    return units_parse_rate(text, place, err);
}

static bool parse_factor(const struct config_key *key, const char *text, void *place,
                         struct error *err)
{
    char *end = NULL;
    double value = strtod(text, &end);

    if (*text == '\0' || *end != '\0' || strspn(text, "0123456789.") != strlen(text))
        return fail(err, ERROR_CONFIG, "\"%.40s\" is not a number", text);
    if (!(value >= strtod(key->minimum, NULL) && value <= strtod(key->maximum, NULL)))
        return fail(err, ERROR_CONFIG, "%.40s is not between %s and %s", text, key->minimum,
                    key->maximum);
    *(double *)place = value;
    return true;
}

static bool parse_bool(const struct config_key *key, const char *text, void *place,
                       struct error *err)
{
    (void)key;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return fail(err, ERROR_CONFIG, "\"%.40s\" is neither true nor false", text);
    *(bool *)place = *text == 't';
    return true;
}

/* Appends. */
static bool parse_list_entry(const struct config_key *key, const char *text, void *place,
                             struct error *err)
{
    struct route_patterns *list = place;

    (void)key;
    if (!check_text(text, err))
        return false;
    if (list->count >= LIST_MAX)
        return fail(err, ERROR_CONFIG, "has more than %d entries", LIST_MAX);
    list->patterns = xrealloc(list->patterns, list->count + 1, sizeof *list->patterns);
    list->patterns[list->count++] = xstrdup(text);
    return true;
}

/* NULL: sections and keys of later versions, which hold no value of this kind. */
static parse_fn *const parsers[TYPE_COUNT] = {
    [TYPE_TEXT] = parse_text,         [TYPE_HOST] = parse_host,
    [TYPE_PATH] = parse_path,         [TYPE_WORD] = parse_word,
    [TYPE_NUMBER] = parse_quantity,   [TYPE_QUANTITY] = parse_quantity,
    [TYPE_DURATION] = parse_quantity, [TYPE_SIZE] = parse_quantity,
    [TYPE_RATE] = parse_rate,         [TYPE_FACTOR] = parse_factor,
    [TYPE_BOOL] = parse_bool,         [TYPE_LIST] = parse_list_entry,
};

/* NULL when the setting is a group, a list, or of a kind that its type never takes. */
static const char *scalar_text(const struct config_key *key, const config_setting_t *setting,
                               char buffer[SCALAR_SIZE])
{
    bool is_text = key->type == TYPE_TEXT || key->type == TYPE_HOST || key->type == TYPE_PATH ||
                   key->type == TYPE_WORD || key->type == TYPE_LIST;

    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_STRING:
        return config_setting_get_string(setting);
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        (void)snprintf(buffer, SCALAR_SIZE, "%lld", config_setting_get_int64(setting));
        return is_text || key->type == TYPE_BOOL ? NULL : buffer;
    case CONFIG_TYPE_FLOAT:
        (void)snprintf(buffer, SCALAR_SIZE, "%g", config_setting_get_float(setting));
        return key->type == TYPE_FACTOR ? buffer : NULL;
    case CONFIG_TYPE_BOOL:
        return key->type != TYPE_BOOL                  ? NULL
               : config_setting_get_bool(setting) != 0 ? "true"
                                                       : "false";
    default:
        return NULL;
    }
}

static void read_scalar(struct complaints *complaints, const struct config_key *key,
                        const config_setting_t *setting, void *place)
{
    char buffer[SCALAR_SIZE];
    struct error err = { 0 };
    const char *text = scalar_text(key, setting, buffer);
    unsigned line = config_setting_source_line(setting);

    if (text == NULL)
        complain(complaints, line, "%s: a %s is expected (%s)", key->name,
                 config_type_name(key->type), key->help);
    else if (!parsers[key->type](key, text, place, &err))
        complain(complaints, line, "%s: %s", key->name, err.text);
}

static void read_list(struct complaints *complaints, const struct config_key *key,
                      const config_setting_t *setting, struct route_patterns *list)
{
    int count = config_setting_length(setting);

    if (count == 0)
        complain(complaints, config_setting_source_line(setting), "%s: the list is empty",
                 key->name);
    for (int i = 0; i < count; i++)
        read_scalar(complaints, key, config_setting_get_elem(setting, (unsigned)i), list);
}

/* "none" asks for what this version does anyway. */
static bool is_none(const struct config_key *key, const config_setting_t *setting)
{
    const char *text = config_setting_get_string(setting);

    return key->type == TYPE_PATH && key->words != NULL && text != NULL &&
           strcmp(text, key->words) == 0;
}

void config_value_read(struct complaints *complaints, const struct config_key *key,
                       const config_setting_t *setting, void *source)
{
    void *place = (char *)source + key->offset;
    int shape = config_setting_type(setting);

    if (key->type == TYPE_LIST && (shape == CONFIG_TYPE_LIST || shape == CONFIG_TYPE_ARRAY))
        read_list(complaints, key, setting, place);
    else if (parsers[key->type] != NULL)
        read_scalar(complaints, key, setting, place);
    if (key->is_unsupported && !is_none(key, setting))
        complain_mildly(complaints, config_setting_source_line(setting),
                        "%s: not supported by this version yet, ignored", key->name);
}

void config_value_default(const struct config_key *key, void *source)
{
    struct error err = { 0 };

    if (key->fallback != NULL)
        MUST(parsers[key->type](key, key->fallback, (char *)source + key->offset, &err));
}

void config_list_done(struct route_patterns *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->patterns[i]);
    free(list->patterns);
    *list = (struct route_patterns){ 0 };
}
