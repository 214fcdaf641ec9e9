// SPDX-License-Identifier: Apache-2.0
#include "gateway/status_json.h"

#include "gateway/version.h"
#include <stdio.h>
#include <stdlib.h>

// ---- the present --------------------------------------------------------------------------------

const char *tw_readiness_word(const struct tw_readiness *readiness)
{
    return readiness->draining ? "draining" : readiness->ready ? "ready" : "unready";
}

void tw_readiness_reasons_json(struct tw_json *json, unsigned reasons)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{TW_UNREADY_DATABASE, "database"},
                 {TW_UNREADY_KEYS, "keys"},
                 {TW_UNREADY_WORKERS, "workers"}};
    tw_json_key(json, TW_STR("reasons"));
    tw_json_array(json);
    for (size_t i = 0; i < TW_COUNT(names); i++)
        if (reasons & names[i].bit)
            tw_json_str(json, tw_str_of(names[i].name));
    tw_json_array_end(json);
}

static void put_time(struct tw_json *json, struct tw_str key, int64_t unix_ms)
{
    tw_json_key(json, key);
    if (unix_ms > 0)
        tw_json_time(json, unix_ms);
    else
        tw_json_null(json);
}

static void put_readiness(struct tw_json *json, const struct tw_operation *operation)
{
    const struct tw_readiness *readiness = &operation->readiness;
    tw_json_key(json, TW_STR("readiness"));
    tw_json_object(json);
    TW_JSON_STR(json, "status", tw_str_of(tw_readiness_word(readiness)));
    put_time(json, TW_STR("since"), operation->readiness_since_unix_ms);
    TW_JSON_I64(json, "workersReady", readiness->n_ready);
    TW_JSON_I64(json, "workersExpected", readiness->n_expected);
    tw_readiness_reasons_json(json, readiness->reasons);
    tw_json_object_end(json);
}

static void put_outcome(struct tw_json *json, struct tw_str key, const struct tw_outcome *outcome)
{
    tw_json_key(json, key);
    if (outcome->at_unix_ms == 0) {
        tw_json_null(json);
        return;
    }
    tw_json_object(json);
    put_time(json, TW_STR("at"), outcome->at_unix_ms);
    TW_JSON_STR(json, "result", outcome->failed ? TW_STR("failed") : TW_STR("done"));
    if (outcome->failed) {
        tw_json_key(json, TW_STR("why"));
        tw_json_str_untrusted(json, tw_str_of(outcome->why));
    }
    tw_json_object_end(json);
}

