// SPDX-License-Identifier: Apache-2.0
// db_lane: the queues of one lane, and what of them goes to which connection. Private to db*.c.
//
// A query that is QUEUED stands in one of two queues: alone, or among those that the next call of
// their statement takes with it (sales: group commit; look-ups: docs/adr/013-gathered-reads.md).
// db.c owns a query's life: it enters queries here, answers them, and looks after time; this room
// forms batches and sends.

#ifndef TW_DB_LANE_H
#define TW_DB_LANE_H

#include "gateway/db_conn.h"
#include "gateway/db_shed.h"
#include "gateway/db_yield.h"

// What one batch holds at most. A bigger query goes by itself.
#define TW_BATCH_QUERIES_MAX 64
#define TW_BATCH_ROWS_MAX    64
#define TW_BATCH_BYTES_MAX   131072

struct tw_db_lane {
    struct tw_db *db;
    enum tw_lane index;
    h2o_linklist_t queue;     // each waits for a connection of its own
    h2o_linklist_t gathering; // they wait for the next batch
    h2o_linklist_t live;      // not answered yet, in order of deadlines; includes the queues
    unsigned queued;
    unsigned unanswered;
    unsigned n_ready;
    uint64_t no_ready_since_us; // 0 while a connection is ready
    uint64_t ready_since_us;    // when it got its first one again
    bool was_ready;             // a connection has been, since the worker began
    uint64_t renewed_at_us;     // a statement was stale, and so its connections are replaced
    struct tw_db_conn *conns;
    unsigned n_conns;
    unsigned batches_max;   // in flight: what comes in meanwhile makes the next one the larger
    unsigned n_for_batches; // connections that other queries leave alone
    uint64_t statement_timeout_ms;
    bool rests;  // lane slow, while writes need the primary
    bool drains; // as its worker: one connection is enough
};

// Connections are made, each with room for `depth` queries in flight; all are DOWN. False without
// memory: dispose it all the same.
TW_MUST_USE bool tw_lane_init(struct tw_db_lane *lane, struct tw_db *db, enum tw_lane index,
                              struct tw_db_server *server, unsigned n_conns, unsigned depth);

// Closes the connections; queries still there are freed without a callback.
void tw_lane_dispose(struct tw_db_lane *lane);

// The lane of the query's statement.
struct tw_db_lane *tw_lane_of(const struct tw_db_query *query);

// Into its queue, last or foremost.
void tw_lane_enqueue(struct tw_db_query *query, bool last);
void tw_lane_unqueue(struct tw_db_query *query);

// Sends what the connections can take, and ends what was sent with a sync.
void tw_lane_flush(struct tw_db_lane *lane, uint64_t now_us);

// A batch of lane write has ended.
void tw_lane_batch_ended(struct tw_db_lane *lane, uint64_t now_us);

// How long the foremost query has been waiting; 0: nobody waits.
uint64_t tw_lane_oldest_us(struct tw_db_lane *lane, uint64_t now_us);

// How the query's parameters are told to db_gather.h.
#define TW_GATHER_PART(query) ((struct tw_gather_part){(query)->values, (query)->lengths})

// ---- implemented by db.c ------------------------------------------------------------------------

struct tw_db_lane *tw_db_lane(struct tw_db *db, enum tw_lane lane);

struct tw_shed *tw_db_shed(struct tw_db *db);
struct tw_yield *tw_db_yield(struct tw_db *db);

// NULL: there is none.
struct tw_db_replica *tw_db_replica(struct tw_db *db);

// Answers a query that is QUEUED with this status, and frees it.
void tw_db_query_refused(struct tw_db_query *query, enum tw_status status);

#endif
