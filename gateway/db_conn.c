// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_conn.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/db_account.h"
#include "gateway/db_connect.h"
#include "gateway/db_result.h"
#include "gateway/db_retry.h"

// A write that waits for a lock lets others have its connection after this part of its time: a
// batch may wait so long twice (for its turn, then for the row), and its neighbours with it. Longer
// than the batches of many workers take, one behind the other, for one hot product.
#define WRITE_LOCK_SHARE 16

bool tw_conn_init(struct tw_db_conn *conn, struct tw_db *db, struct tw_db_server *server,
                  enum tw_lane lane, unsigned depth)
{
    *conn = (struct tw_db_conn){.db = db, .server = server, .lane = lane, .depth = depth};
    // Each query may have a set-up and a sync of its own; preparing sends every statement and one
    // sync.
    conn->entries_cap = 3 * depth + TW_STMT_COUNT + 4; // and a probe with its own
    conn->entries = calloc(conn->entries_cap, sizeof(conn->entries[0]));
    conn->backoff_ms = tw_db_config(db)->db_backoff_min_ms;
    return conn->entries != NULL;
}

static void close_pg(struct tw_db_conn *conn)
{
    if (conn->sock)
        h2o_socket_close(conn->sock);
    if (conn->pg)
        PQfinish(conn->pg);
    PQclear(conn->uncommitted_result);
    conn->uncommitted_result = NULL;
    conn->sock = NULL;
    conn->pg = NULL;
    conn->socket_id = 0;
    conn->is_probed = false;
}

static void free_batch(struct tw_db_query *batch)
{
    while (batch) {
        struct tw_db_query *query = batch;
        batch = query->next;
        free(query);
    }
}

void tw_conn_dispose(struct tw_db_conn *conn)
{
    close_pg(conn);
    for (unsigned i = 0; i < conn->entries_n; i++)
        free_batch(conn->entries[(conn->entries_head + i) % conn->entries_cap].query);
    free_batch(conn->uncommitted);
    free(conn->entries);
    conn->entries = NULL;
}

static void set_state(struct tw_db_conn *conn, enum tw_conn_state state)
{
    enum tw_conn_state before = conn->state;
    conn->state = state;
    conn->state_since_us = tw_now_us();
    if ((before == TW_CONN_READY) != (state == TW_CONN_READY))
        tw_db_conn_changed(conn);
}

// ---- the FIFO of what was sent ------------------------------------------------------------------

static void entry_push(struct tw_db_conn *conn, struct tw_conn_entry entry)
{
    assert(conn->entries_n < conn->entries_cap);
    conn->entries[(conn->entries_head + conn->entries_n++) % conn->entries_cap] = entry;
}

// ---- break and try again ------------------------------------------------------------------------

void tw_conn_break(struct tw_db_conn *conn, const char *why)
{
    tw_retry_plan(conn);
    tw_retry_say_lost(conn, why);
    tw_metric_add(tw_db_page(conn->db), TW_METRIC_DB_CONNECTION_LOSSES, 1);
    close_pg(conn);
    set_state(conn, TW_CONN_DOWN);
    conn->dirty = false;
    // Newest first: each read goes back to the front of its queue, so the oldest ends foremost.
    while (conn->entries_n > 0) {
        unsigned last = (conn->entries_head + --conn->entries_n) % conn->entries_cap;
        struct tw_db_query *query = conn->entries[last].query;
        if (!query)
            continue;
        tw_account_lost(query);
        tw_result_give_back(query, TW_RETURNED_UNKNOWN);
    }
    tw_result_give_back(conn->uncommitted, TW_RETURNED_UNKNOWN);
    conn->uncommitted = NULL;
    conn->in_flight = conn->n_batches = 0;
}

// ---- results ------------------------------------------------------------------------------------

static void take_results(struct tw_db_conn *conn)
{
    conn->read_at_us = tw_now_us();
    while (conn->entries_n > 0 && !PQisBusy(conn->pg)) {
        PGresult *pg_result = PQgetResult(conn->pg);
        bool ok = tw_result_take(conn, pg_result);
        if (pg_result != conn->uncommitted_result) // that one is kept
            PQclear(pg_result);
        if (!ok) {
            tw_conn_break(conn, "closed");
            return;
        }
    }
    if (conn->state == TW_CONN_PREPARING && conn->entries_n == 0) {
        conn->backoff_ms = tw_db_config(conn->db)->db_backoff_min_ms;
        set_state(conn, TW_CONN_READY);
    }
}

// ---- the socket ---------------------------------------------------------------------------------

static void on_writable(h2o_socket_t *sock, const char *err);

static void flush(struct tw_db_conn *conn)
{
    int left = PQflush(conn->pg);
    if (left < 0)
        tw_conn_break(conn, "cannot send");
    else if (left > 0 && !h2o_socket_is_writing(conn->sock))
        h2o_socket_notify_write(conn->sock, on_writable);
}

