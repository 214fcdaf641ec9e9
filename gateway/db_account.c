// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_account.h"

#include <stdio.h>

#include "gateway/log.h"

// Lines about slow calls that a worker writes in a second; the next one tells how many were not.
#define LINES_PER_S_MAX 10

// Requests of a batch that a line names.
#define REQUESTS_NAMED_MAX 8

static struct {
    uint64_t second;
    unsigned written;
    uint64_t untold;
} lines;

static struct tw_statement_stats *stats_of(const struct tw_db_query *query)
{
    return &tw_db_page(query->db)->statements[query->stmt];
}

// The server works on a call when it has answered the one before.
static uint64_t begun_us(const struct tw_db_conn *conn, const struct tw_db_query *query)
{
    return conn->last_progress_us > query->sent_us ? conn->last_progress_us : query->sent_us;
}

static bool may_write(uint64_t now_us)
{
    uint64_t second = now_us / 1000000;
    if (second != lines.second) {
        lines.second = second;
        lines.written = 0;
    }
    if (lines.written < LINES_PER_S_MAX)
        return ++lines.written;
    lines.untold++;
    return false;
}

// "id id id and 3 more"
static void name_requests(const struct tw_db_query *batch, char *out, size_t size)
{
    size_t n = 0, named = 0, more = 0;
    out[0] = '\0';
    for (const struct tw_db_query *query = batch; query; query = query->next) {
        if (named == REQUESTS_NAMED_MAX || query->request_id.n >= size - n - 32) {
            more++;
            continue;
        }
        n += (size_t)snprintf(out + n, size - n, "%s%.*s", named > 0 ? " " : "",
                              (int)query->request_id.n, query->request_id.p);
        named++;
    }
    if (more > 0)
        (void)snprintf(out + n, size - n, " and %zu more", more);
}

static void write_line(const struct tw_db_conn *conn, const struct tw_db_query *batch,
                       const char *event, uint64_t server_us, const char *outcome)
{
    char requests[768], untold[64] = "";
    if (!may_write(tw_now_us()))
        return;
    if (lines.untold > 0)
        (void)snprintf(untold, sizeof(untold), "; %llu lines like this were left out",
                       (unsigned long long)lines.untold);
    lines.untold = 0;
    name_requests(batch, requests, sizeof(requests));
    tw_log(TW_LEVEL_WARN, event, "%s: %s, queue %llu ms, server %llu ms, pid %d, request %s%s",
           tw_statements[batch->stmt].name, outcome, (unsigned long long)batch->waited_us / 1000,
           (unsigned long long)server_us / 1000, PQbackendPID(conn->pg), requests, untold);
}

static bool is_slow(const struct tw_db_query *query, uint64_t server_us)
{
    uint64_t slow_us = tw_db_config(query->db)->db_slow_log_ms * 1000;
    return slow_us > 0 && server_us >= slow_us;
}

void tw_account_sent(struct tw_db_query *query, uint64_t now_us)
{
    // What came back while the queues are being flushed has waited for nothing.
    uint64_t waited_us = now_us > query->queued_at_us ? now_us - query->queued_at_us : 0;
    enum tw_lane lane = tw_statements[query->stmt].lane;
    query->sent_us = now_us;
    query->waited_us += waited_us;
    tw_histogram_add(&tw_db_page(query->db)->queue_waits[lane], waited_us);
}

static const char *outcome_of(const PGresult *pg_result, bool ok, char out[32])
{
    if (ok)
        (void)snprintf(out, 32, "%d rows", PQntuples(pg_result));
    else
        (void)snprintf(out, 32, "SQLSTATE %.5s", PQresultErrorField(pg_result, PG_DIAG_SQLSTATE));
    return out;
}

void tw_account_answered(struct tw_db_conn *conn, struct tw_db_query *batch,
                         const PGresult *pg_result)
{
    char outcome[32];
    ExecStatusType status = PQresultStatus(pg_result);
    bool ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
    const char *sqlstate = ok ? NULL : PQresultErrorField(pg_result, PG_DIAG_SQLSTATE);
    uint64_t server_us = conn->read_at_us - begun_us(conn, batch);
    conn->behind_us = begun_us(conn, batch) - batch->sent_us;
    if (ok)
        tw_statement_succeeded(stats_of(batch), conn->read_at_us - batch->sent_us,
                               (uint64_t)PQntuples(pg_result));
    else
        tw_statement_failed(stats_of(batch), sqlstate ? sqlstate : "");
    for (struct tw_db_query *query = batch; query; query = query->next)
        query->server_us += server_us;
    if (!is_slow(batch, batch->server_us) || batch->told_slow || (!ok && !sqlstate))
        return;
    batch->told_slow = true;
    write_line(conn, batch, "db_statement_slow", batch->server_us,
               outcome_of(pg_result, ok, outcome));
}

void tw_account_lost(const struct tw_db_query *batch)
{
    tw_statement_failed(stats_of(batch), "");
}

// The oldest call that has no answer yet.
static struct tw_db_query *running(const struct tw_db_conn *conn)
{
    for (unsigned i = 0; i < conn->entries_n; i++) {
        const struct tw_conn_entry *entry =
            &conn->entries[(conn->entries_head + i) % conn->entries_cap];
        if (entry->kind == TW_ENTRY_QUERY && entry->query)
            return entry->query;
    }
    return NULL;
}

void tw_account_watch(const struct tw_db_conn *conn, uint64_t now_us)
{
    struct tw_db_query *batch = running(conn);
    if (!batch || batch->told_running)
        return;
    uint64_t server_us = batch->server_us + now_us - begun_us(conn, batch);
    if (!is_slow(batch, server_us))
        return;
    batch->told_running = true;
    write_line(conn, batch, "db_statement_running", server_us, "no answer yet");
}
