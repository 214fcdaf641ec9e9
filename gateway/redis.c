// SPDX-License-Identifier: Apache-2.0
#include "gateway/redis.h"

#include <assert.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/redis_cluster.h"
#include "gateway/uuid.h"

#define ASK_AGAIN_US        250000 // while something is amiss; half of it more by chance
#define SENTINEL_RECHECK_US 10000000
#define CLUSTER_RECHECK_US  60000000

struct node {
    struct tw_redis_conn *conn; // NULL: the place is free
    bool wanted;                // else it is removed by the next tick
};

// Whoever is asked where the data is.
struct asking {
    struct tw_redis_greeting greeting;
    struct tw_redis_conn *conn; // NULL: nobody now
    bool over;                  // answered or lost: removed by the next tick
    unsigned seed;              // who is next
    unsigned failures;          // one after the other
    uint64_t next_us, answered_us;
};

struct tw_redis {
    struct tw_redis_plan plan;
    struct tw_redis_greeting greeting;
    struct node nodes[TW_REDIS_NODES_MAX];
    uint8_t node_of[TW_REDIS_SLOTS]; // all 0 but in a cluster
    bool mapped;                     // node_of is an answer
    bool moved;                      // … and no longer true
    struct asking asking;
    unsigned host; // SINGLE: which of them
    uint64_t losses;
    char why[320];
};

static uint64_t soon(uint64_t us)
{
    uint32_t random;
    tw_random(&random, sizeof(random));
    return tw_now_us() + us + random * (us / 2) / UINT32_MAX;
}

static void note_why(struct tw_redis *redis, const struct tw_redis_conn *conn, const char *why)
{
    const struct tw_redis_host *host = tw_redis_conn_host(conn);
    redis->losses++;
    (void)snprintf(redis->why, sizeof(redis->why), "%.120s:%u: %.160s", host->name, host->port,
                   why);
}

// ---- nodes --------------------------------------------------------------------------------------

static void on_node_changed(void *owner, struct tw_redis_conn *conn, const char *why)
{
    struct tw_redis *redis = owner;
    if (!why)
        return;
    note_why(redis, conn, why);
    if (redis->plan.shape == TW_REDIS_SINGLE) {
        redis->host = (redis->host + 1) % (unsigned)redis->plan.uri.n_hosts;
        tw_redis_conn_address(conn, &redis->plan.uri.hosts[redis->host]);
    }
}

// The node at that address, added if need be; TW_REDIS_NO_NODE when there is no room.
static uint8_t node_at(struct tw_redis *redis, const struct tw_redis_host *host)
{
    size_t empty = TW_REDIS_NODES_MAX;
    for (size_t i = TW_REDIS_NODES_MAX; i-- > 0;) {
        struct tw_redis_conn *conn = redis->nodes[i].conn;
        if (conn && tw_redis_same_host(tw_redis_conn_host(conn), host))
            return (uint8_t)i;
        if (!conn)
            empty = i;
    }
    if (empty == TW_REDIS_NODES_MAX)
        return TW_REDIS_NO_NODE;
    struct tw_redis_conn *conn = tw_redis_conn_new(&redis->plan.shared, &redis->greeting,
                                                   on_node_changed, redis);
    if (!conn)
        return TW_REDIS_NO_NODE;
    tw_redis_conn_address(conn, host);
    redis->nodes[empty] = (struct node){conn, true};
    return (uint8_t)empty;
}

static void tick_nodes(struct tw_redis *redis, uint64_t now_us)
{
    for (struct node *node = redis->nodes; node < redis->nodes + TW_REDIS_NODES_MAX; node++) {
        if (!node->conn)
            continue;
        if (node->wanted) {
            tw_redis_conn_tick(node->conn, now_us);
            continue;
        }
        struct tw_redis_conn *conn = node->conn;
        node->conn = NULL;
        tw_redis_conn_free(conn);
    }
}

// ---- what the asked say -------------------------------------------------------------------------

static bool take_slots(struct tw_redis *redis, const struct tw_redis_conn *conn,
                       const redisReply *reply)
{
    uint8_t place[TW_REDIS_NODES_MAX] = {0};
    struct tw_redis_slots *slots = malloc(sizeof(*slots));
    bool good = slots && tw_redis_slots_read(reply, tw_redis_conn_host(conn), slots);
    for (size_t i = 0; good && i < TW_REDIS_NODES_MAX; i++)
        redis->nodes[i].wanted = false;
    for (size_t i = 0; good && i < slots->n_nodes; i++) {
        place[i] = node_at(redis, &slots->nodes[i]);
        if (place[i] != TW_REDIS_NO_NODE)
            redis->nodes[place[i]].wanted = true;
    }
    for (size_t i = 0; good && i < TW_REDIS_SLOTS; i++)
        redis->node_of[i] = slots->node_of[i] == TW_REDIS_NO_NODE ? TW_REDIS_NO_NODE
                                                                  : place[slots->node_of[i]];
    free(slots);
    redis->mapped |= good;
    redis->moved &= !good;
    return good;
}