static void put_certificates(struct tw_json *json, const struct tw_metrics_view *view)
{
    tw_json_key(json, TW_STR("certificates"));
    tw_json_array(json);
    for (size_t i = 0; i < view->n_certificates; i++) {
        const struct tw_certificate_stats *of = &view->certificates[i];
        tw_json_object(json);
        tw_json_key(json, TW_STR("name"));
        tw_json_str_untrusted(json, tw_str_of(of->name));
        TW_JSON_I64(json, "listener", (int64_t)of->listen);
        TW_JSON_I64(json, "certificate", (int64_t)of->certificate);
        put_time(json, TW_STR("expiresAt"), of->expires_unix_s * 1000);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static void put_issuers(struct tw_json *json, const struct tw_metrics_view *view)
{
    tw_json_key(json, TW_STR("issuers"));
    tw_json_array(json);
    for (size_t i = 0; i < view->n_jwks; i++) {
        const struct tw_jwks_stats *of = &view->jwks[i];
        tw_json_object(json);
        TW_JSON_I64(json, "issuer", (int64_t)of->issuer);
        TW_JSON_I64(json, "fetchesFailed", (int64_t)of->fetches_failed);
        tw_json_key(json, TW_STR("keysAgeSeconds"));
        if (of->last_ok_us == 0 || view->now_us < of->last_ok_us)
            tw_json_null(json);
        else
            tw_json_i64(json, (int64_t)((view->now_us - of->last_ok_us) / 1000000));
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static bool is_same_shop(const struct tw_sales_sum *a, const struct tw_sales_sum *b)
{
    return strcmp(a->store, b->store) == 0 && strcmp(a->currency, b->currency) == 0;
}

// Since the start, by store and currency; the sums of one shop stand together.
static void put_shops(struct tw_json *json, const struct tw_metrics_view *view)
{
    size_t n, next;
    struct tw_sales_sum *sums = tw_sales_sums(tw_shared_sales(view->shared), view->n_pages, &n);
    tw_json_key(json, TW_STR("shops"));
    tw_json_array(json);
    for (size_t i = 0; sums && i < n; i = next) {
        uint64_t sales = 0, minor = 0;
        for (next = i; next < n && is_same_shop(&sums[i], &sums[next]); next++) {
            sales += sums[next].n[TW_SALES_SALE];
            minor += sums[next].total_minor[TW_SALES_SALE];
        }
        tw_json_object(json);
        tw_json_key(json, TW_STR("store"));
        tw_json_str_untrusted(json, tw_str_of(sums[i].store));
        tw_json_key(json, TW_STR("currency"));
        tw_json_str_untrusted(json, tw_str_of(sums[i].currency));
        TW_JSON_I64(json, "sales", (int64_t)sales);
        TW_JSON_I64(json, "revenueMinor", (int64_t)minor);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
    free(sums);
}

static void put_present(struct tw_json *json, const struct tw_operation *operation)
{
    TW_JSON_STR(json, "version", TW_STR(TW_VERSION));
    TW_JSON_I64(json, "pid", operation->pid);
    put_time(json, TW_STR("now"), tw_unix_ms());
    put_time(json, TW_STR("startedAt"), operation->started_unix_ms);
    TW_JSON_STR(json, "change", tw_str_of(operation->change));
    TW_JSON_I64(json, "generation", (int64_t)operation->generation);
    put_time(json, TW_STR("loadedAt"), operation->loaded_unix_ms);
    TW_JSON_STR(json, "restartNeeded", tw_str_of(operation->restart_keys));
    put_readiness(json, operation);
    put_outcome(json, TW_STR("lastReload"), operation->reload);
    put_outcome(json, TW_STR("lastUpgrade"), operation->upgrade);
}

// ---- the last minutes ---------------------------------------------------------------------------

// What the indexes in samples stand for.
static void put_metric_names(struct tw_json *json)
{
    static const struct {
        const char *name, *labels;
    } metrics[TW_METRIC_COUNT] = {
#define METRIC(name, kind, prometheus_name, labels, help) \
    [TW_METRIC_##name] = {prometheus_name, labels},
#include "gateway/metrics.def"
#undef METRIC
    };
    tw_json_key(json, TW_STR("metrics"));
    tw_json_array(json);
    for (unsigned i = 0; i < TW_METRIC_COUNT; i++) {
        char name[256];
        snprintf(name, sizeof(name), *metrics[i].labels ? "%s{%s}" : "%s%s", metrics[i].name,
                 metrics[i].labels);
        tw_json_str(json, tw_str_of(name));
    }
    tw_json_array_end(json);
}

static void put_route_names(struct tw_json *json, const struct tw_route_table *routes)
{
    tw_json_key(json, TW_STR("routes"));
    tw_json_array(json);
    tw_json_str(json, TW_STR("unmatched"));
    for (size_t i = 0; i < routes->n; i++) {
        char name[256];
        snprintf(name, sizeof(name), "%s %s", tw_method_name(routes->rows[i].method),
                 routes->rows[i].pattern);
        tw_json_str(json, tw_str_of(name));
    }
    tw_json_array_end(json);
}

static void put_bounds(struct tw_json *json)
{
    static const uint64_t bounds[] = TW_LATENCY_BOUNDS_US;
    tw_json_key(json, TW_STR("bucketsUs"));
    tw_json_array(json);
    for (size_t i = 0; i < TW_COUNT(bounds); i++)
        tw_json_i64(json, (int64_t)bounds[i]);
    tw_json_array_end(json);
}

// Numbers without the zeros at their end.
static void put_numbers(struct tw_json *json, const uint32_t *numbers, size_t n)
{
    while (n > 0 && numbers[n - 1] == 0)
        n--;
    for (size_t i = 0; i < n; i++)
        tw_json_i64(json, numbers[i]);
}

// [index, value, index, value, ...] of what is not zero.
static void put_metrics(struct tw_json *json, const struct tw_status_sample *sample)
{
    tw_json_key(json, TW_STR("m"));
    tw_json_array(json);
    for (unsigned i = 0; i < TW_METRIC_COUNT; i++) {
        if (sample->metrics[i] == 0)
            continue;
        tw_json_i64(json, i);
        tw_json_i64(json, sample->metrics[i]);
    }
    tw_json_array_end(json);
}

// [[row, six classes, buckets...], ...] of the routes that were asked for.
static void put_routes(struct tw_json *json, const struct tw_status_sample *sample, size_t n_rows)
{
    tw_json_key(json, TW_STR("r"));
    tw_json_array(json);
    for (size_t row = 0; row < n_rows; row++) {
        const struct tw_status_route *route = tw_status_route(sample, row);
        uint32_t requests = 0;
        for (size_t i = 0; i < TW_COUNT(route->by_class); i++)
            requests += route->by_class[i];
        if (requests == 0)
            continue;
        tw_json_array(json);
        tw_json_i64(json, (int64_t)row);
        for (size_t i = 0; i < TW_COUNT(route->by_class); i++)
            tw_json_i64(json, route->by_class[i]);
        put_numbers(json, route->buckets, TW_LATENCY_BUCKETS);
        tw_json_array_end(json);
    }
    tw_json_array_end(json);
}

// [code, n, code, n, ...] of the errors that were answered.
static void put_problems(struct tw_json *json, const struct tw_status_sample *sample)
{
    tw_json_key(json, TW_STR("p"));
    tw_json_array(json);
    for (unsigned i = 0; i < TW_STATUS_COUNT; i++) {
        if (sample->problems[i] == 0)
            continue;
        tw_json_str(json, tw_str_of(tw_status_info((enum tw_status)i)->code));
        tw_json_i64(json, sample->problems[i]);
    }
    tw_json_array_end(json);
}

// [[currency, sales, minor units], ...] of the currencies in which something was sold.
static void put_sold(struct tw_json *json, const struct tw_status_sample *sample)
{
    tw_json_key(json, TW_STR("s"));
    tw_json_array(json);
    for (size_t i = 0; i < TW_COUNT(sample->sold) && sample->sold[i].currency; i++) {
        if (sample->sold[i].sales == 0)
            continue;
        tw_json_array(json);
        tw_json_str_untrusted(json, tw_str_of(sample->sold[i].currency));
        tw_json_i64(json, (int64_t)sample->sold[i].sales);
        tw_json_i64(json, (int64_t)sample->sold[i].minor);
        tw_json_array_end(json);
    }
    tw_json_array_end(json);
}

static void put_sample(struct tw_json *json, const struct tw_status_sample *sample, size_t n_rows)
{
    tw_json_object(json);
    TW_JSON_I64(json, "n", (int64_t)sample->number);
    TW_JSON_I64(json, "t", sample->at_unix_ms);
    TW_JSON_I64(json, "ms", sample->span_ms);
    put_metrics(json, sample);
    put_routes(json, sample, n_rows);
    put_problems(json, sample);
    put_sold(json, sample);
    tw_json_key(json, TW_STR("q"));
    tw_json_array(json);
    for (size_t lane = 0; lane < TW_LANE_COUNT; lane++) {
        tw_json_array(json);
        put_numbers(json, sample->queue_waits[lane], TW_LATENCY_BUCKETS);
        tw_json_array_end(json);
    }
    tw_json_array_end(json);
    tw_json_object_end(json);
}

static void put_samples(struct tw_json *json, const struct tw_metrics_view *view,
                        const struct tw_status_history *history, uint64_t after)
{
    uint64_t newest = tw_status_history_newest(history);
    uint64_t first = newest > TW_STATUS_SAMPLES ? newest - TW_STATUS_SAMPLES + 1 : 1;
    first = after >= first ? after + 1 : first;
    tw_json_key(json, TW_STR("samples"));
    tw_json_array(json);
    for (uint64_t number = first; number <= newest; number++) {
        const struct tw_status_sample *sample = tw_status_history_sample(history, number);
        if (sample)
            put_sample(json, sample, view->routes->n + 1);
    }
    tw_json_array_end(json);
}

void tw_status_json(struct tw_json *json, const struct tw_operation *operation,
                    const struct tw_metrics_view *view, const struct tw_status_history *history,
                    uint64_t after)
{
    put_present(json, operation);
    put_certificates(json, view);
    put_issuers(json, view);
    put_shops(json, view);
    if (after == 0) {
        put_metric_names(json);
        put_route_names(json, view->routes);
        put_bounds(json);
    }
    put_samples(json, view, history, after);
}
