/* Aligned columns through libsmartcols: cut to the width of a terminal, whole when piped, colours where allowed. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct table;

struct table_column {
    const char *name;
    bool is_right; /* numbers */
    bool is_cut;   /* may be shortened to fit the terminal */
};

struct table *table_new(const struct table_column *columns, size_t count, bool has_heading);
void table_free(struct table *table);
void table_row(struct table *table);
/* Of the last row. colour: a name that libsmartcols knows, or NULL. */
void table_cell(struct table *table, size_t column, const char *text, const char *colour);
size_t table_row_count(const struct table *table);
/* On stdout. */
void table_print(struct table *table);
