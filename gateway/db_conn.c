// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_conn.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/db_account.h"
#include "gateway/db_connect.h"
#include "gateway/db_retry.h"
#include "gateway/log.h"

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

void tw_conn_dispose(struct tw_db_conn *conn)
{
    close_pg(conn);
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

static struct tw_conn_entry *entry_first(struct tw_db_conn *conn)
{
    return conn->entries_n > 0 ? &conn->entries[conn->entries_head] : NULL;
}

// Its batch is no longer in flight. True if there was one.
static bool entry_end_batch(struct tw_db_conn *conn, struct tw_conn_entry *entry)
{
    bool was_batch = entry->is_batch;
    conn->n_batches -= was_batch;
    entry->is_batch = false;
    return was_batch;
}

static void entry_pop(struct tw_db_conn *conn)
{
    struct tw_conn_entry *entry = &conn->entries[conn->entries_head];
    if (entry->kind == TW_ENTRY_QUERY && !conn->uncommitted) {
        (void)entry_end_batch(conn, entry);
        conn->in_flight--;
    }
    conn->entries_head = (conn->entries_head + 1) % conn->entries_cap;
    conn->entries_n--;
    conn->last_progress_us = conn->read_at_us;
}

// ---- break and try again ------------------------------------------------------------------------

// All queries of a batch; the oldest last, so that those that are sent again keep their order.
static void give_back(struct tw_db_query *batch, enum tw_returned why)
{
    struct tw_db_query *newest = NULL;
    while (batch) {
        struct tw_db_query *query = batch;
        batch = query->next;
        query->next = newest;
        newest = query;
    }
    while (newest) {
        struct tw_db_query *query = newest;
        newest = query->next;
        query->next = NULL;
        tw_db_query_returned(query, why);
    }
}

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
        give_back(query, TW_RETURNED_UNKNOWN);
    }
    give_back(conn->uncommitted, TW_RETURNED_UNKNOWN);
    conn->uncommitted = NULL;
    conn->in_flight = conn->n_batches = 0;
}

// ---- results ------------------------------------------------------------------------------------

// What becomes of a query that PostgreSQL answered with an error.
enum consequence {
    ANSWER,          // the query failed, and `status` says how
    LOCKED,          // somebody held a lock; a read has failed then
    RUN_AGAIN,       // nothing happened: deadlock, serialisation failure
    PREPARE_AGAIN,   // nothing happened: the statement is lost or its table has changed
    CONNECT_AGAIN,   // nothing happened: this server takes no writes any more
    OUTCOME_UNKNOWN, // the server is going away, and the connection with it
};

// SQLSTATEs by prefix, the first that fits; what fits none is a defect of ours or of the schema.
static const struct {
    const char *prefix;
    enum consequence consequence;
    enum tw_status status;
} errors[] = {
    {"23505", ANSWER, TW_ALREADY_EXISTS},
    {"57014", ANSWER, TW_DEADLINE_EXCEEDED}, // statement_timeout
    {"55P03", LOCKED, TW_DEADLINE_EXCEEDED}, // lock_timeout
    {"57P", OUTCOME_UNKNOWN, TW_OK},         // shutdown, crash of another backend
    {"25006", CONNECT_AGAIN, TW_OK},         // read-only transaction: a failover
    {"40", RUN_AGAIN, TW_OK},
    {"0A000", PREPARE_AGAIN, TW_OK}, // cached plan must not change result type
    {"26000", PREPARE_AGAIN, TW_OK}, // prepared statement does not exist
};

static const char *field_of(const PGresult *pg_result, int field)
{
    const char *text = PQresultErrorField(pg_result, field);
    return text ? text : "";
}

// The server, or a pooler before it, ends the connection: whatever the reason, what it was doing is
// not known. PostgreSQL may translate the severity that poolers send alone.
static bool is_fatal(const PGresult *pg_result)
{
    const char *severity = field_of(pg_result, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity[0] == '\0')
        severity = field_of(pg_result, PG_DIAG_SEVERITY);
    return strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0;
}

