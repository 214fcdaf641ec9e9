// SPDX-License-Identifier: Apache-2.0
#include "gateway/db.h"

#include <stdlib.h>

#include "gateway/db_account.h"
#include "gateway/db_gather.h"
#include "gateway/db_lane.h"
#include "gateway/db_replica.h"
#include "gateway/db_retry.h"

// How often deadlines, queue timeouts and reconnections are looked at.
#define TICK_MS 20

// A connection that answers nothing for its statement timeout and this long is dead.
#define SILENCE_GRACE_MS 1000

// Without a connection that takes writes for so long, writes are refused: their clients shall know
// within 100 ms (FAULTS D2).
#define WRITES_LOST_US 40000

// A query is sent at most so often: once, and once more after a lost connection or a deadlock.
#define ATTEMPTS_MAX 3

#define LIVE(link) H2O_STRUCT_FROM_MEMBER(struct tw_db_query, live, link)

struct tw_db {
    h2o_loop_t *loop;
    struct tw_db_server primary;
    struct tw_db_replica *replica; // NULL: none is configured
    const struct tw_config *config;
    struct tw_worker_page *page;
    struct tw_db_shared *shared;
    unsigned worker_index;
    struct tw_db_lane lanes[TW_LANE_COUNT];
    struct tw_shed shed;
    struct tw_yield yield;
    bool lacks_zone; // so said the server when lane write connected last
    uint64_t ticked_at_us;
    h2o_timeout_t tick_timeout;
    h2o_timeout_entry_t tick;
};

const struct tw_config *tw_db_config(const struct tw_db *db)
{
    return db->config;
}

struct st_h2o_evloop_t *tw_db_loop(const struct tw_db *db)
{
    return db->loop;
}

struct tw_db_shared *tw_db_shared(const struct tw_db *db)
{
    return db->shared;
}

bool tw_db_takes_writes(const struct tw_db *db)
{
    return db->lanes[TW_LANE_WRITE].n_ready > 0;
}

struct tw_worker_page *tw_db_page(const struct tw_db *db)
{
    return db->page;
}

unsigned tw_db_worker_index(const struct tw_db *db)
{
    return db->worker_index;
}

struct tw_db_resolver *tw_db_primary_resolver(const struct tw_db *db)
{
    return db->primary.resolver;
}

struct tw_db_replica *tw_db_replica(struct tw_db *db)
{
    return db->replica;
}

struct tw_db_lane *tw_db_lane(struct tw_db *db, enum tw_lane lane)
{
    return &db->lanes[lane];
}

struct tw_shed *tw_db_shed(struct tw_db *db)
{
    return &db->shed;
}

struct tw_yield *tw_db_yield(struct tw_db *db)
{
    return &db->yield;
}

// ---- making and freeing -------------------------------------------------------------------------

// Shares of one worker. Two connections of pipelined reads are faster than four (FIELD-NOTES), a
// report may take one, and every connection that is left carries writes, one at a time each. One
// is for db_listen.c, when there are more than the lanes need.
static void lane_sizes(const struct tw_config *config, unsigned worker_index, unsigned n_workers,
                       unsigned sizes[TW_LANE_COUNT])
{
    unsigned all = config->db_max_connections;
    unsigned mine = all / n_workers + (worker_index < all % n_workers);
    if (config->cache_size_bytes > 0 && mine > TW_LANE_COUNT)
        mine--;
    sizes[TW_LANE_SLOW] = mine >= 8 ? 2 : 1;
    sizes[TW_LANE_FAST] = mine >= 6 ? 2 : 1;
    unsigned others = sizes[TW_LANE_SLOW] + sizes[TW_LANE_FAST];
    sizes[TW_LANE_WRITE] = mine > others ? mine - others : 1;
}

static void on_tick(h2o_timeout_entry_t *entry);

