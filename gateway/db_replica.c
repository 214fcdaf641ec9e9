// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_replica.h"

#include <stdlib.h>

#include "gateway/db_retry.h"
#include "gateway/log.h"

#define PROBE_US 200000

// A connection whose last word is older is not used; one that owes an answer for so long is dead.
#define WORD_MAX_AGE_US 1000000
#define SILENCE_US      5000000

// The primary's positions of the last db.replica_max_lag, and a little more.
#define SAMPLES 40

struct sample {
    uint64_t at_us; // before it was asked
    int64_t position;
};

struct pool {
    struct tw_db_conn *conns;
    unsigned n_conns, n_ready;
    uint64_t silence_us;
};

struct tw_db_replica {
    struct tw_db *db;
    struct tw_db_server server;
    struct pool pools[TW_LANE_COUNT]; // lane write has none
    struct sample samples[SAMPLES];   // newest first
    unsigned n_samples;
    uint64_t max_lag_us;
    uint64_t probed_us;
    bool was_used; // some connection was fresh enough when it was looked last
    bool ever_used;
};

// ---- making and freeing -------------------------------------------------------------------------

static bool pool_init(struct tw_db_replica *replica, enum tw_lane index,
                      const struct tw_db_lane *lane)
{
    struct pool *pool = &replica->pools[index];
    pool->silence_us = lane->statement_timeout_ms * 1000 + SILENCE_US;
    pool->conns = calloc(lane->n_conns, sizeof(pool->conns[0]));
    if (!pool->conns)
        return false;
    for (; pool->n_conns < lane->n_conns; pool->n_conns++)
        if (!tw_conn_init(&pool->conns[pool->n_conns], replica->db, &replica->server, index,
                          lane->conns[0].depth))
            return false;
    return true;
}

struct tw_db_replica *tw_db_replica_new(struct tw_db *db, h2o_multithread_receiver_t *receiver,
                                        const struct tw_db_lane lanes[TW_LANE_COUNT])
{
    struct tw_db_replica *replica = calloc(1, sizeof(*replica));
    if (!replica)
        return NULL;
    replica->db = db;
    replica->max_lag_us = tw_db_config(db)->db_replica_max_lag_ms * 1000;
    replica->server.is_replica = true;
    replica->server.url = tw_db_config(db)->db_replica;
    replica->server.resolver = tw_db_resolver_new(receiver, replica->server.url);
    if (replica->server.resolver && pool_init(replica, TW_LANE_FAST, &lanes[TW_LANE_FAST]) &&
        pool_init(replica, TW_LANE_SLOW, &lanes[TW_LANE_SLOW]))
        return replica;
    tw_db_replica_free(replica);
    return NULL;
}

void tw_db_replica_free(struct tw_db_replica *replica)
{
    if (!replica)
        return;
    for (size_t l = 0; l < TW_LANE_COUNT; l++) {
        struct pool *pool = &replica->pools[l];
        for (unsigned i = 0; i < pool->n_conns; i++)
            tw_conn_dispose(&pool->conns[i]);
        free(pool->conns);
    }
    tw_db_resolver_free(replica->server.resolver);
    free(replica);
}

// ---- positions ----------------------------------------------------------------------------------

// The primary had flushed this at that time. Samples stand so far apart that all of them span the
// lag that is allowed; the newest one is replaced until it is so far from the one before.
static void add_sample(struct tw_db_replica *replica, struct sample sample)
{
    struct sample *samples = replica->samples;
    if (replica->n_samples > 0 && sample.at_us < samples[0].at_us)
        return; // another connection was faster
    uint64_t apart_us = replica->max_lag_us / (SAMPLES - 8);
    bool replace = replica->n_samples > 1 && samples[0].at_us - samples[1].at_us < apart_us;
    if (!replace) {
        memmove(&samples[1], &samples[0], (SAMPLES - 1) * sizeof(samples[0]));
        replica->n_samples += replica->n_samples < SAMPLES;
    }
    samples[0] = sample;
}

static void judge(const struct tw_db_replica *replica, struct tw_db_conn *conn)
{
    for (unsigned i = 0; i < replica->n_samples; i++) {
        if (replica->samples[i].position > conn->position)
            continue;
        if (conn->fresh_us < replica->samples[i].at_us)
            conn->fresh_us = replica->samples[i].at_us;
        return;
    }
}

static void judge_all(struct tw_db_replica *replica)
{
    for (size_t l = 0; l < TW_LANE_COUNT; l++)
        for (unsigned i = 0; i < replica->pools[l].n_conns; i++)
            if (replica->pools[l].conns[i].word_us != 0)
                judge(replica, &replica->pools[l].conns[i]);
}

void tw_db_replica_probed(struct tw_db_replica *replica, struct tw_db_conn *conn, bool in_recovery,
                          int64_t position)
{
    if (!conn->server->is_replica) {
        if (in_recovery)
            return; // a reading lane without a primary
        add_sample(replica, (struct sample){conn->probe_at_us, position});
        judge_all(replica);
        return;
    }
    if (!in_recovery) { // promoted: its own history may differ from the primary's
        conn->stale = true;
        return;
    }
    conn->word_us = tw_now_us();
    conn->position = position;
    judge(replica, conn);
}

static bool is_fresh(const struct tw_db_replica *replica, const struct tw_db_conn *conn,
                     uint64_t now_us)
{
    return conn->state == TW_CONN_READY && !conn->stale && conn->fresh_us != 0 &&
           now_us - conn->word_us <= WORD_MAX_AGE_US &&
           replica->samples[0].at_us - conn->fresh_us <= replica->max_lag_us;
}

// ---- reads --------------------------------------------------------------------------------------