static enum consequence judge_error(const struct tw_db_query *query, const PGresult *pg_result,
                                    struct tw_db_result *result)
{
    const char *state = field_of(pg_result, PG_DIAG_SQLSTATE);
    result->rows = NULL;
    result->constraint = tw_str_of(field_of(pg_result, PG_DIAG_CONSTRAINT_NAME));
    for (size_t i = 0; i < TW_COUNT(errors); i++) {
        if (strncmp(state, errors[i].prefix, strlen(errors[i].prefix)) == 0) {
            result->status = errors[i].status;
            return errors[i].consequence;
        }
    }
    if (state[0] == '\0' || is_fatal(pg_result)) // no state: libpq's own, the connection is lost
        return OUTCOME_UNKNOWN;
    if (query->next) // the culprit will say it when it is alone
        return ANSWER;
    tw_log_for(query->request_id, TW_LEVEL_ERROR, "db_query_failed", "%s: SQLSTATE %s: %s",
               tw_statements[query->stmt].name, state,
               field_of(pg_result, PG_DIAG_MESSAGE_PRIMARY));
    result->status = TW_INTERNAL;
    return ANSWER;
}

static void answer_all(struct tw_db_query *batch, const struct tw_db_result *result)
{
    while (batch) {
        struct tw_db_query *query = batch;
        batch = query->next;
        tw_db_query_answered(query, result);
    }
}

// Whether each of a batch is to be asked once more alone: one of them may be the culprit. Reads
// that took too long were all in the same lock's or load's way.
static bool is_to_be_split(const struct tw_db_query *batch, enum consequence consequence,
                           enum tw_status status)
{
    bool is_late_read = !tw_statements[batch->stmt].is_write && status == TW_DEADLINE_EXCEEDED;
    return batch->next && (consequence == ANSWER || consequence == LOCKED) && !is_late_read;
}

// The query or batch at the head failed. False when the connection is of no more use.
static bool take_error(struct tw_db_conn *conn, struct tw_db_query *query,
                       const PGresult *pg_result)
{
    struct tw_db_result result = {.status = TW_INTERNAL};
    enum consequence consequence = judge_error(query, pg_result, &result);
    if (is_to_be_split(query, consequence, result.status)) {
        tw_metric_add(tw_db_page(conn->db), TW_METRIC_DB_BATCH_SPLITS, 1);
        give_back(query, TW_RETURNED_SPLIT);
        return true;
    }
    if (consequence == LOCKED && !tw_statements[query->stmt].is_write)
        consequence = ANSWER;
    switch (consequence) {
    case ANSWER:
        answer_all(query, &result);
        return true;
    case LOCKED:
        give_back(query, TW_RETURNED_LOCKED);
        return true;
    case RUN_AGAIN:
        give_back(query, TW_RETURNED_NOT_RUN);
        return true;
    case PREPARE_AGAIN:
        tw_log(TW_LEVEL_WARN, "db_statement_stale", "%s: %s; preparing again",
               tw_statements[query->stmt].name, field_of(pg_result, PG_DIAG_MESSAGE_PRIMARY));
        tw_db_lane_is_stale(conn, true);
        give_back(query, TW_RETURNED_NOT_RUN);
        return true;
    case CONNECT_AGAIN: // and so for its neighbours in the lane
        tw_db_lane_is_stale(conn, false);
        give_back(query, TW_RETURNED_NOT_RUN);
        return false;
    case OUTCOME_UNKNOWN:
        break;
    }
    give_back(query, TW_RETURNED_UNKNOWN);
    return false;
}

// A read that is gathered has a row for each that it asks for: of NULLs where there is none.
static bool is_no_row(const struct tw_db_query *query, const struct tw_rows *rows)
{
    return tw_statements[query->stmt].gather && !tw_statements[query->stmt].is_write &&
           rows->n == 1 && tw_row_is_null(rows, 0, 0);
}

// Each query of the batch gets as many rows as it asked for; one alone gets all there are.
static void take_rows(struct tw_db_query *batch, const PGresult *pg_result)
{
    struct tw_rows rows = {.pg = pg_result, .n = PQntuples(pg_result)};
    const struct tw_db_result result = {.status = TW_OK, .rows = &rows};
    int n_rows = 0;
    for (const struct tw_db_query *query = batch; query; query = query->next)
        n_rows += query->n_rows;
    if (batch->next && n_rows != rows.n) { // a defect, and it is done
        tw_log(TW_LEVEL_ERROR, "db_query_failed", "%s: %d rows for %d",
               tw_statements[batch->stmt].name, rows.n, n_rows);
        give_back(batch, TW_RETURNED_UNKNOWN);
        return;
    }
    bool is_shared = batch->next != NULL;
    while (batch) {
        struct tw_db_query *query = batch;
        batch = query->next;
        int n = query->n_rows;
        if (is_shared)
            rows.n = n;
        if (is_no_row(query, &rows))
            rows.n = 0;
        tw_db_query_answered(query, &result);
        rows.first += n;
    }
}