struct tw_db *tw_db_new(struct st_h2o_context_t *ctx, const struct tw_config *config,
                        unsigned worker_index, unsigned n_workers, struct tw_worker_page *page,
                        struct tw_db_shared *shared)
{
    struct tw_db *db = calloc(1, sizeof(*db));
    if (!db)
        return NULL;
    db->loop = ctx->loop;
    db->config = config;
    db->page = page;
    db->shared = shared;
    db->worker_index = worker_index;
    h2o_timeout_init(db->loop, &db->tick_timeout, TICK_MS);
    db->tick.cb = on_tick;
    unsigned sizes[TW_LANE_COUNT];
    lane_sizes(config, worker_index, n_workers, sizes);
    struct tw_db_server *primary = &db->primary;
    primary->url = config->db_url;
    primary->resolver = tw_db_resolver_new(&ctx->receivers.hostinfo_getaddr, config->db_url);
    const unsigned depths[TW_LANE_COUNT] = {config->db_pipeline_depth, 1, 1};
    bool ok = primary->resolver != NULL;
    for (int l = 0; l < TW_LANE_COUNT && ok; l++)
        ok = tw_lane_init(&db->lanes[l], db, (enum tw_lane)l, primary, sizes[l], depths[l]);
    if (!ok) {
        tw_db_free(db);
        return NULL;
    }
    db->lanes[TW_LANE_FAST].statement_timeout_ms = config->db_fast_timeout_ms;
    db->lanes[TW_LANE_WRITE].statement_timeout_ms = config->db_write_timeout_ms;
    db->lanes[TW_LANE_SLOW].statement_timeout_ms = config->db_slow_timeout_ms;
    db->ticked_at_us = tw_now_us();
    tw_shed_init(&db->shed, config->db_queue_target_ms * 1000, db->ticked_at_us);
    tw_yield_init(&db->yield, sizes[TW_LANE_SLOW], n_workers, db->ticked_at_us);
    if (config->db_replica[0]) {
        db->replica = tw_db_replica_new(db, &ctx->receivers.hostinfo_getaddr, db->lanes);
        if (!db->replica) {
            tw_db_free(db);
            return NULL;
        }
    }
    h2o_timeout_link(db->loop, &db->tick_timeout, &db->tick);
    return db;
}

void tw_db_free(struct tw_db *db)
{
    h2o_timeout_unlink(&db->tick);
    h2o_timeout_dispose(db->loop, &db->tick_timeout);
    for (size_t l = 0; l < TW_LANE_COUNT; l++)
        tw_lane_dispose(&db->lanes[l]);
    tw_db_replica_free(db->replica);
    tw_db_resolver_free(db->primary.resolver);
    free(db);
}

// ---- a query's life -----------------------------------------------------------------------------

static struct tw_db_times times_of(const struct tw_db_query *query)
{
    struct tw_db_times times = {.queue_us = query->waited_us,
                                .server_us = query->server_us,
                                .stmt = query->stmt,
                                .submitted_us = query->submitted_us,
                                .sent_us = query->first_sent_us};
    if (query->state == TW_QUERY_QUEUED)
        times.queue_us += tw_now_us() - query->queued_at_us;
    return times;
}

// Tells the owner, who is then forgotten. The query itself may live on in a FIFO.
static void answer(struct tw_db_query *query, const struct tw_db_result *result)
{
    struct tw_db_lane *lane = tw_lane_of(query);
    if (tw_statements[query->stmt].is_write && query->reader != 0) // also what comes late
        tw_db_written(query->db->shared, query->reader, tw_now_us());
    if (!h2o_linklist_is_linked(&query->live))
        return; // it was answered before, by a deadline
    h2o_linklist_unlink(&query->live);
    lane->unanswered--;
    if (result->status != TW_OK)
        tw_metric_add(query->db->page, TW_METRIC_DB_ERRORS, 1);
    void *owner = query->owner;
    query->owner = NULL;
    if (!owner)
        return;
    struct tw_db_result told = *result;
    told.times = times_of(query);
    query->callback(owner, &told);
}

static void answer_status(struct tw_db_query *query, enum tw_status status)
{
    struct tw_db_result result = {.status = status};
    answer(query, &result);
}

void tw_db_query_refused(struct tw_db_query *query, enum tw_status status)
{
    tw_lane_unqueue(query);
    tw_metric_add(query->db->page, TW_METRIC_DB_REFUSED, 1);
    answer_status(query, status);
    free(query);
}

static struct tw_db_query *query_new(struct tw_db *db, const struct tw_db_call *call)
{
    const struct tw_params *params = call->params;
    struct tw_db_query *query = malloc(sizeof(*query) + params->used + call->request_id.n);
    if (!query)
        return NULL;
    memset(query, 0, offsetof(struct tw_db_query, n_params));
    query->db = db;
    query->stmt = call->stmt;
    query->deadline_us = call->deadline_us;
    query->reader = call->reader;
    query->primary_only = call->primary_only;
    query->callback = call->callback;
    query->owner = call->owner;
    query->has_left = call->has_left;
    query->n_params = (int)params->n;
    query->n_bytes = params->used;
    memcpy(query->bytes, params->bytes, params->used);
    query->request_id = (struct tw_str){query->bytes + params->used, call->request_id.n};
    if (call->request_id.n > 0)
        memcpy(query->bytes + params->used, call->request_id.p, call->request_id.n);
    for (unsigned i = 0; i < params->n; i++) {
        query->values[i] = params->lengths[i] < 0 ? NULL : query->bytes + params->offsets[i];
        query->lengths[i] = params->lengths[i] < 0 ? 0 : params->lengths[i];
    }
    if (tw_statements[call->stmt].gather)
        query->n_rows = tw_gather_rows(tw_statements[call->stmt].gather, &TW_GATHER_PART(query));
    return query;
}

