// SPDX-License-Identifier: Apache-2.0
// db_conn: one PostgreSQL connection in pipeline mode. Private to db.c, which owns the queues.
//
// Life: DOWN (waits for its next try) -> CONNECTING -> PREPARING (session set-up and the lane's
// statements under one sync) -> READY -> DOWN. What was sent stands in a FIFO of explicit QUERY and
// SYNC entries, because PQgetResult's NULLs cannot be counted safely once a pipeline aborts.
// Callbacks into db.c: tw_db_query_answered, tw_db_query_returned,
// tw_db_lane_is_stale, tw_db_conn_changed.

#ifndef TW_DB_CONN_H
#define TW_DB_CONN_H

#include <libpq-fe.h>

#include "gateway/db.h"
#include "gateway/db_resolve.h"
#include "gateway/h2o_include.h"

enum tw_conn_state { TW_CONN_DOWN, TW_CONN_CONNECTING, TW_CONN_PREPARING, TW_CONN_READY };

enum tw_query_state { TW_QUERY_QUEUED, TW_QUERY_SENT };

// A query is always on its lane's `live` list until it is answered, and is referenced either by
// its lane's queue or by one connection's FIFO, never by both.
struct tw_db_query {
    h2o_linklist_t
        live; // on the lane's list of unanswered queries, oldest first; unlinked once answered
    h2o_linklist_t queue; // linked while QUEUED
    struct tw_db *db;
    enum tw_stmt stmt;
    enum tw_query_state state;
    unsigned attempts;     // times it was sent, aborts by a neighbour not counted
    bool alone;            // shares no sync: a neighbour's error aborted it before
    uint64_t queued_at_us; // when it entered the queue last
    uint64_t deadline_us;
    tw_db_callback callback;
    void *owner; // NULL: nobody waits
    int n_params;
    const char *values[TW_PARAMS_MAX];
    int lengths[TW_PARAMS_MAX];
    char bytes[]; // the parameters' values
};

struct tw_conn_entry {
    enum { TW_ENTRY_QUERY, TW_ENTRY_PREPARE, TW_ENTRY_SYNC } kind;
    struct tw_db_query *query; // QUERY: NULL once it has been answered or given back
};

struct tw_db_conn {
    struct tw_db *db;
    enum tw_lane lane;
    enum tw_conn_state state;
    PGconn *pg;         // NULL when DOWN
    h2o_socket_t *sock; // on a dup of PQsocket; NULL when DOWN
    int pg_fd;          // the PQsocket that `sock` is for
    unsigned depth;     // queries in flight at most
    unsigned in_flight;
    bool dirty;                // queries were sent since the last sync
    bool stale;                // its prepared statements are: replaced as soon as it is idle
    uint64_t state_since_us;   // CONNECTING, PREPARING: for the connect timeout
    uint64_t last_progress_us; // last answer, or the first query sent after an idle time
    uint64_t retry_at_us;      // DOWN
    uint64_t backoff_ms;
    unsigned entries_cap, entries_head, entries_n;
    struct tw_conn_entry *entries; // ring
};

TW_MUST_USE bool tw_conn_init(struct tw_db_conn *conn, struct tw_db *db, enum tw_lane lane,
                              unsigned depth);
void tw_conn_dispose(struct tw_db_conn *conn); // frees without callbacks

// DOWN and due: begins to connect, or stays DOWN while the host's name is being looked up.
void tw_conn_start(struct tw_db_conn *conn);

// Appends the query to the pipeline; false when the connection broke (the query is untouched).
TW_MUST_USE bool tw_conn_send(struct tw_db_conn *conn, struct tw_db_query *query);

// Ends the batch and sends it. Breaks the connection by itself when that fails.
void tw_conn_sync(struct tw_db_conn *conn);

// Closes it, gives its queries back to db.c and plans the next try. `why` is for the log.
void tw_conn_break(struct tw_db_conn *conn, const char *why);

// READY and idle: closes it and connects again at once, which prepares its statements anew.
void tw_conn_replace(struct tw_db_conn *conn);

// ---- implemented by db.c ------------------------------------------------------------------------

// The query has its answer; it has left the FIFO. Frees it.
void tw_db_query_answered(struct tw_db_query *query, const struct tw_db_result *result);

// Why a query that left the FIFO has no answer.
enum tw_returned {
    TW_RETURNED_ABORTED, // an error of a neighbour in its sync: not its fault, not an attempt
    TW_RETURNED_NOT_RUN, // refused without effect: deadlock, stale statement, read-only server
    TW_RETURNED_UNKNOWN, // sent, and its answer was lost
};

// Sends the query again, or answers it with an error.
void tw_db_query_returned(struct tw_db_query *query, enum tw_returned why);

// A prepared statement of this lane no longer fits its tables: none of the lane's connections is
// to be used before it has been replaced.
void tw_db_lane_is_stale(struct tw_db_conn *conn);

// state became READY or stopped being READY.
void tw_db_conn_changed(struct tw_db_conn *conn);

const struct tw_config *tw_db_config(const struct tw_db *db);
struct st_h2o_evloop_t *tw_db_loop(const struct tw_db *db);
struct tw_db_resolver *tw_db_resolver(const struct tw_db *db);
struct tw_worker_page *tw_db_page(const struct tw_db *db);
unsigned tw_db_worker_index(const struct tw_db *db);

#endif
