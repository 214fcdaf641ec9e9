// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_retry.h"

#include <stdio.h>

#include "gateway/db_account.h"
#include "gateway/db_connect.h"

// A connection that was ready for so long is tried again at once, within START_JITTER_US.
#define READY_LONG_US   1000000
#define START_JITTER_US 20000

// Where there are other servers, or was a ready connection lately, pauses stay short: writes resume
// within 2 s of a promotion (FAULTS D2).
#define PAUSE_HOPEFUL_MS 1000
#define LATELY_US        60000000

// Of several addresses the next one has its turn when one is silent for so long.
#define ADDRESS_PATIENCE_US 1000000

// ---- what the log says
// ---------------------------------------------------------------------------

const char *tw_lane_name(enum tw_lane lane)
{
    static const char *const names[] = {"fast", "write", "slow"};
    return names[lane];
}

static void name_lane(const struct tw_db_conn *conn, char out[32])
{
    (void)snprintf(out, 32, "%slane %s", conn->server->is_replica ? "replica, " : "",
                   tw_lane_name(conn->lane));
}

void tw_retry_say_connected(struct tw_db_conn *conn)
{
    char lane[32], server[128];
    const char *hostaddr = PQhostaddr(conn->pg), *host = PQhost(conn->pg);
    name_lane(conn, lane);
    (void)snprintf(server, sizeof(server), "%s port %s", hostaddr && hostaddr[0] ? hostaddr : host,
                   PQport(conn->pg));
    tw_db_trouble_over(&conn->server->troubles[conn->lane], lane, server);
}

void tw_retry_say_lost(struct tw_db_conn *conn, const char *why)
{
    char lane[32], cause[600];
    name_lane(conn, lane);
    int n = snprintf(cause, sizeof(cause), "%s: ", why);
    tw_db_connect_fault(conn->pg, cause + n, sizeof(cause) - (size_t)n);
    if (!cause[n])
        cause[n - 2] = '\0';
    tw_db_trouble_add(&conn->server->troubles[conn->lane], lane, cause, conn->retry_at_us);
}

// ---- connecting ---------------------------------------------------------------------------------

static uint64_t jitter_us(uint64_t most_us)
{
    uint32_t random;
    tw_random(&random, sizeof(random));
    return (uint64_t)random * most_us / UINT32_MAX;
}

// Half of the pause is jitter, so that the connections of all workers do not come back at once.
void tw_retry_plan(struct tw_db_conn *conn)
{
    uint64_t now_us = tw_now_us(), most_ms = tw_db_config(conn->db)->db_backoff_max_ms;
    conn->any_server = conn->state == TW_CONN_CONNECTING && !conn->any_server;
    if (conn->state == TW_CONN_READY)
        conn->ready_until_us = now_us;
    if (conn->state == TW_CONN_READY && now_us - conn->state_since_us > READY_LONG_US) {
        conn->retry_at_us = now_us + jitter_us(START_JITTER_US);
        return;
    }
    bool was_ready_lately = conn->ready_until_us != 0 && now_us - conn->ready_until_us < LATELY_US;
    if ((was_ready_lately || tw_db_resolver_has_several(conn->server->resolver)) &&
        most_ms > PAUSE_HOPEFUL_MS)
        most_ms = PAUSE_HOPEFUL_MS;
    if (conn->backoff_ms > most_ms)
        conn->backoff_ms = most_ms;
    uint64_t half_us = conn->backoff_ms * 1000 / 2;
    conn->retry_at_us = now_us + half_us + jitter_us(half_us);
    conn->backoff_ms *= 2;
}

// The lanes that write need a server that takes writes, and those that read prefer it: it has all
// that was written. A URL that says target_session_attrs itself is obeyed.
static const char *server_kind(const struct tw_db_conn *conn)
{
    if (conn->server->is_replica)
        return "standby";
    return conn->lane == TW_LANE_WRITE || !conn->any_server ? "read-write" : "any";
}

PGconn *tw_retry_dial(const struct tw_db_conn *conn, const struct tw_db_addresses *addresses,
                      const char **why)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "tillway worker %u %s%s", tw_db_worker_index(conn->db),
                   tw_lane_name(conn->lane), conn->server->is_replica ? " replica" : "");
    const struct tw_db_login login = {
        .url = conn->server->url,
        .password_file = tw_db_config(conn->db)->db_password_file,
        .application = name,
        .server_kind = server_kind(conn),
        .host = addresses->host,
        .hostaddr = addresses->hostaddr,
        .port = addresses->port,
    };
    return tw_db_connect_start(&login, why);
}

// Stays DOWN while names are looked up, or while the machine has begun enough connections.
static void start(struct tw_db_conn *conn)
{
    struct tw_db_addresses addresses;
    const char *why;
    uint64_t now_us = tw_now_us(), wait_us;
    switch (tw_db_resolve(conn->server->resolver, &addresses, &why)) {
    case TW_RESOLVED_PENDING:
        return;
    case TW_RESOLVED_FAILED:
        tw_conn_connect(conn, NULL, why);
        return;
    case TW_RESOLVED_READY:
        break;
    }
    wait_us = tw_db_connect_wait_us(tw_db_shared(conn->db), tw_db_config(conn->db)->db_connect_rate,
                                    now_us);
    if (wait_us == 0)
        tw_conn_connect(conn, &addresses, NULL);
    else
        conn->retry_at_us = now_us + wait_us + jitter_us(START_JITTER_US);
}

// ---- time ---------------------------------------------------------------------------------------

// Another address may answer: this one is tried last for a while.
static void pass_by(struct tw_db_conn *conn, const char *why)
{
    const char *hostaddr = PQhostaddr(conn->pg), *port = PQport(conn->pg);
    tw_db_resolver_silent(conn->server->resolver, hostaddr ? hostaddr : "", port ? port : "");
    if (tw_db_resolver_has_several(conn->server->resolver))
        conn->backoff_ms = tw_db_config(conn->db)->db_backoff_min_ms;
    tw_conn_break(conn, why);
}

static void watch_connecting(struct tw_db_conn *conn)
{
    uint64_t now_us = tw_now_us();
    bool has_several = tw_db_resolver_has_several(conn->server->resolver);
    if (has_several && PQstatus(conn->pg) == CONNECTION_STARTED &&
        now_us - conn->address_since_us > ADDRESS_PATIENCE_US)
        pass_by(conn, "no answer from one address");
    else if (now_us - conn->state_since_us > tw_db_config(conn->db)->db_connect_timeout_ms * 1000)
        pass_by(conn, "took too long to connect");
}

// It was there when no server took writes, and now one does: what it reads may be old.
static bool is_to_leave(const struct tw_db_conn *conn)
{
    return !conn->server->is_replica && tw_conn_is_on_standby(conn) && tw_db_takes_writes(conn->db);
}

void tw_retry_tick(struct tw_db_conn *conn, bool may_connect, uint64_t silence_us)
{
    uint64_t now_us = tw_now_us();
    switch (conn->state) {
    case TW_CONN_DOWN:
        if (may_connect && now_us >= conn->retry_at_us)
            start(conn);
        break;
    case TW_CONN_CONNECTING:
    case TW_CONN_PREPARING:
        watch_connecting(conn);
        break;
    case TW_CONN_READY:
        tw_account_watch(conn, now_us);
        conn->stale |= is_to_leave(conn);
        if (conn->stale && conn->entries_n == 0)
            tw_conn_replace(conn);
        else if (conn->in_flight > 0 && now_us - conn->last_progress_us > silence_us)
            tw_conn_break(conn, "does not answer");
        break;
    }
}
