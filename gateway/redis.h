// SPDX-License-Identifier: Apache-2.0
// redis: one logical Redis, whichever shape it has, and the connection that serves a key.
//
// single: the hosts are tried in turn. sentinel: the hosts are sentinels, asked for the master's
// address whenever it is not to be reached, and every ten seconds. cluster: the hosts are some of
// its nodes, asked who has which slot at first, when something has moved, and every minute; each
// master gets a connection. Asking is done on a connection of its own, one at a time.
//
// Nothing here blocks. Not for: what is said (fleet). Runs in: worker.

#ifndef TW_REDIS_H
#define TW_REDIS_H

#include "gateway/redis_conn.h"

enum tw_redis_shape { TW_REDIS_SINGLE, TW_REDIS_SENTINEL, TW_REDIS_CLUSTER };

struct tw_redis_plan {
    struct tw_redis_shared shared;
    enum tw_redis_shape shape;
    struct tw_redis_uri uri;
    const char *sentinel_master, *sentinel_password; // borrowed
    const char *script;                              // loaded into every Redis; borrowed
};

struct tw_redis; // opaque

// Copies the plan. NULL when memory is short.
TW_MUST_USE struct tw_redis *tw_redis_new(const struct tw_redis_plan *plan);

// Who waits for answers is told that there are none. NULL is fine.
void tw_redis_free(struct tw_redis *redis);

// Connects, asks, gives up what takes too long. Call often.
void tw_redis_tick(struct tw_redis *redis, uint64_t now_us);

// How many connections are ready, and whether those are all that it takes.
unsigned tw_redis_connections(const struct tw_redis *redis);
bool tw_redis_whole(const struct tw_redis *redis);

// What went wrong last, for the log ("127.0.0.1:6379: Connection refused"), or ""; and how often a
// connection was lost or could not be made.
const char *tw_redis_why(const struct tw_redis *redis);
uint64_t tw_redis_losses(const struct tw_redis *redis);

// The connection that serves a key, or NULL while there is none. `via` is 0, or what
// tw_redis_redirected made of it: then the command has ASKING in front.
struct tw_redis_conn *tw_redis_route(struct tw_redis *redis, struct tw_str key, unsigned via);

// Whether this error of a command means that it was not run and is to be sent again; *via says
// where.
TW_MUST_USE bool tw_redis_redirected(struct tw_redis *redis, const struct tw_redis_conn *conn,
                                     struct tw_str error, unsigned *via);

// Sends what was appended to any of its connections.
void tw_redis_flush(struct tw_redis *redis);

#endif
