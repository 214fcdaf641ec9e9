// SPDX-License-Identifier: Apache-2.0
// redis_cluster: what a client must know of Redis Cluster: slots, who has which, redirections.
//
// Source: the cluster specification (CRC16 of the key or of its hash tag, modulo 16384). Pure.
// Runs in: worker.

#ifndef TW_REDIS_CLUSTER_H
#define TW_REDIS_CLUSTER_H

#include "config/redis_uri.h"

#define TW_REDIS_SLOTS     16384
#define TW_REDIS_NODES_MAX 200
#define TW_REDIS_NO_NODE   255

struct redisReply;

// The masters, and which of them has each slot.
struct tw_redis_slots {
    size_t n_nodes;
    struct tw_redis_host nodes[TW_REDIS_NODES_MAX];
    uint8_t node_of[TW_REDIS_SLOTS]; // TW_REDIS_NO_NODE: nobody
};

unsigned tw_redis_slot(struct tw_str key);

// From the answer to CLUSTER SLOTS; a node that does not name its host is at `asked`. False when
// the answer is none, or names no node.
TW_MUST_USE bool tw_redis_slots_read(const struct redisReply *reply,
                                     const struct tw_redis_host *asked, struct tw_redis_slots *out);

enum tw_redis_redirection {
    TW_REDIS_NOT_REDIRECTED,
    TW_REDIS_MOVED, // the slot is there now
    TW_REDIS_ASK,   // this one time, after ASKING
    TW_REDIS_LATER, // the cluster cannot tell now: TRYAGAIN
};

// Reads an error such as "MOVED 3999 127.0.0.1:6381".
enum tw_redis_redirection tw_redis_redirection(struct tw_str error,
                                               const struct tw_redis_host *asked, unsigned *slot,
                                               struct tw_redis_host *to);

bool tw_redis_same_host(const struct tw_redis_host *a, const struct tw_redis_host *b);

#endif
