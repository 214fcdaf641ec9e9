// SPDX-License-Identifier: Apache-2.0
// heritage: exactly what a worker inherits from the master, and the two entry points.
//
// The master's side includes libevent, the worker's side h2o; neither includes the other, and this
// header includes neither. Everything here is borrowed for the life of the process.

#ifndef TW_HERITAGE_H
#define TW_HERITAGE_H

#include "config/config.h"
#include "gateway/count_table.h"
#include "gateway/limit.h"
#include "gateway/router.h"
#include "gateway/shared.h"

// Policies of the limit table.
enum { TW_LIMIT_TOKEN_FAILURES };

struct tw_heritage {
    const struct tw_config *config;
    const struct tw_route_table *routes;
    struct tw_shared *shared;
    struct tw_limit_table *limits;
    struct tw_count_table *peer_counts;
    struct tw_count_table *in_progress; // requests, by principal
    unsigned worker_index;
    unsigned n_workers;
    const int *listen_fds; // bound, listening, non-blocking; one per config->listen, in its order
    int ipc_fd;            // to the master
};

// Runs a worker until it has drained; returns the exit code. Called in a forked child.
int tw_worker_run(const struct tw_heritage *heritage);

// Runs the master in the foreground until SIGTERM or SIGINT; returns the exit code.
int tw_master_run(const struct tw_config *config, const struct tw_route_table *routes);

#endif
