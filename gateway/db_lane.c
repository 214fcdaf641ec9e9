// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_lane.h"

#include <stdlib.h>

#include "gateway/db_account.h"
#include "gateway/db_gather.h"
#include "gateway/db_replica.h"

// How many queries are looked at for one batch: those that do not fit stay where they are.
#define LOOKED_AT_MAX (4 * TW_BATCH_QUERIES_MAX)

// After so long in a queue it is worth a system call to know whether anybody still waits.
#define ASK_WHETHER_LEFT_US 10000

// A batch's parameters, until libpq has copied them.
static char batch_buffer[TW_BATCH_BYTES_MAX];

// ---- making and freeing -------------------------------------------------------------------------

bool tw_lane_init(struct tw_db_lane *lane, struct tw_db *db, enum tw_lane index,
                  struct tw_db_server *server, unsigned n_conns, unsigned depth)
{
    lane->db = db;
    lane->index = index;
    h2o_linklist_init_anchor(&lane->queue);
    h2o_linklist_init_anchor(&lane->gathering);
    h2o_linklist_init_anchor(&lane->live);
    lane->no_ready_since_us = tw_now_us();
    lane->conns = calloc(n_conns, sizeof(lane->conns[0]));
    if (!lane->conns)
        return false;
    for (; lane->n_conns < n_conns; lane->n_conns++)
        if (!tw_conn_init(&lane->conns[lane->n_conns], db, server, index, depth))
            return false;
    lane->batches_max = index == TW_LANE_WRITE ? 1 : n_conns;
    lane->n_for_batches = index == TW_LANE_WRITE && n_conns > 1 ? 1 : 0;
    return true;
}

static void free_queries(h2o_linklist_t *queue)
{
    for (h2o_linklist_t *link = queue->next; link != queue;) {
        struct tw_db_query *query = H2O_STRUCT_FROM_MEMBER(struct tw_db_query, queue, link);
        link = link->next;
        free(query);
    }
}

void tw_lane_dispose(struct tw_db_lane *lane)
{
    if (!lane->conns)
        return;
    free_queries(&lane->queue);
    free_queries(&lane->gathering);
    for (unsigned i = 0; i < lane->n_conns; i++)
        tw_conn_dispose(&lane->conns[i]);
    free(lane->conns);
}

// ---- the queues ---------------------------------------------------------------------------------

struct tw_db_lane *tw_lane_of(const struct tw_db_query *query)
{
    return tw_db_lane(query->db, tw_statements[query->stmt].lane);
}

static h2o_linklist_t *queue_of(const struct tw_db_query *query)
{
    struct tw_db_lane *lane = tw_lane_of(query);
    return query->n_rows > 0 && !query->alone ? &lane->gathering : &lane->queue;
}

static void set_queued(struct tw_db_lane *lane, int change)
{
    lane->queued += (unsigned)change;
    tw_metric_set(tw_db_page(lane->db), TW_METRIC_DB_QUEUED_FAST + (int)lane->index, lane->queued);
}

void tw_lane_enqueue(struct tw_db_query *query, bool last)
{
    h2o_linklist_t *queue = queue_of(query);
    h2o_linklist_insert(last ? queue : queue->next, &query->queue);
    set_queued(tw_lane_of(query), +1);
}

void tw_lane_unqueue(struct tw_db_query *query)
{
    h2o_linklist_unlink(&query->queue);
    set_queued(tw_lane_of(query), -1);
}

// ---- sending ------------------------------------------------------------------------------------

static struct tw_db_conn *least_busy(struct tw_db_lane *lane)
{
    struct tw_db_conn *best = NULL;
    for (unsigned i = 0; i < lane->n_conns; i++) {
        struct tw_db_conn *conn = &lane->conns[i];
        if (conn->state == TW_CONN_READY && !conn->stale && conn->in_flight < conn->depth &&
            (!best || conn->in_flight < best->in_flight))
            best = conn;
    }
    return best;
}

// What was lost once is the primary's, unless that is gone as well.
static bool is_for_primary(const struct tw_db_query *query)
{
    return query->primary_only || (query->attempts > 0 && tw_lane_of(query)->n_ready > 0);
}

static struct tw_db_conn *replica_for(struct tw_db_lane *lane, const struct tw_db_query *query)
{
    return tw_db_replica_pick(tw_db_replica(lane->db), query->stmt, query->reader,
                              is_for_primary(query));
}

// Only at the primary queries of lane slow are in the way of writes.
static struct tw_db_conn *conn_for(struct tw_db_lane *lane, const struct tw_db_query *query)
{
    struct tw_db_conn *conn = replica_for(lane, query);
    return conn || lane->rests ? conn : least_busy(lane);
}

static struct tw_db_query *first_of(h2o_linklist_t *queue)
{
    if (h2o_linklist_is_empty(queue))
        return NULL;
    return H2O_STRUCT_FROM_MEMBER(struct tw_db_query, queue, queue->next);
}

