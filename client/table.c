/* A thin layer over libsmartcols, whose functions fail only without memory or with wrong arguments. */
#include "table.h"

#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>

#include "invariant.h"
#include "xalloc.h"

#include "cli.h"

struct table {
    struct libscols_table *table;
    struct libscols_line *line; /* the last row */
};

struct table *table_new(const struct table_column *columns, size_t count, bool has_heading)
{
    struct table *table = NEW(struct table);

    scols_init_debug(0);
    table->table = scols_new_table();
    MUST(table->table != NULL);
    (void)scols_table_enable_noheadings(table->table, has_heading ? 0 : 1);
    (void)scols_table_enable_colors(table->table, cli_may_colour() ? 1 : 0);
    for (size_t i = 0; i < count; i++) {
        int flags =
            (columns[i].is_right ? SCOLS_FL_RIGHT : 0) | (columns[i].is_cut ? SCOLS_FL_TRUNC : 0);
        MUST(scols_table_new_column(table->table, columns[i].name, columns[i].is_cut ? 0.1 : 0,
                                    flags) != NULL);
    }
    return table;
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    scols_unref_table(table->table);
    free(table);
}

void table_row(struct table *table)
{
    table->line = scols_table_new_line(table->table, NULL);
    MUST(table->line != NULL);
}

void table_cell(struct table *table, size_t column, const char *text, const char *colour)
{
    MUST(scols_line_set_data(table->line, column, text) == 0);
    struct libscols_cell *cell = scols_line_get_cell(table->line, column);
    if (colour != NULL && cell != NULL)
        (void)scols_cell_set_color(cell, colour);
}

size_t table_row_count(const struct table *table)
{
    return scols_table_get_nlines(table->table);
}

void table_print(struct table *table)
{
    (void)scols_print_table(table->table);
}