// One result of the query at the head. False when the connection is of no more use.
static bool take_query_result(struct tw_db_conn *conn, struct tw_conn_entry *entry,
                              PGresult *pg_result)
{
    struct tw_db_query *query = entry->query;
    entry->query = NULL;
    if (!query)
        return true;
    if (PQresultStatus(pg_result) != PGRES_PIPELINE_ABORTED)
        tw_account_answered(conn, query, pg_result);
    switch (PQresultStatus(pg_result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        if (tw_statements[query->stmt].is_write) {
            conn->uncommitted = query;
            conn->uncommitted_result = pg_result;
        } else {
            if (entry_end_batch(conn, entry))
                tw_db_call_ended(conn, true);
            take_rows(query, pg_result);
        }
        return true;
    case PGRES_PIPELINE_ABORTED:
        give_back(query, TW_RETURNED_ABORTED);
        return true;
    default:
        return take_error(conn, query, pg_result);
    }
}

static bool setup_succeeded(struct tw_db_conn *conn, const PGresult *pg_result)
{
    ExecStatusType status = PQresultStatus(pg_result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return true;
    if (is_fatal(pg_result))
        return false;
    const char *state = field_of(pg_result, PG_DIAG_SQLSTATE);
    const char *advice = strcmp(state, "42P05") == 0 ? "a pooler needs db.prepare: false"
                                                     : "run `tillway migrate`?";
    tw_log(TW_LEVEL_ERROR, "db_prepare_failed", "lane %s: %s (%s)", tw_lane_name(conn->lane),
           field_of(pg_result, PG_DIAG_MESSAGE_PRIMARY), advice);
    return false;
}

// A sync's end, or the error of its commit. False when the connection is of no more use.
static bool take_sync_result(struct tw_db_conn *conn, const PGresult *pg_result)
{
    struct tw_db_query *batch = conn->uncommitted;
    PGresult *batch_result = conn->uncommitted_result;
    bool is_end = PQresultStatus(pg_result) == PGRES_PIPELINE_SYNC;
    if (is_end)
        entry_pop(conn);
    if (!batch)
        return is_end;
    conn->uncommitted = NULL;
    conn->uncommitted_result = NULL;
    bool was_batch = conn->n_batches > 0; // the only call in flight
    conn->in_flight = conn->n_batches = 0;
    if (is_end) {
        tw_db_call_ended(conn, was_batch);
        take_rows(batch, batch_result);
    } else {
        (void)take_error(conn, batch, pg_result);
    }
    PQclear(batch_result);
    return is_end;
}

static bool take_probe(struct tw_db_conn *conn, const PGresult *pg_result)
{
    conn->is_probed = false;
    if (PQresultStatus(pg_result) != PGRES_TUPLES_OK || PQntuples(pg_result) != 1)
        return false;
    const struct tw_rows rows = {.pg = pg_result, .n = 1};
    int64_t position = tw_row_is_null(&rows, 0, 1) ? 0 : tw_row_i64(&rows, 0, 1);
    tw_db_probed(conn, tw_row_bool(&rows, 0, 0), position);
    return true;
}

// The result belongs to the entry at the head; NULL ends that entry. False: break the connection.
static bool take_result(struct tw_db_conn *conn, PGresult *pg_result)
{
    struct tw_conn_entry *entry = entry_first(conn);
    if (!pg_result) {
        if (entry->kind == TW_ENTRY_SYNC)
            return false;
        if (entry->query) // ended without a result: cannot happen, but nobody must wait for ever
            return false;
        entry_pop(conn);
        return true;
    }
    if (entry->kind == TW_ENTRY_SYNC)
        return take_sync_result(conn, pg_result);
    if (entry->kind == TW_ENTRY_PROBE)
        return take_probe(conn, pg_result);
    if (entry->kind == TW_ENTRY_SETUP)
        return setup_succeeded(conn, pg_result);
    return take_query_result(conn, entry, pg_result);
}

static void take_results(struct tw_db_conn *conn)
{
    conn->read_at_us = tw_now_us();
    while (conn->entries_n > 0 && !PQisBusy(conn->pg)) {
        PGresult *pg_result = PQgetResult(conn->pg);
        bool ok = take_result(conn, pg_result);
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

// Where nothing is to be prepared, each statement is parsed without a name: it fits the schema.
static bool send_preparation(struct tw_db_conn *conn)
{
    bool prepare = tw_db_config(conn->db)->db_prepare;
    if (!send_settings(conn))
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