// A write has nowhere to go, and it has been so for a while. A worker that has only begun waits for
// its first connection as long as a queue may wait, and so does one that replaces its connections
// because a table has changed.
static bool writes_are_lost(const struct tw_db_lane *lane, uint64_t now_us)
{
    if (now_us - lane->renewed_at_us < lane->db->config->db_queue_timeout_ms * 1000)
        return false;
    return lane->index == TW_LANE_WRITE && lane->was_ready && lane->no_ready_since_us != 0 &&
           now_us - lane->no_ready_since_us > WRITES_LOST_US;
}

// Connections have as many in hand as they are themselves; the others wait.
static bool may_enter(const struct tw_db_lane *lane, enum tw_priority priority)
{
    unsigned waiting = lane->unanswered > lane->n_conns ? lane->unanswered - lane->n_conns : 0;
    return lane->queued < lane->db->config->db_queue_max &&
           tw_shed_admits(&lane->db->shed, lane->index, priority, waiting);
}

// In order of deadlines: as a rule it is the last one.
static void live_insert(struct tw_db_lane *lane, struct tw_db_query *query)
{
    h2o_linklist_t *before = lane->live.prev;
    while (before != &lane->live && LIVE(before)->deadline_us > query->deadline_us)
        before = before->prev;
    h2o_linklist_insert(before->next, &query->live);
}

enum tw_status tw_db_submit(struct tw_db *db, const struct tw_db_call *call,
                            struct tw_db_query **out)
{
    struct tw_db_lane *lane = &db->lanes[tw_statements[call->stmt].lane];
    uint64_t now_us = tw_now_us();
    if (call->params->failed || (int)call->params->n != tw_statements[call->stmt].n_params)
        return TW_INTERNAL;
    bool is_lost = lane->no_ready_since_us != 0 &&
                   now_us - lane->no_ready_since_us > db->config->db_queue_timeout_ms * 1000;
    if (writes_are_lost(lane, now_us) ||
        (is_lost && !tw_db_replica_pick(db->replica, call->stmt, call->reader, call->primary_only)))
        return TW_DATABASE_UNAVAILABLE;
    if (!may_enter(lane, tw_statements[call->stmt].priority)) {
        tw_metric_add(db->page, TW_METRIC_DB_SHED_SALE + (int)tw_statements[call->stmt].priority,
                      1);
        return TW_OVERLOADED;
    }
    struct tw_db_query *query = query_new(db, call);
    if (!query)
        return TW_OVERLOADED;
    query->queued_at_us = query->submitted_us = now_us;
    live_insert(lane, query);
    tw_lane_enqueue(query, true);
    lane->unanswered++;
    *out = query;
    return TW_OK;
}

void tw_db_detach(struct tw_db_query *query)
{
    query->owner = NULL;
    if (query->state == TW_QUERY_QUEUED && !tw_statements[query->stmt].is_write) {
        tw_lane_unqueue(query);
        answer_status(query, TW_OK); // to nobody
        free(query);
    }
}

void tw_db_query_answered(struct tw_db_query *query, const struct tw_db_result *result)
{
    answer(query, result);
    free(query);
}

// Foremost in its queue, or last.
static void requeue(struct tw_db_query *query, bool last)
{
    struct tw_db *db = query->db;
    tw_metric_add(db->page, TW_METRIC_DB_RETRIES, 1);
    query->state = TW_QUERY_QUEUED;
    query->queued_at_us = tw_now_us();
    tw_lane_enqueue(query, last);
}

// A write that waits for a lock goes on trying as long as it might have waited at one go.
static bool lock_wait_is_over(const struct tw_db_query *query)
{
    const struct tw_db_lane *lane = tw_lane_of(query);
    return tw_now_us() - query->first_sent_us >= lane->statement_timeout_ms * 1000;
}

