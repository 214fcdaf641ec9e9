// SPDX-License-Identifier: Apache-2.0
#include "gateway/status_history.h"

#include <stdlib.h>

#define EARLY_MS 200 // a tick that comes so much before the time is as good

// All pages together, since ever.
struct totals {
    uint64_t metrics[TW_METRIC_COUNT];
    uint64_t queue_waits[TW_LANE_COUNT][TW_LATENCY_BUCKETS];
    uint64_t problems[TW_STATUS_COUNT];
    struct {
        uint64_t by_class[6];
        uint64_t buckets[TW_LATENCY_BUCKETS];
    } routes[TW_STATS_ROUTES_MAX];
    struct tw_status_sold sold[TW_STATUS_CURRENCIES]; // in an order that stays
};

struct tw_status_history {
    size_t n_routes; // rows
    uint64_t newest;
    uint64_t taken_us;
    struct totals totals[2];        // of the last sample, and of the one that is being taken
    unsigned now;                   // which is the last one's
    struct tw_status_route *routes; // TW_STATUS_SAMPLES of each row
    struct tw_status_sample samples[TW_STATUS_SAMPLES];
};

bool tw_status_is_counter(enum tw_metric metric)
{
    enum { COUNTER, GAUGE };
    static const int kinds[TW_METRIC_COUNT] = {
#define METRIC(name, kind, prometheus_name, labels, help) [TW_METRIC_##name] = kind,
#include "gateway/metrics.def"
#undef METRIC
    };
    return kinds[metric] == COUNTER;
}

static void add_cells(uint64_t *sums, const _Atomic uint64_t *cells, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sums[i] += atomic_load_explicit(&cells[i], memory_order_relaxed);
}

static void add_page(struct totals *totals, const struct tw_worker_page *page, size_t n_routes)
{
    add_cells(totals->metrics, page->metrics, TW_METRIC_COUNT);
    add_cells(totals->problems, page->problems, TW_STATUS_COUNT);
    for (size_t lane = 0; lane < TW_LANE_COUNT; lane++)
        add_cells(totals->queue_waits[lane], page->queue_waits[lane].buckets, TW_LATENCY_BUCKETS);
    for (size_t row = 0; row < n_routes; row++) {
        add_cells(totals->routes[row].by_class, page->routes[row].by_class, 6);
        add_cells(totals->routes[row].buckets, page->routes[row].latency.buckets,
                  TW_LATENCY_BUCKETS);
    }
}

static void add_sold(struct tw_status_sold *sold, const struct tw_sales_sum *sum)
{
    size_t i = 0;
    while (i + 1 < TW_STATUS_CURRENCIES && sold[i].currency &&
           strcmp(sold[i].currency, sum->currency) != 0)
        i++;
    sold[i].currency = sum->currency;
    sold[i].sales += sum->n[TW_SALES_SALE];
    sold[i].minor += sum->total_minor[TW_SALES_SALE];
}

// Without memory it is as it was `before`.
static void sum_sales(struct totals *totals, const struct tw_metrics_view *view,
                      const struct totals *before)
{
    size_t n;
    struct tw_sales_sum *sums = tw_sales_sums(tw_shared_sales(view->shared), view->n_pages, &n);
    if (!sums)
        memcpy(totals->sold, before->sold, sizeof(totals->sold));
    for (size_t i = 0; sums && i < n; i++)
        add_sold(totals->sold, &sums[i]);
    free(sums);
}

// All that stands in `view`, into totals that are not those of `before`.
static void sum_pages(struct totals *totals, const struct tw_metrics_view *view, size_t n_routes,
                      const struct totals *before)
{
    memset(totals, 0, sizeof(*totals));
    sum_sales(totals, view, before);
    for (unsigned i = 0; i < view->n_pages; i++)
        add_page(totals, tw_shared_worker(view->shared, i), n_routes);
}