// How long a query has waited because others are before it: not for a connection that was lost.
static uint64_t waited_us(const struct tw_db_lane *lane, const struct tw_db_query *query,
                          uint64_t now_us)
{
    uint64_t since_us = query->queued_at_us > lane->ready_since_us ? query->queued_at_us
                                                                   : lane->ready_since_us;
    return now_us > since_us ? now_us - since_us : 0;
}

uint64_t tw_lane_oldest_us(struct tw_db_lane *lane, uint64_t now_us)
{
    h2o_linklist_t *queues[] = {&lane->queue, &lane->gathering};
    uint64_t oldest_us = 0;
    for (size_t i = 0; i < TW_COUNT(queues); i++) {
        const struct tw_db_query *query = first_of(queues[i]);
        if (query && waited_us(lane, query, now_us) > oldest_us)
            oldest_us = waited_us(lane, query, now_us);
    }
    return oldest_us;
}

static unsigned n_batches(const struct tw_db_lane *lane)
{
    unsigned n = 0;
    for (unsigned i = 0; i < lane->n_conns; i++)
        n += lane->conns[i].n_batches;
    return n;
}

// Connections that are busy with a query of its own.
static unsigned n_busy(const struct tw_db_lane *lane)
{
    unsigned n = 0;
    for (unsigned i = 0; i < lane->n_conns; i++)
        n += lane->conns[i].in_flight > lane->conns[i].n_batches;
    return n;
}

// Tells how many queries of lane slow are in flight at the primary.
static struct tw_yield *slow_counted(struct tw_db *db, uint64_t now_us)
{
    struct tw_yield *yield = tw_db_yield(db);
    tw_yield_in_flight(yield, n_busy(tw_db_lane(db, TW_LANE_SLOW)), now_us);
    return yield;
}

void tw_lane_batch_ended(struct tw_db_lane *lane, uint64_t now_us)
{
    tw_yield_batch_ended(slow_counted(lane->db, now_us), now_us);
}

static void slow_may_send(struct tw_db_lane *lane, uint64_t now_us)
{
    if (tw_db_config(lane->db)->db_queue_target_ms == 0)
        return;
    bool rests = !tw_yield_admits(slow_counted(lane->db, now_us), now_us);
    tw_metric_add(tw_db_page(lane->db), TW_METRIC_DB_SLOW_RESTS, rests && !lane->rests);
    lane->rests = rests;
}

// The older one of both queues' heads. A batch waits for those before it, to be the larger; and
// writes that wait for a lock alone leave way for batches.
static struct tw_db_query *next_to_send(struct tw_db_lane *lane)
{
    struct tw_db_query *single = first_of(&lane->queue), *gathering = first_of(&lane->gathering);
    if (gathering && n_batches(lane) >= lane->batches_max)
        gathering = NULL;
    if (single && lane->n_for_batches > 0 && n_busy(lane) >= lane->n_conns - lane->n_for_batches)
        single = NULL;
    if (!single || !gathering)
        return single ? single : gathering;
    return single->queued_at_us <= gathering->queued_at_us ? single : gathering;
}

static struct tw_db_query *first_for_replica(struct tw_db_lane *lane, const h2o_linklist_t *queue,
                                             struct tw_db_conn **conn)
{
    const h2o_linklist_t *link = queue->next;
    for (int i = 0; i < LOOKED_AT_MAX && link != queue; i++, link = link->next) {
        struct tw_db_query *query = H2O_STRUCT_FROM_MEMBER(struct tw_db_query, queue, link);
        if ((*conn = replica_for(lane, query)) != NULL)
            return query;
    }
    return NULL;
}

// The next one and its connection; or NULL. Who needs the primary and waits for it does not hold up
// those behind him whom a replica may answer.
static struct tw_db_query *next_with_conn(struct tw_db_lane *lane, struct tw_db_conn **conn)
{
    struct tw_db_query *query = next_to_send(lane);
    if (query && (*conn = conn_for(lane, query)) != NULL)
        return query;
    if (!tw_db_replica_has_room(tw_db_replica(lane->db), lane->index))
        return NULL;
    query = first_for_replica(lane, &lane->queue, conn);
    return query ? query : first_for_replica(lane, &lane->gathering, conn);
}

// A read whose client has left, or whose answer would come after its deadline, is not sent.
static bool is_in_vain(const struct tw_db_query *query, uint64_t now_us)
{
    if (tw_statements[query->stmt].is_write)
        return false;
    return now_us >= query->deadline_us ||
           (query->has_left && now_us >= query->queued_at_us + ASK_WHETHER_LEFT_US &&
            query->has_left(query->owner));
}

// A replica may be fresh enough for one reader and not for another.
static bool may_go_to(const struct tw_db_conn *conn, const struct tw_db_query *query)
{
    return !conn->server->is_replica ||
           tw_db_replica_may_serve(tw_db_replica(query->db), conn, query->reader,
                                   is_for_primary(query));
}

