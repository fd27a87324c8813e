/* outbox.conf(5) against the table of keys, both ways: every key is documented with its true type, range and default,
   and nothing else is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_keys.h"
#include "strbuf.h"

static const char *const titles[SECTION_COUNT] = {
    [SECTION_TOP] = ".Ss Top level\n", [SECTION_SMARTHOST] = ".Ss A smarthost\n",
    [SECTION_ROUTE] = ".Ss A route\n", [SECTION_RETRY] = ".Ss Retry\n",
    [SECTION_ACCESS] = ".Ss Access\n",
};

static void read_manual(struct strbuf *ret_text)
{
    char buffer[8192];
    size_t n = 0;
    FILE *file = fopen(MANUAL, "re");

    assert_non_null(file);
    while ((n = fread(buffer, 1, sizeof buffer, file)) > 0)
        strbuf_append(ret_text, buffer, n);
    (void)fclose(file);
}

/* "retry hold" as "retry, hold". */
static void append_words(struct strbuf *line, const char *words)
{
    for (const char *p = words; *p != '\0'; p++) {
        if (*p == ' ')
            strbuf_append_char(line, ',');
        strbuf_append_char(line, *p);
    }
}

/* ".It Ic workers Pq number, 1 to 64; default 2\n" */
static void format_entry(const struct config_key *key, struct strbuf *ret_line)
{
    strbuf_append_format(ret_line, ".It Ic %s Pq %s", key->name, config_type_name(key->type));
    if (key->minimum != NULL)
        strbuf_append_format(ret_line, ", %s to %s", key->minimum, key->maximum);
    if (key->type == TYPE_WORD) {
        strbuf_append_text(ret_line, ", one of ");
        append_words(ret_line, key->words);
    }
    if (key->fallback != NULL)
        strbuf_append_format(ret_line, "; default %s", key->fallback);
    if (key->is_unsupported)
        strbuf_append_text(ret_line, "; not yet");
    strbuf_append_char(ret_line, '\n');
}

/* From the section's title to the next. Returns, caller frees. */
static char *section_text(const struct strbuf *manual, enum config_section section)
{
    const char *from = strstr(manual->data, titles[section]);

    assert_non_null(from);
    const char *next_part = strstr(from, "\n.Sh ");
    const char *next_section = strstr(from + 1, "\n.Ss ");
    const char *to = next_section != NULL && next_section < next_part ? next_section : next_part;
    assert_non_null(to);
    return strndup(from, (size_t)(to - from) + 1);
}

static unsigned count_entries(const char *text)
{
    unsigned count = 0;

    for (const char *p = text; (p = strstr(p, "\n.It Ic ")) != NULL; p++)
        count++;
    return count;
}

static void test_manual_tells_the_table(void **state)
{
    AUTO_STRBUF struct strbuf manual;
    bool is_good = true;

    (void)state;
    strbuf_init(&manual);
    read_manual(&manual);
    for (enum config_section section = 0; section < SECTION_COUNT; section++) {
        char *text = section_text(&manual, section);
        unsigned documented = count_entries(text);
        unsigned existing = 0;
        for (size_t i = 0; i < config_key_count; i++) {
            AUTO_STRBUF struct strbuf line;
            if (config_keys[i].section != section)
                continue;
            existing++;
            strbuf_init(&line);
            format_entry(&config_keys[i], &line);
            if (strstr(text, line.data) != NULL)
                continue;
            print_error("the manual lacks: %s", line.data);
            is_good = false;
        }
        if (documented != existing) {
            print_error("%u keys exist, %u are documented under %s", existing, documented,
                        titles[section]);
            is_good = false;
        }
        free(text);
    }
    assert_true(is_good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manual_tells_the_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
