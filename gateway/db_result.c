// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_result.h"

#include "gateway/db_account.h"
#include "gateway/db_retry.h"
#include "gateway/log.h"

// ---- the FIFO of what was sent ------------------------------------------------------------------

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

// ---- queries without an answer ------------------------------------------------------------------

void tw_result_give_back(struct tw_db_query *batch, enum tw_returned why)
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

// ---- errors -------------------------------------------------------------------------------------

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
        tw_result_give_back(query, TW_RETURNED_SPLIT);
        return true;
    }
    if (consequence == LOCKED && !tw_statements[query->stmt].is_write)
        consequence = ANSWER;
    switch (consequence) {
    case ANSWER:
        answer_all(query, &result);
        return true;
    case LOCKED:
        tw_result_give_back(query, TW_RETURNED_LOCKED);
        return true;
    case RUN_AGAIN:
        tw_result_give_back(query, TW_RETURNED_NOT_RUN);
        return true;
    case PREPARE_AGAIN:
        tw_log(TW_LEVEL_WARN, "db_statement_stale", "%s: %s; preparing again",
               tw_statements[query->stmt].name, field_of(pg_result, PG_DIAG_MESSAGE_PRIMARY));
        tw_db_lane_is_stale(conn, true);
        tw_result_give_back(query, TW_RETURNED_NOT_RUN);
        return true;
    case CONNECT_AGAIN: // and so for its neighbours in the lane
        tw_db_lane_is_stale(conn, false);
        tw_result_give_back(query, TW_RETURNED_NOT_RUN);
        return false;
    case OUTCOME_UNKNOWN:
        break;
    }
    tw_result_give_back(query, TW_RETURNED_UNKNOWN);
    return false;
}

// ---- answers ------------------------------------------------------------------------------------

// A read that is gathered has a row for each that it asks for: of NULLs where there is none.
static bool is_no_row(const struct tw_db_query *query, const struct tw_rows *rows)
{
    return tw_statements[query->stmt].gather && !tw_statements[query->stmt].is_write &&
           rows->n == 1 && tw_row_is_null(rows, 0, 0);
}

// What a read that wants the primary has found: its server is a standby, or gone and cannot be
// asked.
static bool may_be_old(const struct tw_db_conn *conn)
{
    return conn->state != TW_CONN_READY || tw_conn_is_on_standby(conn);
}

// Each query of the batch gets as many rows as it asked for; one alone gets all there are.
static void take_rows(const struct tw_db_conn *conn, struct tw_db_query *batch,
                      const PGresult *pg_result)
{
    struct tw_rows rows = {.pg = pg_result, .n = PQntuples(pg_result)};
    struct tw_db_result result = {.status = TW_OK, .rows = &rows};
    int n_rows = 0;
    for (const struct tw_db_query *query = batch; query; query = query->next)
        n_rows += query->n_rows;
    if (batch->next && n_rows != rows.n) { // a defect, and it is done
        tw_log(TW_LEVEL_ERROR, "db_query_failed", "%s: %d rows for %d",
               tw_statements[batch->stmt].name, rows.n, n_rows);
        tw_result_give_back(batch, TW_RETURNED_UNKNOWN);
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
        result.may_be_old = query->primary_only && may_be_old(conn);
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
            take_rows(conn, query, pg_result);
        }
        return true;
    case PGRES_PIPELINE_ABORTED:
        tw_result_give_back(query, TW_RETURNED_ABORTED);
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

// What is wrong with the zone, the master says (db_check.h).
static bool zone_is_known(struct tw_db_conn *conn, const PGresult *pg_result)
{
    if (strcmp(field_of(pg_result, PG_DIAG_SQLSTATE), TW_DB_UNKNOWN_ZONE) != 0)
        return setup_succeeded(conn, pg_result);
    tw_db_lacks_zone(conn);
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
        take_rows(conn, batch, batch_result);
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

bool tw_result_take(struct tw_db_conn *conn, PGresult *pg_result)
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
    if (entry->kind == TW_ENTRY_ZONE)
        return zone_is_known(conn, pg_result);
    return take_query_result(conn, entry, pg_result);
}
