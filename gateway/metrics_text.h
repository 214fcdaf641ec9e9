// SPDX-License-Identifier: Apache-2.0
// metrics_text: what /metrics shows, in Prometheus' text format 0.0.4.
//
// Sums the workers' pages; workers go on writing meanwhile, so that two lines may be some
// microseconds apart, but a histogram agrees with itself. Every known series is always written, at
// 0 until something happens: a counter that appears with its first event hides that event from
// rate(). Not for: collecting (shared.h). Runs in: master. Pure.

#ifndef TW_METRICS_TEXT_H
#define TW_METRICS_TEXT_H

#include <stdio.h>

#include "gateway/limit.h"
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

// Everything is borrowed for the call.
struct tw_metrics_view {
    struct tw_shared *shared;
    unsigned n_pages; // workers, and the master's own page if there is one: all are summed
    const struct tw_route_table *routes;
    const struct tw_jwks_stats *jwks;
    size_t n_jwks;
    const struct tw_certificate_stats *certificates;
    size_t n_certificates;
    const struct tw_limit_table *limits;
    unsigned n_workers_alive;
    uint64_t worker_restarts;
    int64_t start_unix_ms;
    uint64_t now_us;
};

// Errors of `out` are the caller's to look for.
void tw_metrics_text(const struct tw_metrics_view *view, FILE *out);

#endif
