// SPDX-License-Identifier: Apache-2.0
// status_history: what happened in the last ten minutes, for a status page that is opened now.
//
// The master sums the workers' pages every TW_STATUS_SAMPLE_MS, as a scrape does, and keeps what
// was added since: a ring of fixed size, some kilobytes a sample. What a route adds lies beside
// what it added before, so that routes that nobody uses take no memory. Nothing survives the
// process; an upgrade begins anew. Not for: long times, that is Prometheus. Runs in: master. Pure.

#ifndef TW_STATUS_HISTORY_H
#define TW_STATUS_HISTORY_H

#include "gateway/metrics_text.h"
#include "gateway/sales_stats.h"

#define TW_STATUS_SAMPLE_MS 2000
#define TW_STATUS_SAMPLES   300

struct tw_status_route {
    uint32_t by_class[6]; // as in struct tw_route_stats
    uint32_t buckets[TW_LATENCY_BUCKETS];
};

// What was sold in one currency, by all shops.
struct tw_status_sold {
    const char *currency; // NULL: this one and those behind it are not used
    uint64_t sales, minor;
};

#define TW_STATUS_CURRENCIES (TW_SALES_CURRENCIES + 1) // and the others

// What was added in `span_ms`; of gauges the value at its end.
struct tw_status_sample {
    uint64_t number; // 1, 2, …; 0: not taken yet
    int64_t at_unix_ms;
    uint32_t span_ms;
    int64_t metrics[TW_METRIC_COUNT];
    uint32_t queue_waits[TW_LANE_COUNT][TW_LATENCY_BUCKETS];
    uint32_t problems[TW_STATUS_COUNT]; // answered, by enum tw_status
    struct tw_status_sold sold[TW_STATUS_CURRENCIES];
    struct tw_status_route *routes; // of row 0: tw_status_route()
};

struct tw_status_history;

// `view` as it is now is where the first sample begins; of it only the pages, the routes and the
// clock are looked at, also below. NULL when memory is refused.
TW_MUST_USE struct tw_status_history *tw_status_history_new(const struct tw_metrics_view *view);

// Often: takes a sample when one is due. `unix_ms` is the wall clock now.
void tw_status_history_tick(struct tw_status_history *history, const struct tw_metrics_view *view,
                            int64_t unix_ms);

// The number of the newest sample; 0 when there is none.
uint64_t tw_status_history_newest(const struct tw_status_history *history);

// Whose number this is; NULL when it was not taken yet or is forgotten. Valid until the next tick.
const struct tw_status_sample *tw_status_history_sample(const struct tw_status_history *history,
                                                        uint64_t number);

// What it says of a row: 0 to routes->n, as in struct tw_worker_page.
static inline struct tw_status_route *tw_status_route(const struct tw_status_sample *sample,
                                                      size_t row)
{
    return &sample->routes[row * TW_STATUS_SAMPLES];
}

// Whether the metric only grows.
bool tw_status_is_counter(enum tw_metric metric);

// NULL is fine.
void tw_status_history_free(struct tw_status_history *history);

#endif