static void on_readable(h2o_socket_t *sock, const char *err)
{
    struct tw_db_conn *conn = sock->data;
    if (err || !PQconsumeInput(conn->pg)) {
        take_results(conn); // a last error message may have arrived before the end
        if (conn->state != TW_CONN_DOWN)
            tw_conn_break(conn, "connection closed");
        return;
    }
    take_results(conn);
}

static void on_writable(h2o_socket_t *sock, const char *err)
{
    struct tw_db_conn *conn = sock->data;
    if (err)
        tw_conn_break(conn, "cannot send");
    else
        flush(conn);
}

static void on_connect_event(h2o_socket_t *sock, const char *err);

// libpq may change its socket while it tries several addresses: watch the current one.
static bool watch_socket(struct tw_db_conn *conn)
{
    uint64_t id = tw_db_socket_id(conn->pg);
    if (conn->sock && conn->socket_id == id)
        return true;
    if (conn->sock)
        h2o_socket_close(conn->sock);
    conn->sock = NULL;
    conn->socket_id = id;
    conn->address_since_us = tw_now_us();
    int fd = id != 0 ? fcntl(PQsocket(conn->pg), F_DUPFD_CLOEXEC, 0) : -1;
    if (fd < 0)
        return false;
    conn->sock = h2o_evloop_socket_create(tw_db_loop(conn->db), fd, H2O_SOCKET_FLAG_DONT_READ);
    conn->sock->data = conn;
    return true;
}

static void drop_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message; // notices are for people at a prompt
}

// What holds for the lane's statements: for the session, or for the transaction that has begun.
static bool send_settings(struct tw_db_conn *conn)
{
    const struct tw_config *config = tw_db_config(conn->db);
    uint64_t timeouts_ms[] = {config->db_fast_timeout_ms, config->db_write_timeout_ms,
                              config->db_slow_timeout_ms};
    uint64_t timeout_ms = timeouts_ms[conn->lane];
    uint64_t lock_ms = timeout_ms / (conn->lane == TW_LANE_WRITE ? WRITE_LOCK_SHARE : 1);
    bool by_key = conn->lane == TW_LANE_FAST; // all its statements
    char timeout[32], lock_timeout[32];
    (void)snprintf(timeout, sizeof(timeout), "%llums", (unsigned long long)timeout_ms);
    (void)snprintf(lock_timeout, sizeof(lock_timeout), "%llums", (unsigned long long)lock_ms);
    const char *values[] = {timeout, lock_timeout, config->db_prepare ? "false" : "true",
                            by_key ? "off" : "on", by_key ? "force_generic_plan" : "auto"};
    if (!PQsendQueryParams(conn->pg, tw_statements[TW_STMT_SESSION_SETUP].sql, TW_COUNT(values),
                           NULL, values, NULL, NULL, 0))
        return false;
    entry_push(conn, (struct tw_conn_entry){.kind = TW_ENTRY_SETUP});
    return true;
}

// Whether a sale could be dated.
static bool send_zone(struct tw_db_conn *conn)
{
    const char *zone = tw_db_config(conn->db)->pos_time_zone;
    if (!PQsendQueryParams(conn->pg, tw_statements[TW_STMT_TIME_ZONE].sql, 1, NULL, &zone, NULL,
                           NULL, 0))
        return false;
    entry_push(conn, (struct tw_conn_entry){.kind = TW_ENTRY_ZONE});
    return true;
}

// Where nothing is to be prepared, each statement is parsed without a name: it fits the schema.
static bool send_preparation(struct tw_db_conn *conn)
{
    bool prepare = tw_db_config(conn->db)->db_prepare;
    if (!send_settings(conn) || (conn->lane == TW_LANE_WRITE && !send_zone(conn)))
        return false;
    for (int i = 0; i < TW_STMT_COUNT; i++) {
        const struct tw_statement *stmt = &tw_statements[i];
        if (stmt->lane != conn->lane)
            continue;
        if (!PQsendPrepare(conn->pg, prepare ? stmt->name : "", stmt->sql, 0, NULL))
            return false;
        entry_push(conn, (struct tw_conn_entry){.kind = TW_ENTRY_SETUP});
    }
    if (!PQpipelineSync(conn->pg))
        return false;
    entry_push(conn, (struct tw_conn_entry){.kind = TW_ENTRY_SYNC});
    return true;
}

static void connected(struct tw_db_conn *conn)
{
    if (PQsetnonblocking(conn->pg, 1) != 0 || !PQenterPipelineMode(conn->pg)) {
        tw_conn_break(conn, "cannot pipeline");
        return;
    }
    set_state(conn, TW_CONN_PREPARING);
    tw_metric_add(tw_db_page(conn->db), TW_METRIC_DB_CONNECTS, 1);
    h2o_socket_read_start(conn->sock, on_readable);
    if (!send_preparation(conn))
        tw_conn_break(conn, "cannot prepare");
    else
        flush(conn);
}

