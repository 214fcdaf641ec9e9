// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics_text.h"

#include <inttypes.h>
#include <stdlib.h>

#include "gateway/sales_stats.h"
#include "gateway/version.h"

enum kind { COUNTER, GAUGE };

static const struct {
    enum kind kind;
    const char *name, *labels, *help;
} metrics[TW_METRIC_COUNT] = {
#define METRIC(name, kind, prometheus_name, labels, help) \
    [TW_METRIC_##name] = {kind, prometheus_name, labels, help},
#include "gateway/metrics.def"
#undef METRIC
};

static const char *const class_names[6] = {"abandoned", "1xx", "2xx", "3xx", "4xx", "5xx"};

// Cells of one kind, summed over all pages.
struct histogram_sum {
    uint64_t sum_us;
    uint64_t buckets[TW_LATENCY_BUCKETS];
};

struct route_sum {
    uint64_t by_class[6];
    struct histogram_sum latency;
};

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static int64_t sum_metric(const struct tw_metrics_view *view, unsigned metric)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < view->n_pages; i++)
        sum += atomic_load_explicit(&tw_shared_worker(view->shared, i)->metrics[metric],
                                    memory_order_relaxed);
    return (int64_t)sum; // gauges are two's complement
}

static void put_scalars(const struct tw_metrics_view *view, FILE *out)
{
    for (unsigned i = 0; i < TW_METRIC_COUNT; i++) {
        bool first = i == 0 || strcmp(metrics[i].name, metrics[i - 1].name) != 0;
        if (first)
            head(out, metrics[i].name, metrics[i].kind == COUNTER ? "counter" : "gauge",
                 metrics[i].help);
        const char *labels = metrics[i].labels;
        fprintf(out, *labels ? "%s{%s} %" PRId64 "\n" : "%s%s %" PRId64 "\n", metrics[i].name,
                labels, sum_metric(view, i));
    }
}

