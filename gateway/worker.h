// SPDX-License-Identifier: Apache-2.0
// worker: what the files of a worker process share: its loop, its rooms, its connections.
//
// One process, one thread, one h2o loop; nothing here blocks. Entry point: tw_worker_run in
// heritage.h. Private to the files of the request path.

#ifndef TW_WORKER_H
#define TW_WORKER_H

#include "auth/verifier.h"
#include "gateway/access.h"
#include "gateway/cached.h"
#include "gateway/db.h"
#include "gateway/fleet.h"
#include "gateway/h2o_include.h"
#include "gateway/heritage.h"
#include "gateway/rate_limit.h"
#include "gateway/request.h"
#include "gateway/request_log.h"
#include "gateway/stock_watch.h"

#define TW_CONN_MAGIC 0x7711c0deu

// One client connection; found again through its socket's on_close.data.
struct tw_conn {
    uint32_t magic;
    struct tw_worker *worker;
    h2o_linklist_t link; // on worker->conns
    h2o_socket_t *sock;
    uint64_t accepted_us;
    uint64_t old_at_us;          // from when on it ends with its next answer; UINT64_MAX: never
    bool is_http2;               // set while draining (mark_http2_connections)
    uint64_t requests;           // begun
    unsigned requests_in_flight; // begun and not ended
    struct tw_address peer;      // who is at the other end of the socket
    char peer_text[TW_ADDRESS_TEXT_MAX];    // as the log shows it …
    struct tw_str peer_name;                // … and what of it
    struct tw_address client;               // the same, or whom the PROXY header names
    bool client_is_proxy;                   // a trusted one: its requests name their clients
    bool is_counted;                        // in heritage->peer_counts, under `client`
    struct tw_pending_proxy *pending_proxy; // accept.c: its PROXY header is still to come
    bool tls_pending;                       // its TLS handshake goes on …
    uint64_t tls_began_ms;                  // … since then, by the clock of the loop
    bool tls_refused;                       // and has ended with an alert of ours
    struct tw_principal *certificate;       // what the client has shown in its handshake, or NULL
    struct tw_req *awaited; // newest first: passed by their heads, the body is to come; or NULL
};

struct tw_worker {
    const struct tw_heritage *heritage;
    const struct tw_config *config;
    struct tw_worker_page *page;
    h2o_globalconf_t globalconf;
    h2o_context_t ctx;
    struct tw_listener *listeners; // one per listening socket
    size_t n_listeners;
    bool accepting;
    struct tw_db *db;
    struct tw_cached_reads *cached; // NULL: every read is a query
    struct tw_stock_watch stock_watch;
    struct tw_verifier *verifier;
    struct tw_access *access;         // per route
    struct tw_principal *nobody;      // whoever uses a public route
    struct tw_reply_head *reply_head; // what every answer's head has
    struct tw_gzip *gzip;             // for reply.c
    struct tw_request_log request_log;
    int log_fd;                        // the log's file, or -1
    struct tw_trace_ring *trace_ring;  // NULL: nothing is traced
    bool traces;                       // somebody wants to know when what was done (trace.h)
    struct tw_limit_rule failure_rule; // for bad tokens; unused when their rate is 0
    struct tw_rate_limits *rate_limits;
    struct tw_fleet *fleet;                                  // NULL: the node counts for itself
    uint64_t document_generations[TW_CONFIG_ISSUER_MAX + 1]; // per slot: last taken or refused
    uint64_t keys_asked_us[TW_CONFIG_ISSUER_MAX]; // when fresh keys were asked for last; 0: never
    h2o_linklist_t conns;                         // oldest first
    size_t n_conns, max_conns;
    h2o_linklist_t pending_proxies;        // accept.c
    bool accept_is_short;                  // some listener has paused for want of room
    unsigned n_handshakes, max_handshakes; // tls_listener.c
    bool tls_evicting;                     // a handshake ends to make room
    h2o_socket_t *ipc;
    h2o_timeout_t tick_timeout;
    h2o_timeout_entry_t tick;
    bool draining;
    uint64_t drain_until_us;
    uint64_t close_idle_us;   // while draining: from when on idle connections are closed
    uint64_t look_for_old_us; // when old connections are looked for again
    int64_t unix_ahead_us;    // tw_unix_us() less tw_now_us(), of the last tick
};

// The wall clock's milliseconds at a moment of now, without asking it: a clock costs 50 to 100 ns.
static inline int64_t tw_worker_unix_ms(const struct tw_worker *worker, uint64_t now_us)
{
    return ((int64_t)now_us + worker->unix_ahead_us) / 1000;
}

// Puts the gateway's handler and filter into the host's catch-all path. False without memory.
TW_MUST_USE bool tw_request_install(struct tw_worker *worker, h2o_hostconf_t *host);

// A request for an answer that the library makes by itself (413, a broken head). Counted and logged
// like any other.
struct tw_req *tw_req_adopt(struct tw_worker *worker, h2o_req_t *h2o);

// The holder of the connection's client certificate, borrowed, valid as long as the connection.
// NULL when the client has shown none, the listener asks for none, the certificate names nobody we
// could write down, or it has expired meanwhile. Costs one comparison. In client_cert.c.
struct tw_principal *tw_conn_certificate(struct tw_conn *conn, int64_t now_unix_s);

// worker_keys.c: makes worker->verifier, which has no keys yet; false without memory.
TW_MUST_USE bool tw_worker_keys_init(struct tw_worker *worker);
void tw_worker_keys_dispose(struct tw_worker *worker);

// Takes over what the master has published since the last call: key sets, the list of revoked
// tokens. True when there was something. Cheap when there is nothing.
bool tw_worker_keys_update(struct tw_worker *worker);

// Whether the verifier has keys of at least one issuer.
bool tw_worker_keys_any(const struct tw_worker *worker);

// Asks the master for fresh keys of an issuer; at most one message a second per issuer.
void tw_worker_keys_stale(struct tw_worker *worker, size_t issuer);

// Ends up to `most` connections that wait for nothing, the oldest first. HTTP/2 ones leave by
// themselves.
void tw_worker_close_idle(struct tw_worker *worker, size_t most);

// Whether it has been there for http.connection_max_age, more or less.
static inline bool tw_conn_is_old(const struct tw_conn *conn, uint64_t now_us)
{
    return now_us >= conn->old_at_us;
}

// Index of the request's route, which has been matched, in THE table.
size_t tw_req_route_index(const struct tw_req *req);

// reply.c: makes what answers need, and rewrites what the library answers by itself into problem
// documents. False without memory.
TW_MUST_USE bool tw_reply_install(struct tw_worker *worker, h2o_pathconf_t *path);

#endif
