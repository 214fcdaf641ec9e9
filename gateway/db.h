// SPDX-License-Identifier: Apache-2.0
// db: a worker's conversation with PostgreSQL, pipelined and never waiting.
//
// A query goes into the queue of its statement's lane. At the end of each loop turn the queues are
// sent: reads of one turn share one sync per connection, a write stands alone between its syncs.
// Results come back through callbacks in later turns, never before tw_db_submit returns. Lost
// connections heal by themselves with jittered backoff; a read in flight is then sent once more, a
// write is answered TW_OUTCOME_UNKNOWN, because nobody can know.
//
// Group commit: queries of a statement that gathers (db_gather.h) and that wait at the same time
// become one call. Nobody waits for company: the first goes at once, the others while it is in
// flight. Each owner gets its own rows; an error of the call is found out by sending each query
// once more alone.
//
// Runs in: worker, on its h2o loop. Not for: SQL text (db/queries), migrations (db_migrate.h).

#ifndef TW_DB_H
#define TW_DB_H

#include "config/config.h"
#include "gateway/db_rows.h"
#include "gateway/db_shared.h"
#include "gateway/db_statement.h"
#include "gateway/shared.h"
#include "gateway/status.h"

struct st_h2o_context_t; // h2o_context_t
struct tw_db;
struct tw_db_query;

// What became of a query, summed over its attempts.
struct tw_db_times {
    uint64_t queue_us;  // waited for a connection
    uint64_t server_us; // at the server, without its neighbours in the pipeline
    enum tw_stmt stmt;
    uint64_t submitted_us, sent_us; // tw_now_us; sent_us: the first time, 0: never
};

struct tw_db_result {
    // TW_OK                    rows are there
    // TW_ALREADY_EXISTS        a unique constraint was violated: see `constraint`
    // TW_DATABASE_UNAVAILABLE  no connection within the queue's timeout
    // TW_OVERLOADED            waited in the queue too long: its timeout, a read's deadline, or
    //                          until its owner had left
    // TW_DEADLINE_EXCEEDED     cancelled by statement_timeout, or no answer by the deadline (read)
    // TW_OUTCOME_UNKNOWN       a write was sent and its answer was lost or is late
    // TW_INTERNAL              any other SQL error; it has been logged
    enum tw_status status;
    // A column that counts the rows of a gathered call counts the neighbours' too: use the row's
    // number.
    const struct tw_rows *rows; // NULL unless TW_OK; valid during the callback only
    struct tw_str constraint;   // name of the violated constraint, or empty
    bool may_be_old;            // a primary_only read, and perhaps it was no primary that answered
    struct tw_db_times times;
};

typedef void (*tw_db_callback)(void *owner, const struct tw_db_result *result);

// `ctx` is the worker's h2o context. NULL when memory is short. Connecting begins at the next
// flush.
struct tw_db *tw_db_new(struct st_h2o_context_t *ctx, const struct tw_config *config,
                        unsigned worker_index, unsigned n_workers, struct tw_worker_page *page,
                        struct tw_db_shared *shared);

// Closes all connections; queries still there are forgotten without a callback.
void tw_db_free(struct tw_db *db);

// What to run and for whom.
struct tw_db_call {
    enum tw_stmt stmt;
    const struct tw_params *params;
    uint64_t deadline_us;
    tw_db_callback callback;
    void *owner;
    bool (*has_left)(void *owner); // asked before a read that has waited is sent; may be NULL
    struct tw_str request_id;      // for the log; may be empty; copied
    // A read may be answered by a replica that has all that its reader has written: `reader` is
    // any hash of the principal, 0 for nobody in particular. `primary_only`: never by a replica.
    uint64_t reader;
    bool primary_only;
};

// Takes a query over. Parameters are copied. TW_OK: the callback will run exactly once, in a later
// turn, unless the query is detached; `*query` is then valid until the callback begins.
// TW_OVERLOADED: the queue is full. TW_DATABASE_UNAVAILABLE: no connection for a while.
TW_MUST_USE enum tw_status tw_db_submit(struct tw_db *db, const struct tw_db_call *call,
                                        struct tw_db_query **query);

// The owner has gone: no callback will come. A read that was not sent yet is dropped; a write is
// still sent and finishes.
void tw_db_detach(struct tw_db_query *query);

// Sends what this loop turn has gathered. To be called once at the end of each turn.
void tw_db_flush(struct tw_db *db);

// Bits TW_READY_DB_READ | TW_READY_DB_WRITE | TW_LACKS_ZONE. Who could write once and can read
// still counts as ready for both: in a failover all gateways lose their writes, and none shall lose
// its reads for that.
unsigned tw_db_ready(const struct tw_db *db);

// The worker drains: closes connections that have nothing to do, so that its successor may have as
// many, but the last one of each lane, as requests may still come. To be called again and again.
void tw_db_release_idle(struct tw_db *db);

// Queries taken over and not answered yet: a draining worker leaves when it is 0.
size_t tw_db_unfinished(const struct tw_db *db);

#endif
