// SPDX-License-Identifier: Apache-2.0
// db_conn: one PostgreSQL connection in pipeline mode. Private to db.c, which owns the queues.
//
// Life: DOWN (waits for its next try) -> CONNECTING -> PREPARING (session set-up and the lane's
// statements under one sync, and whether the server knows the time zone of sales) -> READY -> DOWN.
// With db.prepare: false each sync may meet another server connection of a pooler: nothing is
// prepared, and the set-up comes before each sync's queries, for their transaction only. What was
// sent stands in a FIFO of explicit QUERY and SYNC entries, because PQgetResult's NULLs cannot be
// counted safely once a pipeline aborts. Callbacks into db.c: tw_db_query_answered,
// tw_db_query_returned, tw_db_lane_is_stale, tw_db_conn_changed.

#ifndef TW_DB_CONN_H
#define TW_DB_CONN_H

#include <libpq-fe.h>

#include "gateway/db.h"
#include "gateway/db_resolve.h"
#include "gateway/db_trouble.h"
#include "gateway/h2o_include.h"

enum tw_conn_state { TW_CONN_DOWN, TW_CONN_CONNECTING, TW_CONN_PREPARING, TW_CONN_READY };

enum tw_query_state { TW_QUERY_QUEUED, TW_QUERY_SENT };

// A query is always on its lane's `live` list until it is answered, and is referenced either by
// one of its lane's queues or by one connection's FIFO, never by both. Queries that were gathered
// into one call hang together by `next` while they are SENT, and stand in the FIFO as one entry.
struct tw_db_query {
    h2o_linklist_t live;      // on the lane's list of unanswered queries; unlinked once answered
    h2o_linklist_t queue;     // linked while QUEUED
    struct tw_db_query *next; // in the same batch, sent behind this one
    struct tw_db *db;
    enum tw_stmt stmt;
    enum tw_query_state state;
    unsigned attempts;               // times it was sent, aborts by a neighbour not counted
    bool alone;                      // shares neither sync nor batch: they failed before
    int n_rows;                      // it asks for, when it can be gathered with others; else 0
    size_t n_bytes;                  // of its parameters
    uint64_t first_sent_us, sent_us; // sent_us: the last time
    uint64_t queued_at_us;           // when it entered the queue last
    uint64_t submitted_us;           // and first
    uint64_t waited_us, server_us;   // in queues and at the server, over all attempts
    bool told_running, told_slow;    // in the log
    struct tw_str request_id;        // in `bytes`
    uint64_t deadline_us;
    uint64_t reader; // as in struct tw_db_call
    bool primary_only;
    tw_db_callback callback;
    bool (*has_left)(void *owner); // or NULL
    void *owner;                   // NULL: nobody waits
    int n_params;
    const char *values[TW_PARAMS_MAX];
    int lengths[TW_PARAMS_MAX];
    char bytes[]; // the parameters' values, then the request id
};

struct tw_conn_entry {
    enum { TW_ENTRY_QUERY, TW_ENTRY_SETUP, TW_ENTRY_ZONE, TW_ENTRY_PROBE, TW_ENTRY_SYNC } kind;
    struct tw_db_query *query; // QUERY: first of its batch; NULL once answered or given back
    bool is_batch;             // QUERY: it may have been gathered; counted in n_batches
};

// One URL's servers.
struct tw_db_server {
    bool is_replica;
    const char *url;
    struct tw_db_resolver *resolver;
    struct tw_db_trouble troubles[TW_LANE_COUNT];
};

struct tw_db_conn {
    struct tw_db *db;
    struct tw_db_server *server;
    enum tw_lane lane;
    enum tw_conn_state state;
    PGconn *pg;         // NULL when DOWN
    h2o_socket_t *sock; // on a dup of PQsocket; NULL when DOWN
    uint64_t socket_id; // of libpq's socket, which `sock` is for
    unsigned depth;     // queries in flight at most
    unsigned in_flight; // calls, those of batches included
    unsigned n_batches; // calls in flight that may have been gathered
    bool dirty;         // queries were sent since the last sync
    // A write, or a batch, that has run: in a pipeline PostgreSQL commits at the sync, so only that
    // makes this result an answer. NULL: none.
    struct tw_db_query *uncommitted;
    PGresult *uncommitted_result;
    bool stale;                // its prepared statements are: replaced as soon as it is idle
    uint64_t state_since_us;   // CONNECTING, PREPARING: for the connect timeout
    uint64_t last_progress_us; // last answer, or the first query sent after an idle time
    uint64_t behind_us;        // how long what was answered last had waited behind its neighbours
    uint64_t read_at_us;       // when the answers that are taken now were read
    uint64_t retry_at_us;      // DOWN
    uint64_t backoff_ms;
    uint64_t ready_until_us;   // when it was READY last; 0: never
    uint64_t address_since_us; // CONNECTING: since when libpq tries the present address
    bool any_server;           // a reading lane looks for any server, since none took writes
    bool is_probed;            // a probe of its position is in flight, sent at probe_at_us
    uint64_t probe_at_us;      // (db_replica.h)
    uint64_t word_us;          // a replica's last answer to one; 0: none yet
    int64_t position;          // as it was then
    uint64_t fresh_us;         // it has all that the primary had then; 0: unknown
    unsigned entries_cap, entries_head, entries_n;
    struct tw_conn_entry *entries; // ring
};