static uint64_t load(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static void add_histogram(struct histogram_sum *sum, const struct tw_histogram *of)
{
    for (size_t i = 0; i < TW_LATENCY_BUCKETS; i++)
        sum->buckets[i] += load(&of->buckets[i]);
    sum->sum_us += load(&of->sum_us);
}

static struct route_sum sum_row(const struct tw_metrics_view *view, size_t row)
{
    struct route_sum sum = {0};
    for (unsigned i = 0; i < view->n_pages; i++) {
        const struct tw_route_stats *stats = &tw_shared_worker(view->shared, i)->routes[row];
        for (size_t j = 0; j < TW_COUNT(sum.by_class); j++)
            sum.by_class[j] += load(&stats->by_class[j]);
        add_histogram(&sum.latency, &stats->latency);
    }
    return sum;
}

// Labels of a row of struct tw_worker_page.routes: 0 stands for what matched no route.
static const char *row_labels(const struct tw_metrics_view *view, size_t row, char *out,
                              size_t size)
{
    if (row == 0)
        return "method=\"any\",route=\"unmatched\"";
    const struct tw_route *route = &view->routes->rows[row - 1];
    snprintf(out, size, "method=\"%s\",route=\"%s\"", tw_method_name(route->method),
             route->pattern);
    return out;
}

static void put_requests(const struct tw_metrics_view *view, FILE *out)
{
    static const char name[] = "tillway_http_requests_total";
    char labels[256];
    head(out, name, "counter", "Requests by route and class of answer.");
    for (size_t row = 0; row <= view->routes->n; row++) {
        struct route_sum sum = sum_row(view, row);
        const char *of_row = row_labels(view, row, labels, sizeof(labels));
        for (size_t i = 0; i < TW_COUNT(sum.by_class); i++)
            fprintf(out, "%s{%s,status=\"%s\"} %" PRIu64 "\n", name, of_row, class_names[i],
                    sum.by_class[i]);
    }
}

static void put_seconds(FILE *out, uint64_t us)
{
    fprintf(out, "%" PRIu64 ".%06" PRIu64 "\n", us / 1000000, us % 1000000);
}

// Upper bound of a bucket as Prometheus writes it: "0.00025", "1", "+Inf".
static const char *bound_name(unsigned bucket, char out[16])
{
    static const uint64_t bounds[] = TW_LATENCY_BOUNDS_US;
    if (bucket >= TW_COUNT(bounds))
        return "+Inf";
    snprintf(out, 16, "%g", (double)bounds[bucket] / 1e6);
    return out;
}

// One series of a histogram; its name has been described.
static void put_histogram(FILE *out, const char *name, const char *labels,
                          const struct histogram_sum *sum)
{
    char bound[16];
    uint64_t count = 0;
    for (unsigned i = 0; i < TW_LATENCY_BUCKETS; i++) {
        count += sum->buckets[i];
        fprintf(out, "%s_bucket{%s,le=\"%s\"} %" PRIu64 "\n", name, labels, bound_name(i, bound),
                count);
    }
    fprintf(out, "%s_sum{%s} ", name, labels);
    put_seconds(out, sum->sum_us);
    fprintf(out, "%s_count{%s} %" PRIu64 "\n", name, labels, count);
}

static void put_durations(const struct tw_metrics_view *view, FILE *out)
{
    static const char name[] = "tillway_http_request_duration_seconds";
    char labels[256];
    head(out, name, "histogram", "Time from a request's head to the end of its answer, by route.");
    for (size_t row = 0; row <= view->routes->n; row++) {
        struct route_sum sum = sum_row(view, row);
        put_histogram(out, name, row_labels(view, row, labels, sizeof(labels)), &sum.latency);
    }
}

// ---- statements ---------------------------------------------------------------------------------

static const char *const lane_names[TW_LANE_COUNT] = {"fast", "write", "slow"};

static void put_queue_waits(const struct tw_metrics_view *view, FILE *out)
{
    static const char name[] = "tillway_db_queue_wait_seconds";
    head(out, name, "histogram",
         "Time that queries waited for a connection before they were sent.");
    for (size_t lane = 0; lane < TW_LANE_COUNT; lane++) {
        char labels[32];
        struct histogram_sum sum = {0};
        for (unsigned i = 0; i < view->n_pages; i++)
            add_histogram(&sum, &tw_shared_worker(view->shared, i)->queue_waits[lane]);
        snprintf(labels, sizeof(labels), "lane=\"%s\"", lane_names[lane]);
        put_histogram(out, name, labels, &sum);
    }
}

// Whether workers run it: those that set up a connection or belong to the command line are left
// out.
static bool is_shown(size_t stmt)
{
    return tw_statements[stmt].lane < TW_LANE_COUNT;
}

static void put_statement_durations(const struct tw_metrics_view *view, FILE *out)
{
    static const char name[] = "tillway_db_statement_duration_seconds";
    head(out, name, "histogram",
         "Time from sending a statement to its answer, neighbours of its pipeline included.");
    for (size_t stmt = 0; stmt < TW_STMT_COUNT; stmt++) {
        char labels[96];
        struct histogram_sum sum = {0};
        if (!is_shown(stmt))
            continue;
        for (unsigned i = 0; i < view->n_pages; i++)
            add_histogram(&sum, &tw_shared_worker(view->shared, i)->statements[stmt].duration);
        snprintf(labels, sizeof(labels), "statement=\"%s\"", tw_statements[stmt].name);
        put_histogram(out, name, labels, &sum);
    }
}

static void put_statement_rows(const struct tw_metrics_view *view, FILE *out)
{
    static const char name[] = "tillway_db_statement_rows_total";
    head(out, name, "counter", "Rows that statements returned.");
    for (size_t stmt = 0; stmt < TW_STMT_COUNT; stmt++) {
        uint64_t sum = 0;
        if (!is_shown(stmt))
            continue;
        for (unsigned i = 0; i < view->n_pages; i++)
            sum += load(&tw_shared_worker(view->shared, i)->statements[stmt].rows);
        fprintf(out, "%s{statement=\"%s\"} %" PRIu64 "\n", name, tw_statements[stmt].name, sum);
    }
}

static void put_statement_errors(const struct tw_metrics_view *view, FILE *out)
{
    static const char name[] = "tillway_db_statement_errors_total";
    static const char *const sqlstates[] = TW_SQLSTATES;
    head(out, name, "counter", "Statements that failed, by SQLSTATE; 08006: the answer was lost.");
    for (size_t cell = 0; cell < (size_t)TW_STMT_COUNT * TW_SQLSTATE_COUNT; cell++) {
        size_t stmt = cell / TW_SQLSTATE_COUNT, error = cell % TW_SQLSTATE_COUNT;
        uint64_t sum = 0;
        if (!is_shown(stmt))
            continue;
        for (unsigned i = 0; i < view->n_pages; i++)
            sum += load(&tw_shared_worker(view->shared, i)->statements[stmt].errors[error]);
        fprintf(out, "%s{statement=\"%s\",sqlstate=\"%s\"} %" PRIu64 "\n", name,
                tw_statements[stmt].name, sqlstates[error], sum);
    }
}

static void put_jwks(const struct tw_metrics_view *view, FILE *out)
{
    static const char fetches[] = "tillway_jwks_fetches_total";
    static const char age[] = "tillway_jwks_age_seconds";
    if (view->n_jwks == 0)
        return;
    head(out, fetches, "counter", "Fetches of key sets, by issuer (index in auth.issuers).");
    for (size_t i = 0; i < view->n_jwks; i++) {
        const struct tw_jwks_stats *stats = &view->jwks[i];
        fprintf(out, "%s{issuer=\"%zu\",result=\"ok\"} %" PRIu64 "\n", fetches, stats->issuer,
                stats->fetches_ok);
        fprintf(out, "%s{issuer=\"%zu\",result=\"error\"} %" PRIu64 "\n", fetches, stats->issuer,
                stats->fetches_failed);
    }
    head(out, age, "gauge", "Seconds since the last good fetch of a key set, by issuer.");
    for (size_t i = 0; i < view->n_jwks; i++) {
        const struct tw_jwks_stats *stats = &view->jwks[i];
        if (stats->last_ok_us == 0)
            continue;
        fprintf(out, "%s{issuer=\"%zu\"} ", age, stats->issuer);
        put_seconds(out, view->now_us - stats->last_ok_us);
    }
}

static void put_certificates(const struct tw_metrics_view *view, FILE *out)
{
    static const char name[] = "tillway_tls_certificate_expiry_timestamp_seconds";
    if (view->n_certificates == 0)
        return;
    head(out, name, "gauge", "When the first certificate of a chain in force expires, Unix time.");
    for (size_t i = 0; i < view->n_certificates; i++) {
        const struct tw_certificate_stats *of = &view->certificates[i];
        fprintf(out, "%s{listener=\"%zu\",certificate=\"%zu\",name=\"%s\"} %" PRId64 "\n", name,
                of->listen, of->certificate, of->name, of->expires_unix_s);
    }
}

static void put_process(const struct tw_metrics_view *view, FILE *out)
{
    head(out, "tillway_workers", "gauge", "Worker processes that live.");
    fprintf(out, "tillway_workers %u\n", view->n_workers_alive);
    head(out, "tillway_worker_restarts_total", "counter", "Workers that replaced a dead one.");
    fprintf(out, "tillway_worker_restarts_total %" PRIu64 "\n", view->worker_restarts);
    head(out, "tillway_start_time_seconds", "gauge", "When the master started, Unix time.");
    fprintf(out, "tillway_start_time_seconds %" PRId64 ".%03d\n", view->start_unix_ms / 1000,
            (int)(view->start_unix_ms % 1000));
    head(out, "tillway_build_info", "gauge", "Always 1; the label tells the version.");
    fprintf(out, "tillway_build_info{version=\"%s\"} 1\n", TW_VERSION);
}

static void put_limits(const struct tw_metrics_view *view, FILE *out)
{
    static const char overflows[] = "tillway_limit_overflows_total";
    static const char bytes[] = "tillway_limit_table_bytes";
    head(
        out, overflows, "counter",
        "Requests counted in a bucket that newcomers share, because the table of limits was full.");
    fprintf(out, "%s %" PRIu64 "\n", overflows, tw_limit_overflows(view->limits));
    head(out, bytes, "gauge", "Size of the table of limits (rate_limits.entries); it never grows.");
    fprintf(out, "%s %zu\n", bytes, tw_limit_table_bytes(view->limits));
}

// ---- the business -------------------------------------------------------------------------------

// A value of a label: what was named by data may hold anything.
static void put_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\\' || *value == '"')
            (void)fputc('\\', out);
        if (*value == '\n')
            fprintf(out, "\\n");
        else
            (void)fputc(*value, out);
    }
    (void)fputc('"', out);
}

