/* The classifier against real replies of real servers (replies.tsv), whose right answers were found by hand.
   Every row that disagrees is printed; the floor is what was reached, so that no rule silently breaks another. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "verdict.h"

/* Last: it has a macro fail(). */
#include <cmocka.h>

enum column {
    COLUMN_ID,
    COLUMN_PROVIDER,
    COLUMN_STAGE,
    COLUMN_REPLY,
    COLUMN_CLASS,
    COLUMN_PERMANENT,
    COLUMN_SCOPE,
    COLUMN_ACTION,
    COLUMN_WAIT,
    COLUMN_COUNT /* naive_wrong and note follow, unread */
};

enum { ROWS_MIN = 133, LINE_SIZE = 4096 };

struct tally {
    unsigned rows;
    unsigned agreeing;
    unsigned waits_agreeing;
    unsigned mail_lost;
};

static void split(char *line, char *ret_columns[COLUMN_COUNT])
{
    char *rest = line;

    for (enum column i = 0; i < COLUMN_COUNT; i++) {
        ret_columns[i] = strsep(&rest, "\t");
        assert_non_null(ret_columns[i]);
    }
}

static void judge(char *const columns[COLUMN_COUNT], struct tally *tally)
{
    struct smtp_reply reply;
    AUTO_FREE char *text = NULL;
    struct error err;
    enum verdict_stage stage = STAGE_ANY;
    char wait[32];

    assert_true(verdict_stage_parse(columns[COLUMN_STAGE], &stage));
    if (!smtp_reply_parse(columns[COLUMN_REPLY], &reply, &text, &err))
        fail_msg("%s: %s", columns[COLUMN_ID], err.text);
    struct verdict verdict = verdict_of_reply(columns[COLUMN_PROVIDER], stage, &reply);
    const char *permanent = verdict.is_permanent ? "yes" : "no";
    bool agrees = strcmp(verdict_class_name(verdict.class), columns[COLUMN_CLASS]) == 0 &&
                  strcmp(permanent, columns[COLUMN_PERMANENT]) == 0 &&
                  strcmp(verdict_scope_name(verdict.scope), columns[COLUMN_SCOPE]) == 0 &&
                  strcmp(verdict_action_name(verdict.action), columns[COLUMN_ACTION]) == 0;
    verdict_wait_text(verdict.wait_s, wait);
    tally->rows++;
    tally->agreeing += agrees ? 1 : 0;
    tally->waits_agreeing += strcmp(wait, columns[COLUMN_WAIT]) == 0 ? 1 : 0;
    if (verdict.is_permanent && strcmp(columns[COLUMN_PERMANENT], "no") == 0)
        tally->mail_lost++;
    if (!agrees || strcmp(wait, columns[COLUMN_WAIT]) != 0)
        print_message("%s%s %s %s: %s\n    says %s %s %s %s [%s] (%s)\n    not  %s %s %s %s [%s]\n",
                      agrees ? "only the wait: " : "", columns[COLUMN_ID], columns[COLUMN_PROVIDER],
                      columns[COLUMN_STAGE], columns[COLUMN_REPLY],
                      verdict_class_name(verdict.class), permanent,
                      verdict_scope_name(verdict.scope), verdict_action_name(verdict.action), wait,
                      verdict.rule, columns[COLUMN_CLASS], columns[COLUMN_PERMANENT],
                      columns[COLUMN_SCOPE], columns[COLUMN_ACTION], columns[COLUMN_WAIT]);
}

static void test_real_replies_get_the_right_answer(void **state)
{
    char line[LINE_SIZE];
    struct tally tally = { 0 };

    (void)state;
    FILE *file = fopen(REPLIES_FILE, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file)); /* the names of the columns */
    while (fgets(line, sizeof line, file) != NULL) {
        char *columns[COLUMN_COUNT];
        assert_non_null(strchr(line, '\n'));
        split(line, columns);
        judge(columns, &tally);
    }
    (void)fclose(file);
    print_message("%u of %u rows agree, %u of the waits\n", tally.agreeing, tally.rows,
                  tally.waits_agreeing);
    assert_true(tally.rows >= ROWS_MIN);
    assert_int_equal(tally.mail_lost, 0);
    assert_int_equal(tally.agreeing, tally.rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_replies_get_the_right_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
