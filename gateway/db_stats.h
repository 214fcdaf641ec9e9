// SPDX-License-Identifier: Apache-2.0
// db_stats: what each statement did, in cells of the worker's shared page.
//
// A call counts once, whether it carried one query or a batch, so that the figures can be laid
// beside pg_stat_statements. Its duration is the time from being sent to its answer: behind
// neighbours in a pipeline it contains them. Runs in: worker (adds), master (shows). Pure.

#ifndef TW_DB_STATS_H
#define TW_DB_STATS_H

#include "gateway/db_statement.h"
#include "gateway/histogram.h"

// SQLSTATEs that are told apart; 08006 stands for an answer that was lost with its connection.
#define TW_SQLSTATES                                                                              \
    {                                                                                             \
        "08006", "0A000", "23505", "25006", "26000", "40001", "40P01", "53300", "55P03", "57014", \
            "57P01", "other"                                                                      \
    }
#define TW_SQLSTATE_COUNT 12

struct tw_statement_stats {
    struct tw_histogram duration; // of calls that succeeded
    _Atomic uint64_t rows;
    _Atomic uint64_t errors[TW_SQLSTATE_COUNT];
};

// A call that succeeded.
void tw_statement_succeeded(struct tw_statement_stats *stats, uint64_t duration_us, uint64_t rows);

// A call that failed with this SQLSTATE of five characters; "" is a lost answer.
void tw_statement_failed(struct tw_statement_stats *stats, const char *sqlstate);

#endif