void tw_db_query_returned(struct tw_db_query *query, enum tw_returned why)
{
    bool is_write = tw_statements[query->stmt].is_write;
    if (is_write && (why == TW_RETURNED_LOCKED || why == TW_RETURNED_SPLIT))
        tw_shed_locked(&query->db->shed);
    bool may_have_written = is_write && why == TW_RETURNED_UNKNOWN;
    bool wanted = h2o_linklist_is_linked(&query->live) && (query->owner || is_write);
    bool is_locked = why == TW_RETURNED_LOCKED, is_over = is_locked && lock_wait_is_over(query);
    if (why == TW_RETURNED_ABORTED || why == TW_RETURNED_SPLIT || is_locked) {
        query->alone = true;
        query->attempts--;
    } else if (query->attempts == ATTEMPTS_MAX - 1) {
        query->alone = true; // the last time without neighbours, who may be the cause
    }
    if (wanted && !may_have_written && !is_over && query->attempts < ATTEMPTS_MAX) {
        requeue(query, is_locked);
        return;
    }
    answer_status(query, may_have_written ? TW_OUTCOME_UNKNOWN
                         : is_over        ? TW_DEADLINE_EXCEEDED
                                          : TW_DATABASE_UNAVAILABLE);
    free(query);
}

void tw_db_lane_is_stale(struct tw_db_conn *conn, bool server_is_well)
{
    conn->stale = true;
    if (conn->server->is_replica)
        return;
    struct tw_db_lane *lane = &conn->db->lanes[conn->lane];
    lane->renewed_at_us = server_is_well ? tw_now_us() : 0;
    for (unsigned i = 0; i < lane->n_conns; i++)
        lane->conns[i].stale |= lane->conns[i].state == TW_CONN_READY;
}

void tw_db_probed(struct tw_db_conn *conn, bool in_recovery, int64_t position)
{
    if (conn->db->replica)
        tw_db_replica_probed(conn->db->replica, conn, in_recovery, position);
}

void tw_db_lacks_zone(struct tw_db_conn *conn)
{
    conn->db->lacks_zone = true;
}

void tw_db_conn_changed(struct tw_db_conn *conn)
{
    struct tw_db *db = conn->db;
    if (conn->server->is_replica) {
        tw_db_replica_changed(db->replica, conn);
        return;
    }
    struct tw_db_lane *lane = &db->lanes[conn->lane];
    lane->n_ready += conn->state == TW_CONN_READY ? 1 : -1u;
    lane->no_ready_since_us = lane->n_ready > 0 ? 0 : tw_now_us();
    lane->was_ready |= lane->n_ready > 0;
    db->lacks_zone &= lane->index != TW_LANE_WRITE || lane->n_ready == 0;
    if (conn->state == TW_CONN_READY && lane->n_ready == 1) {
        lane->ready_since_us = tw_now_us();
        tw_retry_say_connected(conn);
    }
    tw_metric_set(db->page, TW_METRIC_DB_CONNECTIONS_FAST + (int)conn->lane, lane->n_ready);
}

void tw_db_flush(struct tw_db *db)
{
    uint64_t now_us = 0;
    for (size_t l = 0; l < TW_LANE_COUNT; l++) {
        if (db->lanes[l].queued == 0)
            continue;
        now_us = now_us ? now_us : tw_now_us();
        tw_lane_flush(&db->lanes[l], now_us);
    }
}

void tw_db_call_ended(struct tw_db_conn *conn, bool was_batch)
{
    struct tw_db_lane *lane = &conn->db->lanes[conn->lane];
    if (was_batch && lane->index == TW_LANE_WRITE)
        tw_lane_batch_ended(lane, conn->read_at_us);
    if (lane->queued > 0)
        tw_lane_flush(lane, conn->read_at_us);
}

// ---- time ---------------------------------------------------------------------------------------

// The first that has waited in this queue for as long as it may. Foremost are those that came back
// from a connection, which began to wait anew; the others are in order of arrival.
static struct tw_db_query *first_overdue(const struct tw_db_lane *lane, const h2o_linklist_t *queue,
                                         uint64_t now_us)
{
    uint64_t most_us = lane->db->config->db_queue_timeout_ms * 1000;
    bool is_lost = writes_are_lost(lane, now_us);
    for (const h2o_linklist_t *link = queue->next; link != queue; link = link->next) {
        struct tw_db_query *query = H2O_STRUCT_FROM_MEMBER(struct tw_db_query, queue, link);
        // One that the callback of another has just queued is younger than now_us.
        if (is_lost || now_us > query->queued_at_us + most_us)
            return query;
        if (query->first_sent_us == 0)
            return NULL;
    }
    return NULL;
}

