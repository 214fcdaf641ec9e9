// SPDX-License-Identifier: Apache-2.0
// db_account: what calls of PostgreSQL took: statistics by statement, and log lines for slow ones.
//
// `db_statement_running` is written while a call is over db.slow_log, and `db_statement_slow` when
// it has its answer; both name the backend's pid and the requests that wait, at most once each.
// Times: in the queue, and at the server without its neighbours in the pipeline, summed over
// attempts. Private to db*.c. Runs in: worker.

#ifndef TW_DB_ACCOUNT_H
#define TW_DB_ACCOUNT_H

#include "gateway/db_conn.h"

// A query leaves its queue; an attempt at it begins.
void tw_account_sent(struct tw_db_query *query, uint64_t now_us);

// The call at the head of the connection's FIFO has this answer, which came at conn->read_at_us.
void tw_account_answered(struct tw_db_conn *conn, struct tw_db_query *batch,
                         const PGresult *pg_result);

// The connection broke before the call's answer came.
void tw_account_lost(const struct tw_db_query *batch);

// Looks whether the call that the server works on now is slow. To be called from time to time.
void tw_account_watch(const struct tw_db_conn *conn, uint64_t now_us);

#endif
