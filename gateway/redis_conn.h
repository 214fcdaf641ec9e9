// SPDX-License-Identifier: Apache-2.0
// redis_conn: one connection to one Redis, on the worker's loop: connects, greets, pipelines.
//
// hiredis 0.14 has neither TLS for its asynchronous side nor an adapter for h2o: its formatter and
// its parser are used on a socket of our own, which h2o only watches. Nothing here blocks: names
// are looked up on h2o's lookup thread. Whoever loses a connection asks for it again by the tick.
//
// Life: DOWN (waits for its next try) -> RESOLVING -> CONNECTING -> SECURING (TLS) -> GREETING
// (AUTH, SELECT, the script) -> READY -> DOWN. Not for: which Redis (redis), what is asked (fleet).
// Runs in: worker.

#ifndef TW_REDIS_CONN_H
#define TW_REDIS_CONN_H

#include "config/redis_uri.h"
#include "gateway/base.h"
#include "gateway/h2o_include.h"

struct redisReply;
struct tw_redis_conn; // opaque

// What all connections of a worker share; borrowed by them.
struct tw_redis_shared {
    h2o_loop_t *loop;
    h2o_multithread_receiver_t *receiver; // for lookups
    SSL_CTX *tls;                         // NULL: plain
    uint64_t timeout_us;                  // for being READY, and then for each answer
};

// Borrowed for the life of a connection.
struct tw_redis_greeting {
    const char *user, *password; // "" for none
    unsigned database;
    const char *script; // is loaded; NULL for none
};

// For TLS: at least 1.2, the chain and the name verified. NULL with one line in `err`. "" as
// `ca_file` trusts the system's authorities.
TW_MUST_USE SSL_CTX *tw_redis_tls_new(const char *ca_file, char *err, size_t err_size);

// `owner` hears of the state when it becomes READY or a try has failed; `why` is NULL or says for
// the log why it was lost. Never from within a call of the owner's, but for tw_redis_conn_lose.
typedef void tw_redis_changed(void *owner, struct tw_redis_conn *conn, const char *why);

// NULL when memory is short. DOWN until the first tick; needs an address.
TW_MUST_USE struct tw_redis_conn *tw_redis_conn_new(const struct tw_redis_shared *shared,
                                                    const struct tw_redis_greeting *greeting,
                                                    tw_redis_changed *changed, void *owner);

// Frees it without telling anybody but those who wait for answers. NULL is fine.
void tw_redis_conn_free(struct tw_redis_conn *conn);

// Where to connect to the next time.
void tw_redis_conn_address(struct tw_redis_conn *conn, const struct tw_redis_host *host);
const struct tw_redis_host *tw_redis_conn_host(const struct tw_redis_conn *conn);

// Connects when that is due, and loses it when something has taken too long. Call often.
void tw_redis_conn_tick(struct tw_redis_conn *conn, uint64_t now_us);

// DOWN: tries again at the next tick instead of later.
void tw_redis_conn_hurry(struct tw_redis_conn *conn);

bool tw_redis_conn_ready(const struct tw_redis_conn *conn);

// Runs once per command, in their order. `reply` is valid during the call; NULL: the connection was
// lost, and nobody knows whether the command was run.
typedef void tw_redis_answered(void *arg, struct tw_redis_conn *conn,
                               const struct redisReply *reply);

// READY: appends a command; false when it cannot be sent (memory). `lengths` as in hiredis.
TW_MUST_USE bool tw_redis_conn_send(struct tw_redis_conn *conn, int argc, const char **argv,
                                    const size_t *lengths, tw_redis_answered *answered, void *arg);

// Sends what was appended.
void tw_redis_conn_flush(struct tw_redis_conn *conn);

// The connection is of no more use: all who wait for answers hear so, then the owner.
void tw_redis_conn_lose(struct tw_redis_conn *conn, const char *why);

#endif
