// SPDX-License-Identifier: Apache-2.0
// worker: what the files of a worker process share: its loop, its rooms, its connections.
//
// One process, one thread, one h2o loop; nothing here blocks. Entry point: tw_worker_run in
// heritage.h. Private to worker.c, request.c and reply.c.

#ifndef TW_WORKER_H
#define TW_WORKER_H

#include "auth/verifier.h"
#include "gateway/db.h"
#include "gateway/h2o_include.h"
#include "gateway/heritage.h"
#include "gateway/request.h"

#define TW_CONN_MAGIC 0x7711c0deu

// One client connection; found again through its socket's on_close.data.
struct tw_conn {
    uint32_t magic;
    struct tw_worker *worker;
    h2o_linklist_t link; // on worker->conns
    h2o_socket_t *sock;
    uint64_t accepted_us;
    bool is_http2;               // set while draining (mark_http2_connections)
    uint64_t requests;           // begun
    unsigned requests_in_flight; // begun and not ended
    struct tw_str peer;          // address in text, without port
    char peer_text[48];
};

struct tw_worker {
    const struct tw_heritage *heritage;
    const struct tw_config *config;
    struct tw_worker_page *page;
    h2o_globalconf_t globalconf;
    h2o_context_t ctx;
    struct tw_listener *listeners; // one per config->listens
    struct tw_db *db;
    struct tw_verifier *verifier;
    uint64_t *key_generations;                    // per issuer: last one taken over or refused
    char *key_buffer;                             // TW_KEYS_MAX_BYTES
    uint64_t keys_asked_us[TW_CONFIG_ISSUER_MAX]; // when fresh keys were asked for last; 0: never
    h2o_linklist_t conns;
    h2o_socket_t *ipc;
    h2o_timeout_t tick_timeout;
    h2o_timeout_entry_t tick;
    bool draining;
    uint64_t drain_until_us;
};

// Puts the gateway's handler and filter into the host's catch-all path.
void tw_request_install(struct tw_worker *worker, h2o_hostconf_t *host);

// A request for an answer that the library makes by itself (413, a broken head). Counted and logged
// like any other.
struct tw_req *tw_req_adopt(struct tw_worker *worker, h2o_req_t *h2o);

// Asks the master for fresh keys of an issuer; at most one message a second per issuer.
void tw_worker_keys_stale(struct tw_worker *worker, size_t issuer);

// Takes over key sets that the master has published since the last call. Cheap when there is none.
void tw_worker_keys_update(struct tw_worker *worker);

// reply.c: rewrites what the library answers by itself into problem documents.
void tw_reply_install(struct tw_worker *worker, h2o_pathconf_t *path);

#endif