static bool may_serve(const struct tw_db_replica *replica, const struct tw_db_conn *conn,
                      uint64_t reader, uint64_t now_us)
{
    return conn->fresh_us >= tw_db_written_us(tw_db_shared(replica->db), reader) &&
           is_fresh(replica, conn, now_us);
}

bool tw_db_replica_may_serve(const struct tw_db_replica *replica, const struct tw_db_conn *conn,
                             uint64_t reader, bool primary_only)
{
    return !primary_only && may_serve(replica, conn, reader, tw_now_us());
}

struct tw_db_conn *tw_db_replica_pick(struct tw_db_replica *replica, enum tw_stmt stmt,
                                      uint64_t reader, bool primary_only)
{
    if (!replica || primary_only || tw_statements[stmt].is_write)
        return NULL;
    const struct pool *pool = &replica->pools[tw_statements[stmt].lane];
    uint64_t now_us = tw_now_us();
    struct tw_db_conn *best = NULL;
    for (unsigned i = 0; i < pool->n_conns; i++) {
        struct tw_db_conn *conn = &pool->conns[i];
        if (conn->in_flight < conn->depth && may_serve(replica, conn, reader, now_us) &&
            (!best || conn->in_flight < best->in_flight))
            best = conn;
    }
    return best;
}

bool tw_db_replica_has_room(const struct tw_db_replica *replica, enum tw_lane lane)
{
    if (!replica)
        return false;
    const struct pool *pool = &replica->pools[lane];
    uint64_t now_us = tw_now_us();
    for (unsigned i = 0; i < pool->n_conns; i++)
        if (pool->conns[i].in_flight < pool->conns[i].depth &&
            is_fresh(replica, &pool->conns[i], now_us))
            return true;
    return false;
}

void tw_db_replica_sync(struct tw_db_replica *replica, enum tw_lane lane)
{
    if (!replica)
        return;
    const struct pool *pool = &replica->pools[lane];
    for (unsigned i = 0; i < pool->n_conns; i++)
        if (pool->conns[i].state == TW_CONN_READY && pool->conns[i].dirty)
            tw_conn_sync(&pool->conns[i]);
}

// ---- time ---------------------------------------------------------------------------------------

static void probe_primary(struct tw_db_replica *replica)
{
    const struct tw_db_lane *lane = tw_db_lane(replica->db, TW_LANE_FAST);
    for (unsigned i = 0; i < lane->n_conns; i++) {
        struct tw_db_conn *conn = &lane->conns[i];
        if (conn->state == TW_CONN_READY && !conn->stale && !conn->is_probed) {
            tw_conn_probe(conn);
            return;
        }
    }
}

// The primary has time left to answer the short reads that wait behind a probe; a list may take
// long, and for that there is its pool's silence_us.
static uint64_t patience_us(enum tw_lane lane, const struct tw_db_conn *conn)
{
    if (conn->in_flight == 0)
        return SILENCE_US;
    return lane == TW_LANE_FAST ? WORD_MAX_AGE_US : UINT64_MAX;
}

static void probe_replicas(struct tw_db_replica *replica, uint64_t now_us)
{
    for (size_t l = 0; l < TW_LANE_COUNT; l++) {
        for (unsigned i = 0; i < replica->pools[l].n_conns; i++) {
            struct tw_db_conn *conn = &replica->pools[l].conns[i];
            if (conn->state != TW_CONN_READY)
                continue;
            if (!conn->is_probed)
                tw_conn_probe(conn);
            else if (now_us - conn->probe_at_us > patience_us((enum tw_lane)l, conn))
                tw_conn_break(conn, "does not answer");
        }
    }
}

// One line each way.
static void say_whether_used(struct tw_db_replica *replica, uint64_t now_us)
{
    const struct pool *pool = &replica->pools[TW_LANE_FAST];
    int n_fresh = 0;
    for (unsigned i = 0; i < pool->n_conns; i++)
        n_fresh += is_fresh(replica, &pool->conns[i], now_us);
    tw_metric_set(tw_db_page(replica->db), TW_METRIC_DB_REPLICA_FRESH, n_fresh);
    if ((n_fresh > 0) == replica->was_used)
        return;
    replica->was_used = n_fresh > 0;
    if (replica->was_used)
        tw_log(TW_LEVEL_INFO, "db_replica_used", "reads go to replicas%s",
               replica->ever_used ? " again" : "");
    else
        tw_log(TW_LEVEL_WARN, "db_replica_aside", "reads go to the primary: %s",
               pool->n_ready > 0 ? "no replica is as fresh as db.replica_max_lag asks"
                                 : "no replica is there");
    replica->ever_used = true;
}

void tw_db_replica_tick(struct tw_db_replica *replica, uint64_t now_us)
{
    if (!replica)
        return;
    for (size_t l = 0; l < TW_LANE_COUNT; l++) {
        struct pool *pool = &replica->pools[l];
        for (unsigned i = 0; i < pool->n_conns; i++)
            tw_retry_tick(&pool->conns[i], i == 0 || pool->n_ready > 0, pool->silence_us);
    }
    if (now_us - replica->probed_us >= PROBE_US) {
        replica->probed_us = now_us;
        probe_primary(replica);
        probe_replicas(replica, now_us);
    }
    say_whether_used(replica, now_us);
}

void tw_db_replica_changed(struct tw_db_replica *replica, struct tw_db_conn *conn)
{
    struct pool *pool = &replica->pools[conn->lane];
    bool is_ready = conn->state == TW_CONN_READY;
    pool->n_ready += is_ready ? 1 : -1u;
    conn->fresh_us = conn->word_us = 0;
    tw_metric_add(tw_db_page(replica->db), TW_METRIC_DB_REPLICA_CONNECTIONS, is_ready ? 1 : -1);
    if (is_ready && pool->n_ready == 1)
        tw_retry_say_connected(conn);
}