// A page of zeros that is only looked at is no memory yet.
static void subtract(uint32_t *out, const uint64_t *now, const uint64_t *before, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (out[i] != (uint32_t)(now[i] - before[i]))
            out[i] = (uint32_t)(now[i] - before[i]);
}

// A currency may come while we look, and then its place is before that of another one.
static void fill_sold(struct tw_status_sample *sample, const struct totals *now,
                      const struct totals *before)
{
    for (size_t i = 0; i < TW_STATUS_CURRENCIES; i++) {
        struct tw_status_sold *sold = &sample->sold[i];
        *sold = now->sold[i];
        for (size_t j = 0; sold->currency && j < TW_STATUS_CURRENCIES; j++)
            if (before->sold[j].currency && strcmp(before->sold[j].currency, sold->currency) == 0) {
                sold->sales -= before->sold[j].sales;
                sold->minor -= before->sold[j].minor;
            }
    }
}

static void fill(struct tw_status_sample *sample, const struct totals *now,
                 const struct totals *before, size_t n_routes)
{
    for (unsigned i = 0; i < TW_METRIC_COUNT; i++)
        sample->metrics[i] = (int64_t)(now->metrics[i] - (tw_status_is_counter((enum tw_metric)i)
                                                              ? before->metrics[i]
                                                              : 0));
    for (size_t lane = 0; lane < TW_LANE_COUNT; lane++)
        subtract(sample->queue_waits[lane], now->queue_waits[lane], before->queue_waits[lane],
                 TW_LATENCY_BUCKETS);
    for (size_t row = 0; row < n_routes; row++) {
        struct tw_status_route *route = tw_status_route(sample, row);
        subtract(route->by_class, now->routes[row].by_class, before->routes[row].by_class, 6);
        subtract(route->buckets, now->routes[row].buckets, before->routes[row].buckets,
                 TW_LATENCY_BUCKETS);
    }
    subtract(sample->problems, now->problems, before->problems, TW_STATUS_COUNT);
    fill_sold(sample, now, before);
}

struct tw_status_history *tw_status_history_new(const struct tw_metrics_view *view)
{
    struct tw_status_history *history = calloc(1, sizeof(*history));
    if (!history)
        return NULL;
    history->n_routes = view->routes->n + 1;
    history->routes = calloc(TW_STATUS_SAMPLES * history->n_routes, sizeof(history->routes[0]));
    if (!history->routes) {
        free(history);
        return NULL;
    }
    sum_pages(&history->totals[0], view, history->n_routes, &history->totals[1]);
    history->taken_us = view->now_us;
    return history;
}

void tw_status_history_tick(struct tw_status_history *history, const struct tw_metrics_view *view,
                            int64_t unix_ms)
{
    uint64_t span_ms = (view->now_us - history->taken_us) / 1000;
    if (span_ms + EARLY_MS < TW_STATUS_SAMPLE_MS)
        return;
    unsigned before = history->now, now = 1 - before;
    sum_pages(&history->totals[now], view, history->n_routes, &history->totals[before]);
    size_t at = ++history->newest % TW_STATUS_SAMPLES;
    struct tw_status_sample *sample = &history->samples[at];
    sample->number = history->newest;
    sample->routes = &history->routes[at];
    sample->at_unix_ms = unix_ms;
    sample->span_ms = (uint32_t)span_ms;
    fill(sample, &history->totals[now], &history->totals[before], history->n_routes);
    history->now = now;
    history->taken_us = view->now_us;
}

uint64_t tw_status_history_newest(const struct tw_status_history *history)
{
    return history->newest;
}

const struct tw_status_sample *tw_status_history_sample(const struct tw_status_history *history,
                                                        uint64_t number)
{
    const struct tw_status_sample *sample = &history->samples[number % TW_STATUS_SAMPLES];
    return number > 0 && sample->number == number ? sample : NULL;
}

void tw_status_history_free(struct tw_status_history *history)
{
    if (history)
        free(history->routes);
    free(history);
}
