// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/metrics_lines.h"
#include "gateway/metrics_master.h"
#include "gateway/metrics_put.h"
#include "gateway/sales_stats.h"

enum kind { COUNTER, GAUGE };

static const struct {
    enum kind kind;
    const char *name, *labels, *help;
} metrics[TW_METRIC_COUNT] = {
#define METRIC(name, kind, prometheus_name, labels, help) \
    [TW_METRIC_##name] = {kind, prometheus_name, labels, help},
#include "gateway/metrics.def"
};

// ---- lines about the pages, made once ---------------------------------------------------------

// Any page does: only where a cell stands in it is asked for.
struct builder {
    struct tw_lines *lines;
    const struct tw_worker_page *page;
};

static void head(const struct builder *to, enum tw_family family)
{
    tw_put_family(tw_lines_text(to->lines), family);
}

static void put_scalars(const struct builder *to)
{
    struct tw_text *text = tw_lines_text(to->lines);
    for (unsigned i = 0; i < TW_METRIC_COUNT; i++) {
        bool is_counter = metrics[i].kind == COUNTER;
        if (i == 0 || strcmp(metrics[i].name, metrics[i - 1].name) != 0)
            tw_put_head(text, metrics[i].name, is_counter ? "counter" : "gauge", metrics[i].help);
        tw_put_line(text, metrics[i].name, "", metrics[i].labels);
        tw_lines_value(to->lines, is_counter ? TW_LINE_COUNT : TW_LINE_GAUGE, to->page,
                       &to->page->metrics[i]);
    }
}

// ---- requests -----------------------------------------------------------------------------------

// Labels of a row of struct tw_worker_page.routes: 0 stands for what matched no route.
static void row_labels(const struct tw_route_table *routes, size_t row, char *out, size_t size)
{
    const struct tw_route *route = row > 0 ? &routes->rows[row - 1] : NULL;
    snprintf(out, size, "method=\"%s\",route=\"%s\"", route ? tw_method_name(route->method) : "any",
             route ? route->pattern : "unmatched");
}

static void put_requests(const struct builder *to, const struct tw_route_table *routes)
{
    static const char *const classes[6] = {"abandoned", "1xx", "2xx", "3xx", "4xx", "5xx"};
    char labels[TW_LABELS_MAX_BYTES];
    head(to, TW_FAMILY_HTTP_REQUESTS);
    for (size_t row = 0; row <= routes->n; row++) {
        row_labels(routes, row, labels, sizeof(labels));
        size_t n = strlen(labels);
        for (size_t i = 0; i < TW_COUNT(classes); i++) {
            labels[n] = '\0';
            tw_label_add(labels, sizeof(labels), "status", classes[i]);
            tw_lines_cell(to->lines, TW_FAMILY_HTTP_REQUESTS, labels, to->page,
                          &to->page->routes[row].by_class[i]);
        }
    }
}

static void put_durations(const struct builder *to, const struct tw_route_table *routes)
{
    char labels[TW_LABELS_MAX_BYTES];
    head(to, TW_FAMILY_HTTP_DURATION);
    for (size_t row = 0; row <= routes->n; row++) {
        row_labels(routes, row, labels, sizeof(labels));
        tw_lines_histogram(to->lines, TW_FAMILY_HTTP_DURATION, labels, to->page,
                           &to->page->routes[row].latency);
    }
}

static void put_problems(const struct builder *to)
{
    char labels[TW_LABELS_MAX_BYTES];
    head(to, TW_FAMILY_PROBLEMS);
    for (unsigned i = TW_OK + 1; i < TW_STATUS_COUNT; i++) {
        snprintf(labels, sizeof(labels), "code=\"%s\"", tw_status_info((enum tw_status)i)->code);
        tw_lines_cell(to->lines, TW_FAMILY_PROBLEMS, labels, to->page, &to->page->problems[i]);
    }
}

// ---- statements ---------------------------------------------------------------------------------

static const char *const lane_names[TW_LANE_COUNT] = {"fast", "write", "slow"};

static void put_queue_waits(const struct builder *to)
{
    char labels[TW_LABELS_MAX_BYTES];
    head(to, TW_FAMILY_QUEUE_WAIT);
    for (size_t lane = 0; lane < TW_LANE_COUNT; lane++) {
        snprintf(labels, sizeof(labels), "lane=\"%s\"", lane_names[lane]);
        tw_lines_histogram(to->lines, TW_FAMILY_QUEUE_WAIT, labels, to->page,
                           &to->page->queue_waits[lane]);
    }
}

// Everything of a statement that no worker has run yet is left out.
static void put_statement(const struct builder *to, enum tw_family family, size_t stmt)
{
    static const char *const sqlstates[] = TW_SQLSTATES;
    const struct tw_statement_stats *stats = &to->page->statements[stmt];
    char labels[TW_LABELS_MAX_BYTES];
    int n = snprintf(labels, sizeof(labels), "statement=\"%s\"", tw_statements[stmt].name);
    if (family == TW_FAMILY_STATEMENT_DURATION) {
        tw_lines_histogram(to->lines, family, labels, to->page, &stats->duration);
        return;
    }
    tw_lines_begin_group(to->lines, to->page, (const _Atomic uint64_t *)stats,
                         sizeof(*stats) / sizeof(_Atomic uint64_t));
    if (family == TW_FAMILY_STATEMENT_ROWS)
        tw_lines_cell(to->lines, family, labels, to->page, &stats->rows);
    for (size_t i = 0; family == TW_FAMILY_STATEMENT_ERRORS && i < TW_SQLSTATE_COUNT; i++) {
        labels[n] = '\0';
        tw_label_add(labels, sizeof(labels), "sqlstate", sqlstates[i]);
        tw_lines_cell(to->lines, family, labels, to->page, &stats->errors[i]);
    }
    tw_lines_end_group(to->lines);
}

// Those that workers run: not what sets up a connection or belongs to the command line.
static void put_statements(const struct builder *to, enum tw_family family)
{
    head(to, family);
    for (size_t stmt = 0; stmt < TW_STMT_COUNT; stmt++)
        if (tw_statements[stmt].lane < TW_LANE_COUNT)
            put_statement(to, family, stmt);
}

struct tw_lines *tw_metrics_lines(struct tw_shared *shared, const struct tw_route_table *routes)
{
    const struct builder to = {tw_lines_new(), tw_shared_worker(shared, 0)};
    if (!to.lines)
        return NULL;
    put_scalars(&to);
    put_problems(&to);
    put_requests(&to, routes);
    put_durations(&to, routes);
    put_queue_waits(&to);
    put_statements(&to, TW_FAMILY_STATEMENT_DURATION);
    put_statements(&to, TW_FAMILY_STATEMENT_ROWS);
    put_statements(&to, TW_FAMILY_STATEMENT_ERRORS);
    if (!tw_lines_failed(to.lines))
        return to.lines;
    tw_lines_free(to.lines);
    return NULL;
}

// ---- limits: a reload may change the policies
// -------------------------------------------------------------------------------------

static const struct tw_worker_page *first_page(const struct tw_metrics_view *view)
{
    return tw_shared_worker(view->shared, 0);
}

static void put_decisions(const struct tw_metrics_view *view, struct tw_text *out)
{
    char labels[TW_LABELS_MAX_BYTES];
    tw_put_family(out, TW_FAMILY_LIMIT_DECISIONS);
    for (size_t i = 0; i < view->n_policies; i++) {
        const char *name = view->policies[i].name;
        const struct tw_limit_stats *stats =
            &first_page(view)->limits[tw_limit_policy_id(view->limits, tw_str_of(name))];
        for (unsigned allowed = 0; allowed < 2; allowed++) {
            labels[0] = '\0';
            tw_label_add(labels, sizeof(labels), "policy", name);
            tw_label_add(labels, sizeof(labels), "result", allowed ? "allowed" : "refused");
            tw_put_u64(out, TW_FAMILY_LIMIT_DECISIONS, labels,
                       tw_cell_sum(allowed ? &stats->allowed : &stats->refused, view->n_pages));
        }
    }
}

static void put_limits(const struct tw_metrics_view *view, struct tw_text *out)
{
    if (view->n_policies > 0)
        put_decisions(view, out);
    tw_put_family(out, TW_FAMILY_LIMIT_OVERFLOWS);
    tw_put_u64(out, TW_FAMILY_LIMIT_OVERFLOWS, "", tw_limit_overflows(view->limits));
    tw_put_family(out, TW_FAMILY_LIMIT_TABLE_BYTES);
    tw_put_u64(out, TW_FAMILY_LIMIT_TABLE_BYTES, "", tw_limit_table_bytes(view->limits));
}

// ---- the business -------------------------------------------------------------------------------

// What was sold somewhere in some way: then also refunds and voids of it are there, at 0.
static void put_sales(const struct tw_metrics_view *view, struct tw_text *out)
{
    static const struct {
        enum tw_family family;
        enum tw_sales_kind kind;
        bool is_money;
    } rows[] = {
        {TW_FAMILY_SALES, TW_SALES_SALE, false},     {TW_FAMILY_REVENUE, TW_SALES_SALE, true},
        {TW_FAMILY_REFUNDS, TW_SALES_REFUND, false}, {TW_FAMILY_REFUNDED, TW_SALES_REFUND, true},
        {TW_FAMILY_VOIDS, TW_SALES_VOID, false},     {TW_FAMILY_VOIDED, TW_SALES_VOID, true},
    };
    size_t n;
    struct tw_sales_sum *sums = tw_sales_sums(tw_shared_sales(view->shared), view->n_pages, &n);
    for (size_t i = 0; i < TW_COUNT(rows); i++) {
        tw_put_family(out, rows[i].family);
        for (size_t j = 0; j < n; j++) {
            char labels[TW_LABELS_MAX_BYTES] = "";
            tw_label_add(labels, sizeof(labels), "store", sums[j].store);
            tw_label_add(labels, sizeof(labels), "currency", sums[j].currency);
            tw_label_add(labels, sizeof(labels), "payment_method", sums[j].payment_method);
            tw_put_u64(out, rows[i].family, labels,
                       rows[i].is_money ? sums[j].total_minor[rows[i].kind]
                                        : sums[j].n[rows[i].kind]);
        }
    }
    free(sums);
}

static void put_low_stock(const struct tw_metrics_view *view, struct tw_text *out)
{
    const char *store;
    uint64_t n_low;
    tw_put_family(out, TW_FAMILY_LOW_STOCK);
    for (unsigned i = 0; i <= TW_SALES_STORES; i++) {
        char labels[TW_LABELS_MAX_BYTES] = "";
        if (!tw_sales_low_stock(tw_shared_sales(view->shared), i, &store, &n_low))
            continue;
        tw_label_add(labels, sizeof(labels), "store", store);
        tw_put_u64(out, TW_FAMILY_LOW_STOCK, labels, n_low);
    }
}

void tw_metrics_text(const struct tw_metrics_view *view, const struct tw_lines *lines,
                     struct tw_text *out)
{
    tw_metrics_master(view, out);
    put_sales(view, out);
    put_low_stock(view, out);
    put_limits(view, out);
    tw_lines_write(lines, first_page(view), view->n_pages, out);
}