static void put_sum(FILE *out, const char *name, const struct tw_sales_sum *sum, uint64_t value)
{
    fprintf(out, "%s{", name);
    put_label(out, "store", sum->store);
    put_label(out, ",currency", sum->currency);
    put_label(out, ",payment_method", sum->payment_method);
    fprintf(out, "} %" PRIu64 "\n", value);
}

// What was sold somewhere in some way: then also refunds and voids of it are there, at 0.
static void put_sales(const struct tw_metrics_view *view, FILE *out)
{
    static const struct {
        const char *name, *help;
        enum tw_sales_kind kind;
        bool is_money;
    } rows[] = {
        {"tillway_sales_total", "Sales recorded.", TW_SALES_SALE, false},
        {"tillway_revenue_minor_total",
         "Totals of recorded sales, taxes included, in minor units of the currency.", TW_SALES_SALE,
         true},
        {"tillway_refunds_total", "Refunds recorded, whole or in part.", TW_SALES_REFUND, false},
        {"tillway_refunded_minor_total", "Money refunded, in minor units of the currency.",
         TW_SALES_REFUND, true},
        {"tillway_voids_total", "Sales voided.", TW_SALES_VOID, false},
        {"tillway_voided_minor_total", "Totals of voided sales, in minor units of the currency.",
         TW_SALES_VOID, true},
    };
    size_t n;
    struct tw_sales_sum *sums = tw_sales_sums(tw_shared_sales(view->shared), view->n_pages, &n);
    for (size_t i = 0; i < TW_COUNT(rows); i++) {
        head(out, rows[i].name, "counter", rows[i].help);
        for (size_t j = 0; j < n; j++)
            put_sum(out, rows[i].name, &sums[j],
                    rows[i].is_money ? sums[j].total_minor[rows[i].kind] : sums[j].n[rows[i].kind]);
    }
    free(sums);
}

void tw_metrics_text(const struct tw_metrics_view *view, FILE *out)
{
    put_process(view, out);
    put_sales(view, out);
    put_scalars(view, out);
    put_jwks(view, out);
    put_certificates(view, out);
    put_limits(view, out);
    put_requests(view, out);
    put_durations(view, out);
    put_queue_waits(view, out);
    put_statement_durations(view, out);
    put_statement_rows(view, out);
    put_statement_errors(view, out);
}