static void poll_connect(struct tw_db_conn *conn)
{
    PostgresPollingStatusType status = PQconnectPoll(conn->pg);
    if (status == PGRES_POLLING_FAILED || !watch_socket(conn)) {
        tw_conn_break(conn, "cannot connect");
        return;
    }
    if (status == PGRES_POLLING_OK) {
        connected(conn);
    } else if (status == PGRES_POLLING_READING) {
        h2o_socket_read_start(conn->sock, on_connect_event);
    } else {
        h2o_socket_read_stop(conn->sock);
        if (!h2o_socket_is_writing(conn->sock))
            h2o_socket_notify_write(conn->sock, on_connect_event);
    }
}

static void on_connect_event(h2o_socket_t *sock, const char *err)
{
    struct tw_db_conn *conn = sock->data;
    (void)err; // libpq sees it itself
    if (conn->state == TW_CONN_CONNECTING)
        poll_connect(conn);
}

void tw_conn_connect(struct tw_db_conn *conn, const struct tw_db_addresses *addresses,
                     const char *why)
{
    conn->stale = false;
    set_state(conn, TW_CONN_CONNECTING);
    if (addresses)
        conn->pg = tw_retry_dial(conn, addresses, &why);
    if (!conn->pg || PQstatus(conn->pg) == CONNECTION_BAD || !watch_socket(conn)) {
        tw_conn_break(conn, conn->pg ? "cannot connect" : why);
        return;
    }
    PQsetNoticeProcessor(conn->pg, drop_notice, NULL);
    // libpq: behave as if PQconnectPoll had said WRITING.
    h2o_socket_notify_write(conn->sock, on_connect_event);
}

bool tw_conn_is_on_standby(const struct tw_db_conn *conn)
{
    const char *in_recovery = PQparameterStatus(conn->pg, "in_hot_standby");
    return in_recovery && strcmp(in_recovery, "on") == 0;
}

void tw_conn_replace(struct tw_db_conn *conn)
{
    close_pg(conn);
    set_state(conn, TW_CONN_DOWN);
    conn->ready_until_us = tw_now_us();
    conn->any_server = false;
    conn->retry_at_us = 0;
}

static bool send_query(struct tw_db_conn *conn, const struct tw_db_query *query,
                       const char *const *values, const int *lengths)
{
    static const int binary[TW_PARAMS_MAX] = {
        [0 ... TW_PARAMS_MAX - 1] = 1,
    };
    const struct tw_statement *stmt = &tw_statements[query->stmt];
    if (tw_db_config(conn->db)->db_prepare)
        return PQsendQueryPrepared(conn->pg, stmt->name, query->n_params, values, lengths, binary,
                                   1);
    return (conn->dirty || send_settings(conn)) &&
           PQsendQueryParams(conn->pg, stmt->sql, query->n_params, NULL, values, lengths, binary,
                             1);
}

bool tw_conn_send(struct tw_db_conn *conn, struct tw_db_query *batch, bool is_batch,
                  const char *const *values, const int *lengths)
{
    if (!send_query(conn, batch, values, lengths)) {
        tw_conn_break(conn, "cannot send");
        return false;
    }
    if (conn->in_flight++ == 0)
        conn->last_progress_us = tw_now_us();
    conn->dirty = true;
    conn->n_batches += is_batch;
    entry_push(conn, (struct tw_conn_entry){TW_ENTRY_QUERY, batch, is_batch});
    return true;
}

void tw_conn_sync(struct tw_db_conn *conn)
{
    conn->dirty = false;
    if (!PQpipelineSync(conn->pg)) {
        tw_conn_break(conn, "cannot send");
        return;
    }
    entry_push(conn, (struct tw_conn_entry){.kind = TW_ENTRY_SYNC});
    tw_metric_add(tw_db_page(conn->db), TW_METRIC_DB_SYNCS, 1);
    flush(conn);
}

void tw_conn_probe(struct tw_db_conn *conn)
{
    if (conn->dirty)
        tw_conn_sync(conn);
    if (conn->state != TW_CONN_READY)
        return;
    conn->is_probed = true;
    conn->probe_at_us = tw_now_us();
    if (!PQsendQueryParams(conn->pg, tw_statements[TW_STMT_WAL_POSITION].sql, 0, NULL, NULL, NULL,
                           NULL, 1)) {
        tw_conn_break(conn, "cannot send");
        return;
    }
    entry_push(conn, (struct tw_conn_entry){.kind = TW_ENTRY_PROBE});
    tw_conn_sync(conn);
}