static void use_master(struct tw_redis *redis, const struct tw_redis_host *master)
{
    struct node *node = &redis->nodes[0];
    if (!node->conn) {
        (void)node_at(redis, master); // without memory: asked again
    } else if (!tw_redis_same_host(tw_redis_conn_host(node->conn), master)) {
        tw_redis_conn_lose(node->conn, "the master is another one now");
        tw_redis_conn_address(node->conn, master);
        tw_redis_conn_hurry(node->conn);
    }
}

// ["127.0.0.1", "6379"]
static bool take_master(struct tw_redis *redis, const redisReply *reply)
{
    struct tw_redis_host master = {0};
    int64_t port;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return false;
    const redisReply *name = reply->element[0], *number = reply->element[1];
    if (name->type != REDIS_REPLY_STRING || number->type != REDIS_REPLY_STRING ||
        (size_t)name->len > TW_REDIS_HOST_MAX_BYTES ||
        !tw_str_to_i64((struct tw_str){number->str, (size_t)number->len}, 1, UINT16_MAX, &port))
        return false;
    memcpy(master.name, name->str, (size_t)name->len);
    master.port = (uint16_t)port;
    use_master(redis, &master);
    return true;
}

// ---- asking -------------------------------------------------------------------------------------

static void end_asking(struct tw_redis *redis, bool answered)
{
    struct asking *asking = &redis->asking;
    asking->over = true;
    asking->next_us = soon(ASK_AGAIN_US);
    if (answered) {
        asking->answered_us = tw_now_us();
        asking->failures = 0;
    } else {
        asking->seed++;
        asking->failures++;
    }
}

// One of several that does not answer is nothing to tell before all have been asked.
static void asking_failed(struct tw_redis *redis, const struct tw_redis_conn *conn, const char *why)
{
    end_asking(redis, false);
    if (redis->asking.failures >= redis->plan.uri.n_hosts)
        note_why(redis, conn, why);
    else
        redis->losses++;
}

static void on_answer(void *arg, struct tw_redis_conn *conn, const redisReply *reply)
{
    struct tw_redis *redis = arg;
    if (!reply)
        return; // on_asking_changed will say so
    bool sentinel = redis->plan.shape == TW_REDIS_SENTINEL;
    bool good = sentinel ? take_master(redis, reply) : take_slots(redis, conn, reply);
    if (good)
        end_asking(redis, true);
    else
        asking_failed(redis, conn,
                      reply->type == REDIS_REPLY_ERROR ? reply->str
                      : sentinel                       ? "knows no master of that name"
                                                       : "knows no slots");
}

static void on_asking_changed(void *owner, struct tw_redis_conn *conn, const char *why)
{
    struct tw_redis *redis = owner;
    const char *master[] = {"SENTINEL", "get-master-addr-by-name", redis->plan.sentinel_master};
    const char *slots[] = {"CLUSTER", "SLOTS"};
    bool sentinel = redis->plan.shape == TW_REDIS_SENTINEL;
    if (redis->asking.over)
        return;
    if (!why && tw_redis_conn_send(conn, sentinel ? 3 : 2, sentinel ? master : slots, NULL,
                                   on_answer, redis)) {
        tw_redis_conn_flush(conn);
        return;
    }
    asking_failed(redis, conn, why ? why : "out of memory");
}

// The hosts of the configuration, then the nodes that are known.
static const struct tw_redis_host *next_seed(struct tw_redis *redis)
{
    const struct tw_redis_uri *uri = &redis->plan.uri;
    const struct tw_redis_host *seeds[TW_REDIS_HOSTS_MAX + TW_REDIS_NODES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < uri->n_hosts; i++)
        seeds[n++] = &uri->hosts[i];
    for (size_t i = 0; i < TW_REDIS_NODES_MAX && redis->plan.shape == TW_REDIS_CLUSTER; i++)
        if (redis->nodes[i].conn)
            seeds[n++] = tw_redis_conn_host(redis->nodes[i].conn);
    assert(n > 0); // a URI has a host
    return seeds[redis->asking.seed % n];
}

static bool must_ask(const struct tw_redis *redis, uint64_t now_us)
{
    const struct asking *asking = &redis->asking;
    uint64_t recheck_us = redis->plan.shape == TW_REDIS_SENTINEL ? SENTINEL_RECHECK_US
                                                                 : CLUSTER_RECHECK_US;
    return now_us >= asking->next_us &&
           (!tw_redis_whole(redis) || redis->moved || now_us > asking->answered_us + recheck_us);
}

