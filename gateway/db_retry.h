// SPDX-License-Identifier: Apache-2.0
// db_retry: when a connection is tried, to which server, when it is given up, and what the log says
// of that. Private to db*.c; db_conn.c is the connection itself.
//
// A connection that was ready is tried again at once, others after pauses that double with jitter.
// Lane write looks for a server that takes writes; the reading lanes prefer that one, and take any
// server in turn while there is none. Runs in: worker.

#ifndef TW_DB_RETRY_H
#define TW_DB_RETRY_H

#include "gateway/db_conn.h"

// Looks after time: connects when it is due and `may_connect`, gives up what takes too long (an
// answer: longer than silence_us), replaces what is stale.
void tw_retry_tick(struct tw_db_conn *conn, bool may_connect, uint64_t silence_us);

// It is about to be closed, and still in the state that it breaks in: when is the next try?
void tw_retry_plan(struct tw_db_conn *conn);

// Begins to connect; NULL when that is impossible, and *why says so.
PGconn *tw_retry_dial(const struct tw_db_conn *conn, const struct tw_db_addresses *addresses,
                      const char **why);

// It is about to be closed: says why, unless that has been said lately (db_trouble.h).
void tw_retry_say_lost(struct tw_db_conn *conn, const char *why);

// The lane has a connection again: says so, if it was said that it had none.
void tw_retry_say_connected(struct tw_db_conn *conn);

const char *tw_lane_name(enum tw_lane lane);

#endif
