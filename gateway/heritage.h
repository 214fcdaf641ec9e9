// SPDX-License-Identifier: Apache-2.0
// heritage: exactly what a worker inherits from the master, and the two entry points.
//
// The master's side includes libevent, the worker's side h2o; neither includes the other, and this
// header includes neither. Everything here is borrowed for the life of the process.

#ifndef TW_HERITAGE_H
#define TW_HERITAGE_H

#include "config/config.h"
#include "gateway/account.h"
#include "gateway/count_table.h"
#include "gateway/limit.h"
#include "gateway/router.h"
#include "gateway/shared.h"

// Policies of the limit table.
enum { TW_LIMIT_TOKEN_FAILURES };

struct tw_trace_ring;

struct tw_heritage {
    const struct tw_config *config;
    const struct tw_route_table *routes;
    struct tw_shared *shared;
    struct tw_limit_table *limits;
    struct tw_count_table *peer_counts;
    struct tw_count_table *in_progress; // requests, by principal
    unsigned worker_index;              // 0 to n_workers - 1, of its generation
    unsigned n_workers;
    unsigned row; // its page, and its cells in count tables: no other living worker's
    // Bound, listening, non-blocking: [i] is of listener i % config->n_listens.
    const int *listen_fds;
    size_t n_listen_fds;
    const struct tw_account *account; // whom it becomes
    bool waits;                       // accepts only when the master says so (TW_IPC_ACCEPT)
    int ipc_fd;                       // to the master
    int log_fd;                       // the log's file, or -1
    struct tw_trace_ring *trace_ring; // its own; NULL: nothing is traced
};

// Runs a worker until it has drained; returns the exit code. Called in a forked child.
int tw_worker_run(const struct tw_heritage *heritage);

// What the master is told by main.
struct tw_master_setup {
    const struct tw_route_table *routes;
    // Reads and checks the files anew, as at the start. NULL with one problem a line in `err`.
    struct tw_config *(*load)(void *arg, char *err, size_t err_size);
    void *arg;
    char *const *argv; // of this process: how a new binary is started; ends with NULL
};

// Runs the master in the foreground until SIGTERM or SIGINT; returns the exit code. Takes `config`
// over.
int tw_master_run(const struct tw_master_setup *setup, struct tw_config *config);

#endif