TW_MUST_USE bool tw_conn_init(struct tw_db_conn *conn, struct tw_db *db,
                              struct tw_db_server *server, enum tw_lane lane, unsigned depth);
void tw_conn_dispose(struct tw_db_conn *conn); // frees without callbacks

// DOWN: begins to connect. Without addresses it breaks at once, because of `why`.
void tw_conn_connect(struct tw_db_conn *conn, const struct tw_db_addresses *addresses,
                     const char *why);

// READY: its server is a standby. False before PostgreSQL 14, which does not tell.
bool tw_conn_is_on_standby(const struct tw_db_conn *conn);

// READY and idle: closes it, to connect anew, which prepares its statements anew.
void tw_conn_replace(struct tw_db_conn *conn);

// Appends the query, or all of a batch, to the pipeline with these parameters, which are copied;
// false when the connection broke (the queries are untouched). is_batch: it stood among those that
// are gathered.
TW_MUST_USE bool tw_conn_send(struct tw_db_conn *conn, struct tw_db_query *batch, bool is_batch,
                              const char *const *values, const int *lengths);

// Ends the batch and sends it. Breaks the connection by itself when that fails.
void tw_conn_sync(struct tw_db_conn *conn);

// Asks how far the server is in the write-ahead log; the answer comes by tw_db_probed.
void tw_conn_probe(struct tw_db_conn *conn);

// Closes it, gives its queries back to db.c and plans the next try. `why` is for the log.
void tw_conn_break(struct tw_db_conn *conn, const char *why);

// ---- implemented by db.c ------------------------------------------------------------------------

// The query has its answer; it has left the FIFO. Frees it.
void tw_db_query_answered(struct tw_db_query *query, const struct tw_db_result *result);

// Why a query that left the FIFO has no answer.
enum tw_returned {
    TW_RETURNED_ABORTED, // an error of a neighbour in its sync: not its fault, not an attempt
    TW_RETURNED_NOT_RUN, // refused without effect: deadlock, stale statement, read-only server
    TW_RETURNED_UNKNOWN, // sent, and its answer was lost
    TW_RETURNED_SPLIT,   // an error of its batch, which had no effect: perhaps a neighbour's fault
    TW_RETURNED_LOCKED,  // gave up waiting for a lock, without effect: others first
};

// Sends the query again, or answers it with an error.
void tw_db_query_returned(struct tw_db_query *query, enum tw_returned why);

// A prepared statement of this lane no longer fits its tables, or the server takes no writes: none
// of the lane's connections is to be used before it has been replaced. server_is_well: queries wait
// for that.
void tw_db_lane_is_stale(struct tw_db_conn *conn, bool server_is_well);

// The server does not know pos.time_zone, so that this connection takes no writes.
void tw_db_lacks_zone(struct tw_db_conn *conn);

// What tw_conn_probe asked.
void tw_db_probed(struct tw_db_conn *conn, bool in_recovery, int64_t position);

// A write or a batch has ended and its answers are still to be written: what waits behind it goes
// out first, so that PostgreSQL works while they are. The connection may break by that.
void tw_db_call_ended(struct tw_db_conn *conn, bool was_batch);

// state became READY or stopped being READY.
void tw_db_conn_changed(struct tw_db_conn *conn);

const struct tw_config *tw_db_config(const struct tw_db *db);
struct st_h2o_evloop_t *tw_db_loop(const struct tw_db *db);
struct tw_db_shared *tw_db_shared(const struct tw_db *db);

// Whether a connection of lane write is ready: there is a primary.
bool tw_db_takes_writes(const struct tw_db *db);
struct tw_worker_page *tw_db_page(const struct tw_db *db);
unsigned tw_db_worker_index(const struct tw_db *db);
struct tw_db_resolver *tw_db_primary_resolver(const struct tw_db *db);

#endif
