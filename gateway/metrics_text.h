// SPDX-License-Identifier: Apache-2.0
// metrics_text: what /metrics shows, in Prometheus' text format 0.0.4.
//
// Sums the workers' pages; workers go on writing meanwhile, so that two lines may be some
// microseconds apart, but a histogram agrees with itself. Every known series is always written, at
// 0 until something happens: a counter that appears with its first event hides that event from
// rate(). Not for: collecting (shared.h). Runs in: master. Pure.

#ifndef TW_METRICS_TEXT_H
#define TW_METRICS_TEXT_H

#include "config/config.h"
#include "gateway/limit.h"
#include "gateway/process_stats.h"
#include "gateway/readiness.h"
#include "gateway/router.h"
#include "gateway/shared.h"

// Content type of the text.
#define TW_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

// How the keys of one issuer do that are fetched by URI.
struct tw_jwks_stats {
    size_t issuer; // index in config->issuers, the label
    uint64_t fetches_ok;
    uint64_t fetches_failed;
    uint64_t last_ok_us; // tw_now_us of the last good fetch; 0: none yet, and no age is shown
};

// A certificate in force.
struct tw_certificate_stats {
    size_t listen, certificate; // indexes: config->listens, its certificates
    char name[128];             // fit for a label
    int64_t expires_unix_s;     // of its chain, what expires first
};

// A worker of the generation in force.
struct tw_worker_stats {
    unsigned index;
    uint64_t started_us, heartbeat_us;      // tw_now_us; no heartbeat yet: 0
    const struct tw_process_stats *process; // what the kernel says of it; may be NULL
};

// Everything is borrowed for the call.
struct tw_metrics_view {
    struct tw_shared *shared;
    unsigned n_pages; // workers, and the master's own page if there is one: all are summed
    const struct tw_route_table *routes;
    const struct tw_jwks_stats *jwks;
    size_t n_jwks;
    const struct tw_certificate_stats *certificates;
    size_t n_certificates;
    struct tw_limit_table *limits;
    const struct tw_limit_policy *policies; // of the configuration in force
    size_t n_policies;
    struct tw_readiness readiness;
    const struct tw_worker_stats *workers;
    size_t n_workers;
    const struct tw_process_stats *self; // of the master; may be NULL
    unsigned n_workers_alive;            // of all generations
    uint64_t worker_restarts;
    int64_t start_unix_ms, now_unix_ms;
    uint64_t now_us;
};

// Text in a buffer of malloc(3)'s, which grows; {0} is an empty one. The caller frees `p`, or sets
// `n` to 0 to use it again: the pages of a new buffer cost as much as what is written into them.
struct tw_text {
    char *p;
    size_t n, room;
    bool failed; // memory was refused: what was written after that is missing
};

// What never changes of the lines about the workers' pages, which are nearly all: to be made once
// and used for all scrapes of these pages and routes (borrowed for the call only). NULL when memory
// is refused.
struct tw_lines;
TW_MUST_USE struct tw_lines *tw_metrics_lines(struct tw_shared *shared,
                                              const struct tw_route_table *routes);
void tw_lines_free(struct tw_lines *lines); // NULL is fine

// Appends to `out`.
void tw_metrics_text(const struct tw_metrics_view *view, const struct tw_lines *lines,
                     struct tw_text *out);

#endif