static void tick_asking(struct tw_redis *redis, uint64_t now_us)
{
    struct asking *asking = &redis->asking;
    if (asking->over) {
        tw_redis_conn_free(asking->conn);
        asking->conn = NULL;
        asking->over = false;
    }
    if (!asking->conn && must_ask(redis, now_us)) {
        asking->conn = tw_redis_conn_new(&redis->plan.shared, &asking->greeting, on_asking_changed,
                                         redis);
        if (asking->conn)
            tw_redis_conn_address(asking->conn, next_seed(redis));
    }
    if (asking->conn)
        tw_redis_conn_tick(asking->conn, now_us);
}

// ---- public -------------------------------------------------------------------------------------

struct tw_redis *tw_redis_new(const struct tw_redis_plan *plan)
{
    struct tw_redis *redis = calloc(1, sizeof(*redis));
    if (!redis)
        return NULL;
    redis->plan = *plan;
    const struct tw_redis_uri *uri = &redis->plan.uri;
    redis->greeting = (struct tw_redis_greeting){uri->user, uri->password, uri->database,
                                                 plan->script};
    redis->asking.greeting = plan->shape == TW_REDIS_SENTINEL
                                 ? (struct tw_redis_greeting){"", plan->sentinel_password, 0, NULL}
                                 : (struct tw_redis_greeting){uri->user, uri->password, 0, NULL};
    if (plan->shape == TW_REDIS_CLUSTER)
        memset(redis->node_of, TW_REDIS_NO_NODE, sizeof(redis->node_of));
    if (plan->shape != TW_REDIS_SINGLE || node_at(redis, &uri->hosts[0]) == 0)
        return redis;
    tw_redis_free(redis);
    return NULL;
}

void tw_redis_free(struct tw_redis *redis)
{
    if (!redis)
        return;
    redis->asking.over = true;
    tw_redis_conn_free(redis->asking.conn);
    for (size_t i = 0; i < TW_REDIS_NODES_MAX; i++)
        tw_redis_conn_free(redis->nodes[i].conn);
    free(redis);
}

void tw_redis_tick(struct tw_redis *redis, uint64_t now_us)
{
    tick_nodes(redis, now_us);
    if (redis->plan.shape != TW_REDIS_SINGLE)
        tick_asking(redis, now_us);
}

unsigned tw_redis_connections(const struct tw_redis *redis)
{
    unsigned n = 0;
    for (size_t i = 0; i < TW_REDIS_NODES_MAX; i++)
        n += redis->nodes[i].conn && tw_redis_conn_ready(redis->nodes[i].conn);
    return n;
}

bool tw_redis_whole(const struct tw_redis *redis)
{
    unsigned wanted = 0;
    for (size_t i = 0; i < TW_REDIS_NODES_MAX; i++)
        wanted += redis->nodes[i].conn && redis->nodes[i].wanted;
    return wanted > 0 && tw_redis_connections(redis) >= wanted;
}

const char *tw_redis_why(const struct tw_redis *redis)
{
    return redis->why;
}

uint64_t tw_redis_losses(const struct tw_redis *redis)
{
    return redis->losses;
}

struct tw_redis_conn *tw_redis_route(struct tw_redis *redis, struct tw_str key, unsigned via)
{
    bool cluster = redis->plan.shape == TW_REDIS_CLUSTER;
    size_t i = via > 0 ? via - 1 : cluster ? redis->node_of[tw_redis_slot(key)] : 0;
    struct tw_redis_conn *conn = i < TW_REDIS_NODES_MAX ? redis->nodes[i].conn : NULL;
    return conn && tw_redis_conn_ready(conn) ? conn : NULL;
}

bool tw_redis_redirected(struct tw_redis *redis, const struct tw_redis_conn *conn,
                         struct tw_str error, unsigned *via)
{
    struct tw_redis_host to;
    unsigned slot;
    *via = 0;
    if (redis->plan.shape != TW_REDIS_CLUSTER)
        return false;
    enum tw_redis_redirection kind = tw_redis_redirection(error, tw_redis_conn_host(conn), &slot,
                                                          &to);
    if (kind == TW_REDIS_NOT_REDIRECTED || kind == TW_REDIS_LATER)
        return kind == TW_REDIS_LATER;
    uint8_t node = node_at(redis, &to);
    if (kind == TW_REDIS_ASK && node != TW_REDIS_NO_NODE)
        *via = node + 1u;
    if (kind == TW_REDIS_MOVED) {
        redis->node_of[slot] = node;
        redis->moved = true; // and others with it, most likely
    }
    return true;
}

void tw_redis_flush(struct tw_redis *redis)
{
    for (size_t i = 0; i < TW_REDIS_NODES_MAX; i++)
        if (redis->nodes[i].conn)
            tw_redis_conn_flush(redis->nodes[i].conn);
}