// A batch that is put together.
struct gathering {
    struct tw_gather_part parts[TW_BATCH_QUERIES_MAX];
    size_t n, n_bytes;
    int n_rows;
};

static void gather_add(struct gathering *gathering, const struct tw_db_query *query)
{
    gathering->parts[gathering->n++] = TW_GATHER_PART(query);
    gathering->n_rows += query->n_rows;
    gathering->n_bytes += query->n_bytes;
}

static bool has_room(const struct gathering *gathering, const struct tw_db_query *query)
{
    return gathering->n < TW_BATCH_QUERIES_MAX &&
           gathering->n_rows + query->n_rows <= TW_BATCH_ROWS_MAX &&
           gathering->n_bytes + query->n_bytes <= TW_BATCH_BYTES_MAX &&
           tw_gather_fits(tw_statements[query->stmt].gather, &gathering->parts[0],
                          &TW_GATHER_PART(query));
}

// Hangs those behind `first` to it that one call takes with it, and gives that call's parameters.
// `first` is in it in any case.
static void batch_gather(const struct tw_db_conn *conn, struct tw_db_query *first,
                         struct tw_gathered *batch, uint64_t now_us)
{
    const h2o_linklist_t *anchor = queue_of(first), *link = first->queue.next;
    struct gathering gathering = {.n = 0};
    struct tw_db_query *last = first;
    gather_add(&gathering, first);
    for (int i = 1; i < LOOKED_AT_MAX && link != anchor; i++, link = link->next) {
        struct tw_db_query *query = H2O_STRUCT_FROM_MEMBER(struct tw_db_query, queue, link);
        if (query->stmt != first->stmt || !may_go_to(conn, query) || is_in_vain(query, now_us))
            continue;
        if (!has_room(&gathering, query))
            break;
        gather_add(&gathering, query);
        last = last->next = query;
    }
    last->next = NULL;
    batch->buffer = batch_buffer;
    if (gathering.n > 1)
        tw_gather_merge(tw_statements[first->stmt].gather, gathering.parts, gathering.n, batch);
}

// Sends the query at the head of a queue and what is gathered with it. False: the connection broke.
static bool send_next(struct tw_db_lane *lane, struct tw_db_conn *conn, struct tw_db_query *first,
                      uint64_t now_us)
{
    struct tw_worker_page *page = tw_db_page(lane->db);
    struct tw_gathered gathered;
    bool is_batch = queue_of(first) == &lane->gathering;
    first->next = NULL;
    if (is_batch)
        batch_gather(conn, first, &gathered, now_us);
    bool is_merged = first->next != NULL;
    if (!tw_conn_send(conn, first, is_batch, is_merged ? gathered.values : first->values,
                      is_merged ? gathered.lengths : first->lengths))
        return false;
    tw_shed_sent(tw_db_shed(lane->db), lane->index,
                 waited_us(lane, first, now_us) + (conn->in_flight > 1 ? conn->behind_us : 0));
    tw_metric_add(page, TW_METRIC_DB_BATCHES, is_batch);
    unsigned n = 0;
    for (struct tw_db_query *query = first; query; query = query->next, n++) {
        tw_lane_unqueue(query);
        query->state = TW_QUERY_SENT;
        if (query->attempts++ == 0 && query->first_sent_us == 0)
            query->first_sent_us = now_us;
        tw_account_sent(query, now_us);
        tw_metric_add(page, TW_METRIC_DB_QUERIES, 1);
        tw_metric_add(page, TW_METRIC_DB_REPLICA_READS, conn->server->is_replica);
        tw_metric_add(page, TW_METRIC_DB_BATCHED, is_batch);
    }
    if (is_batch && lane->index == TW_LANE_WRITE)
        tw_yield_batch_sent(tw_db_yield(lane->db), n, now_us);
    return true;
}

void tw_lane_flush(struct tw_db_lane *lane, uint64_t now_us)
{
    struct tw_db_conn *conn;
    struct tw_db_query *query;
    if (lane->index == TW_LANE_SLOW)
        slow_may_send(lane, now_us);
    while ((query = next_with_conn(lane, &conn)) != NULL) {
        if (is_in_vain(query, now_us)) {
            tw_db_query_refused(query, TW_OVERLOADED);
            continue;
        }
        bool alone = query->alone || tw_statements[query->stmt].is_write; // one write, one fate
        if (alone && conn->dirty)
            tw_conn_sync(conn);
        if (conn->state != TW_CONN_READY || !send_next(lane, conn, query, now_us))
            continue; // that connection is down now
        if (alone)
            tw_conn_sync(conn);
    }
    for (unsigned i = 0; i < lane->n_conns; i++)
        if (lane->conns[i].state == TW_CONN_READY && lane->conns[i].dirty)
            tw_conn_sync(&lane->conns[i]);
    if (lane->index == TW_LANE_SLOW)
        (void)slow_counted(lane->db, now_us);
    tw_db_replica_sync(tw_db_replica(lane->db), lane->index);
}
