// SPDX-License-Identifier: Apache-2.0
// db_result: what PostgreSQL said: whose answer it is, and what becomes of a query that failed.
// Private to db_conn.c, which reads the results and looks after the connection.
//
// Results come in the order of the connection's FIFO. A write's is held until its sync has ended.
// Runs in: worker.

#ifndef TW_DB_RESULT_H
#define TW_DB_RESULT_H

#include "gateway/db_conn.h"

// The next result, which belongs to the entry at the FIFO's head; NULL ends that entry. It stays
// the caller's unless it has become conn->uncommitted_result. False: the connection is of no more
// use. Callbacks run meanwhile, and what is sent by them may break the connection.
TW_MUST_USE bool tw_result_take(struct tw_db_conn *conn, PGresult *pg_result);

// Gives all queries of a batch back to db.c; the oldest last, so that those that are sent again
// keep their order. NULL is allowed.
void tw_result_give_back(struct tw_db_query *batch, enum tw_returned why);

#endif