static enum tw_status refusal(const struct tw_db_lane *lane)
{
    return lane->n_ready > 0 ? TW_OVERLOADED : TW_DATABASE_UNAVAILABLE;
}

static void queue_expire(struct tw_db_lane *lane, const h2o_linklist_t *queue, uint64_t now_us)
{
    struct tw_db_query *query;
    while ((query = first_overdue(lane, queue, now_us)) != NULL)
        tw_db_query_refused(query, refusal(lane));
}

// Late queries are answered now: the callbacks may queue others and detach any.
static void lane_expire(struct tw_db_lane *lane, uint64_t now_us)
{
    queue_expire(lane, &lane->queue, now_us);
    queue_expire(lane, &lane->gathering, now_us);
    while (!h2o_linklist_is_empty(&lane->live)) {
        struct tw_db_query *query = LIVE(lane->live.next);
        if (now_us < query->deadline_us)
            return;
        if (query->state == TW_QUERY_SENT)
            answer_status(query, tw_statements[query->stmt].is_write ? TW_OUTCOME_UNKNOWN
                                                                     : TW_DEADLINE_EXCEEDED);
        else // what was tried in vain had no effect
            tw_db_query_refused(query,
                                query->first_sent_us != 0 ? TW_DEADLINE_EXCEEDED : refusal(lane));
    }
}

// While a lane has no connection, one of them tries: the others would only hear the same.
static void lane_connect(struct tw_db_lane *lane)
{
    uint64_t silence_us = (lane->statement_timeout_ms + SILENCE_GRACE_MS) * 1000;
    for (unsigned i = 0; i < lane->n_conns; i++)
        tw_retry_tick(&lane->conns[i], lane->n_ready > 0 ? !lane->drains : i == 0, silence_us);
}

static void shed_tick(struct tw_db *db, uint64_t now_us)
{
    uint64_t oldest_us[TW_LANE_COUNT];
    uint64_t late_us = now_us - db->ticked_at_us;
    late_us -= late_us < TICK_MS * 1000 ? late_us : TICK_MS * 1000;
    db->ticked_at_us = now_us;
    for (size_t l = 0; l < TW_LANE_COUNT; l++)
        oldest_us[l] = db->lanes[l].n_ready > 0 ? tw_lane_oldest_us(&db->lanes[l], now_us) : 0;
    tw_shed_tick(&db->shed, now_us, late_us, oldest_us);
    tw_metric_set(db->page, TW_METRIC_DB_SHED_LEVEL, db->shed.level);
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct tw_db *db = H2O_STRUCT_FROM_MEMBER(struct tw_db, tick, entry);
    uint64_t now_us = tw_now_us();
    shed_tick(db, now_us);
    for (size_t l = 0; l < TW_LANE_COUNT; l++) {
        struct tw_db_lane *lane = &db->lanes[l];
        lane_expire(lane, now_us);
        lane_connect(lane);
    }
    tw_db_replica_tick(db->replica, now_us);
    h2o_timeout_link(db->loop, &db->tick_timeout, &db->tick);
}

unsigned tw_db_ready(const struct tw_db *db)
{
    bool reads = db->lanes[TW_LANE_FAST].n_ready > 0;
    bool lacks_zone = db->lacks_zone && db->lanes[TW_LANE_WRITE].n_ready == 0;
    bool writes = db->lanes[TW_LANE_WRITE].n_ready > 0 ||
                  (db->lanes[TW_LANE_WRITE].was_ready && reads && !lacks_zone);
    return (reads ? TW_READY_DB_READ : 0) | (writes ? TW_READY_DB_WRITE : 0) |
           (lacks_zone ? TW_LACKS_ZONE : 0);
}

static void release_idle(struct tw_db_lane *lane)
{
    lane->drains = true;
    for (unsigned i = 0; i < lane->n_conns && lane->n_ready > 1; i++) {
        struct tw_db_conn *conn = &lane->conns[i];
        if (conn->state == TW_CONN_READY && conn->entries_n == 0)
            tw_conn_replace(conn);
    }
}

void tw_db_release_idle(struct tw_db *db)
{
    for (size_t l = 0; l < TW_LANE_COUNT; l++)
        release_idle(&db->lanes[l]);
}

size_t tw_db_unfinished(const struct tw_db *db)
{
    size_t n = 0;
    for (size_t l = 0; l < TW_LANE_COUNT; l++)
        n += db->lanes[l].unanswered;
    return n;
}
