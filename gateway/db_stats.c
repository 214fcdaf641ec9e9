// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_stats.h"

static const char *const sqlstates[] = TW_SQLSTATES;

_Static_assert(TW_COUNT(sqlstates) == TW_SQLSTATE_COUNT, "a cell for each");

void tw_statement_succeeded(struct tw_statement_stats *stats, uint64_t duration_us, uint64_t rows)
{
    tw_histogram_add(&stats->duration, duration_us);
    tw_cell_add(&stats->rows, rows);
}

void tw_statement_failed(struct tw_statement_stats *stats, const char *sqlstate)
{
    size_t i = 0;
    while (sqlstate[0] && i < TW_SQLSTATE_COUNT - 1 && strcmp(sqlstate, sqlstates[i]) != 0)
        i++;
    tw_cell_add(&stats->errors[i], 1);
}
