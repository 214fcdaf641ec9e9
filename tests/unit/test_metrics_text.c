// SPDX-License-Identifier: Apache-2.0
// metrics_text: the exact lines, sums over pages, one HELP and TYPE per name, whole histograms.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/metrics_text.h"
#include "gateway/sales_stats.h"

static const struct tw_route rows[] = {
    {.method = TW_GET, .pattern = "/v1/things/{thingId}"},
    {.method = TW_POST, .pattern = "/v1/things"},
};
static const struct tw_route_table routes = {rows, TW_STR(""), TW_COUNT(rows)};

#define GET_THING "method=\"GET\",route=\"/v1/things/{thingId}\""

static struct tw_shared *shared; // of the test that runs

static int free_shared(void **state)
{
    (void)state;
    tw_shared_free(shared);
    shared = NULL;
    return 0;
}

// A view of two workers' pages and the master's, all at zero.
static struct tw_metrics_view new_view(void)
{
    shared = tw_shared_new(3, 1);
    struct tw_metrics_view view = {
        .shared = shared,
        .n_pages = 3,
        .routes = &routes,
        .n_workers_alive = 2,
        .start_unix_ms = 1795000000042,
        .now_us = 9000000,
        .limits = tw_limit_table_new(1024),
    };
    assert_non_null(view.shared);
    assert_non_null(view.limits);
    return view;
}

// To be freed.
static char *text_of(const struct tw_metrics_view *view)
{
    struct tw_text text = {0};
    struct tw_lines *lines = tw_metrics_lines(view->shared, view->routes);
    assert_non_null(lines);
    tw_metrics_text(view, lines, &text);
    tw_lines_free(lines);
    assert_false(text.failed);
    char *out = strndup(text.p, text.n);
    free(text.p);
    assert_non_null(out);
    return out;
}

// The whole line must be there, once.
static void expect_line(const struct tw_metrics_view *view, const char *line)
{
    char *text = text_of(view);
    unsigned n = 0;
    for (char *at = text; (at = strstr(at, line)) != NULL; at += strlen(line))
        n += (at == text || at[-1] == '\n') && at[strlen(line)] == '\n';
    if (n != 1)
        fail_msg("%u times, not once: %s", n, line);
    free(text);
}

static void expect_absent(const struct tw_metrics_view *view, const char *part)
{
    char *text = text_of(view);
    assert_null(strstr(text, part));
    free(text);
}

static void scalars_are_summed_over_pages(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    for (unsigned i = 0; i < 3; i++)
        tw_metric_add(tw_shared_worker(view.shared, i), TW_METRIC_TOKENS_HIT, 10 + i);
    expect_line(&view, "tillway_token_checks_total{result=\"cached\"} 33");
    expect_line(&view, "tillway_token_checks_total{result=\"refused\"} 0");
}

static void gauges_may_be_negative_on_one_page(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    tw_metric_add(tw_shared_worker(view.shared, 0), TW_METRIC_CONNECTIONS_OPEN, 5);
    tw_metric_add(tw_shared_worker(view.shared, 1), TW_METRIC_CONNECTIONS_OPEN, -2);
    expect_line(&view, "tillway_connections 3");
    tw_metric_add(tw_shared_worker(view.shared, 1), TW_METRIC_CONNECTIONS_OPEN, -4);
    expect_line(&view, "tillway_connections -1");
}

static void facts_of_the_process(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    view.worker_restarts = 4;
    expect_line(&view, "tillway_workers 2");
    expect_line(&view, "tillway_worker_restarts_total 4");
    expect_line(&view, "process_start_time_seconds 1795000000.042000");
}

static void readiness_and_what_is_missing(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    view.readiness = (struct tw_readiness){
        .n_ready = 1, .n_expected = 3, .reasons = TW_UNREADY_KEYS | TW_UNREADY_WORKERS};
    expect_line(&view, "tillway_ready 0");
    expect_line(&view, "tillway_unready{reason=\"database\"} 0");
    expect_line(&view, "tillway_unready{reason=\"keys\"} 1");
    expect_line(&view, "tillway_unready{reason=\"workers\"} 1");
    expect_line(&view, "tillway_unready{reason=\"draining\"} 0");
    expect_line(&view, "tillway_workers_expected 3");
    expect_line(&view, "tillway_workers_ready 1");
    view.readiness.ready = true;
    expect_line(&view, "tillway_ready 1");
}

static void processes_are_what_the_kernel_says(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    const struct tw_process_stats known = {true, 1250000, 4096, 8192, 7, 1024}, gone = {0},
                                  shy = {.is_known = true, .resident_bytes = 5};
    const struct tw_worker_stats workers[] = {
        {.index = 0, .started_us = 4000000, .heartbeat_us = 8750000, .process = &known},
        {.index = 1, .started_us = 9000000, .process = &gone},
        {.index = 2, .started_us = 9000000, .process = &shy},
    };
    view.now_unix_ms = 1795000010000;
    view.workers = workers;
    view.n_workers = TW_COUNT(workers);
    view.self = &known;
    expect_line(&view, "tillway_worker_cpu_seconds_total{worker=\"0\"} 1.250000");
    expect_line(&view, "tillway_worker_resident_memory_bytes{worker=\"0\"} 4096");
    expect_line(&view, "tillway_worker_open_fds{worker=\"0\"} 7");
    expect_line(&view, "tillway_worker_max_fds{worker=\"0\"} 1024");
    expect_line(&view, "tillway_worker_heartbeat_age_seconds{worker=\"0\"} 0.250000");
    expect_line(&view, "tillway_worker_start_time_seconds{worker=\"0\"} 1795000005.000000");
    expect_line(&view, "tillway_worker_start_time_seconds{worker=\"1\"} 1795000010.000000");
    expect_absent(&view, "heartbeat_age_seconds{worker=\"1\"}"); // it has not turned yet
    expect_absent(&view, "cpu_seconds_total{worker=\"1\"}");
    expect_line(&view, "tillway_worker_resident_memory_bytes{worker=\"2\"} 5");
    expect_absent(&view, "fds{worker=\"2\"}");
    expect_line(&view, "process_cpu_seconds_total 1.250000");
    expect_line(&view, "process_open_fds 7");
}

static void limits_by_policy(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    const struct tw_limit_policy policies[] = {{.name = "per-client"}, {.name = "sales"}};
    expect_absent(&view, "policy=");
    view.policies = policies;
    view.n_policies = TW_COUNT(policies);
    unsigned id = tw_limit_policy_id(view.limits, TW_STR("sales"));
    tw_cell_add(&tw_shared_worker(view.shared, 0)->limits[id].allowed, 5);
    tw_cell_add(&tw_shared_worker(view.shared, 1)->limits[id].allowed, 2);
    tw_cell_add(&tw_shared_worker(view.shared, 1)->limits[id].refused, 3);
    expect_line(&view, "tillway_limit_decisions_total{policy=\"sales\",result=\"allowed\"} 7");
    expect_line(&view, "tillway_limit_decisions_total{policy=\"sales\",result=\"refused\"} 3");
    expect_line(&view, "tillway_limit_decisions_total{policy=\"per-client\",result=\"refused\"} 0");
}

static void problems_by_code(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    tw_cell_add(&tw_shared_worker(view.shared, 0)->problems[TW_NOT_FOUND], 1);
    tw_cell_add(&tw_shared_worker(view.shared, 2)->problems[TW_NOT_FOUND], 1);
    expect_line(&view, "tillway_problems_total{code=\"not-found\"} 2");
    expect_line(&view, "tillway_problems_total{code=\"overloaded\"} 0");
}

static void requests_by_route_and_class(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    tw_stats_request(tw_shared_worker(view.shared, 0), 1, 200, 100);
    tw_stats_request(tw_shared_worker(view.shared, 1), 1, 204, 100);
    tw_stats_request(tw_shared_worker(view.shared, 1), 1, 0, 100);
    tw_stats_request(tw_shared_worker(view.shared, 1), 0, 404, 100);
    expect_line(&view, "tillway_http_requests_total{" GET_THING ",status=\"2xx\"} 2");
    expect_line(&view, "tillway_http_requests_total{" GET_THING ",status=\"abandoned\"} 1");
    expect_line(&view, "tillway_http_requests_total{" GET_THING ",status=\"5xx\"} 0");
    expect_line(&view, "tillway_http_requests_total{method=\"any\",route=\"unmatched\","
                       "status=\"4xx\"} 1");
    expect_line(&view, "tillway_http_requests_total{method=\"POST\",route=\"/v1/things\","
                       "status=\"2xx\"} 0");
}

#define DURATION "tillway_http_request_duration_seconds"

static void buckets_are_cumulative_and_closed_above(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    tw_stats_request(tw_shared_worker(view.shared, 0), 1, 200, 250); // a bound belongs to it
    tw_stats_request(tw_shared_worker(view.shared, 1), 1, 200, 251);
    tw_stats_request(tw_shared_worker(view.shared, 1), 1, 200, 3000000);
    expect_line(&view, DURATION "_bucket{" GET_THING ",le=\"0.00025\"} 1");
    expect_line(&view, DURATION "_bucket{" GET_THING ",le=\"0.0005\"} 2");
    expect_line(&view, DURATION "_bucket{" GET_THING ",le=\"1\"} 2");
    expect_line(&view, DURATION "_bucket{" GET_THING ",le=\"2.5\"} 2");
    expect_line(&view, DURATION "_bucket{" GET_THING ",le=\"+Inf\"} 3");
    expect_line(&view, DURATION "_count{" GET_THING "} 3");
    expect_line(&view, DURATION "_sum{" GET_THING "} 3.000501");
}

// Its family is announced, and the histogram after it is whole.
static void an_empty_histogram_is_left_out(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    expect_line(&view, "# TYPE " DURATION " histogram");
    expect_absent(&view, DURATION "_");
    tw_stats_request(tw_shared_worker(view.shared, 0), 2, 200, 250);
    expect_line(&view, "# TYPE " DURATION " histogram");
    expect_absent(&view, DURATION "_bucket{" GET_THING);
    expect_absent(&view, DURATION "_count{" GET_THING);
    expect_line(&view, DURATION "_bucket{method=\"POST\",route=\"/v1/things\",le=\"0.00025\"} 1");
    expect_line(&view, DURATION "_count{method=\"POST\",route=\"/v1/things\"} 1");
    expect_line(&view, "# TYPE tillway_db_queue_wait_seconds histogram");
}

static void statements_have_durations_rows_and_errors(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    expect_absent(&view, "statement=\"product_get\"");
    for (unsigned i = 0; i < 2; i++) {
        struct tw_statement_stats *stats =
            &tw_shared_worker(view.shared, i)->statements[TW_STMT_PRODUCT_GET];
        tw_statement_succeeded(stats, 600, 3);
        tw_statement_failed(stats, "57014");
        tw_statement_failed(stats, i == 0 ? "" : "XX000");
        tw_histogram_add(&tw_shared_worker(view.shared, i)->queue_waits[TW_LANE_WRITE], 2600);
    }
    expect_line(&view, "tillway_db_statement_duration_seconds_bucket{statement=\"product_get\","
                       "le=\"0.001\"} 2");
    expect_line(&view, "tillway_db_statement_duration_seconds_sum{statement=\"product_get\"} "
                       "0.001200");
    expect_line(&view, "tillway_db_statement_duration_seconds_count{statement=\"product_get\"} 2");
    expect_line(&view, "tillway_db_statement_rows_total{statement=\"product_get\"} 6");
    expect_line(&view, "tillway_db_statement_errors_total{statement=\"product_get\","
                       "sqlstate=\"57014\"} 2");
    expect_line(&view, "tillway_db_statement_errors_total{statement=\"product_get\","
                       "sqlstate=\"08006\"} 1");
    expect_line(&view, "tillway_db_statement_errors_total{statement=\"product_get\","
                       "sqlstate=\"other\"} 1");
    expect_line(&view, "tillway_db_queue_wait_seconds_bucket{lane=\"write\",le=\"0.0025\"} 0");
    expect_line(&view, "tillway_db_queue_wait_seconds_count{lane=\"write\"} 2");
    expect_absent(&view, "statement=\"product_list\"");
    expect_absent(&view, "session_setup");
    expect_absent(&view, "migrate_");
}

static void a_statement_that_only_failed_says_so(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    tw_statement_failed(&tw_shared_worker(view.shared, 2)->statements[TW_STMT_PRODUCT_LIST],
                        "57014");
    expect_line(&view, "tillway_db_statement_errors_total{statement=\"product_list\","
                       "sqlstate=\"57014\"} 1");
    expect_line(&view, "tillway_db_statement_errors_total{statement=\"product_list\","
                       "sqlstate=\"08006\"} 0");
    expect_line(&view, "tillway_db_statement_rows_total{statement=\"product_list\"} 0");
    expect_absent(&view, "duration_seconds_sum{statement=");
}

static void sales_by_store_currency_and_method(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    expect_absent(&view, "store=");
    struct tw_sales_event event = {TW_SALES_SALE, TW_STR("main"), TW_STR("EUR"), TW_STR("cash"),
                                   250};
    for (unsigned row = 0; row < 2; row++)
        tw_sales_add(tw_shared_sales(view.shared), row, &event);
    event.kind = TW_SALES_REFUND;
    tw_sales_add(tw_shared_sales(view.shared), 0, &event);
    event.store = TW_STR("a\"b\\c\nd");
    tw_sales_add(tw_shared_sales(view.shared), 0, &event);
    expect_line(&view, "tillway_sales_total{store=\"main\",currency=\"EUR\","
                       "payment_method=\"cash\"} 2");
    expect_line(&view, "tillway_revenue_minor_total{store=\"main\",currency=\"EUR\","
                       "payment_method=\"cash\"} 500");
    expect_line(&view, "tillway_refunds_total{store=\"main\",currency=\"EUR\","
                       "payment_method=\"cash\"} 1");
    expect_line(&view, "tillway_voided_minor_total{store=\"main\",currency=\"EUR\","
                       "payment_method=\"cash\"} 0");
    expect_line(&view, "tillway_refunded_minor_total{store=\"a\\\"b\\\\c\\nd\",currency=\"EUR\","
                       "payment_method=\"cash\"} 250");
}

static void key_sets_have_lines_only_for_uris(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    expect_absent(&view, "tillway_jwks");
    struct tw_jwks_stats stats[] = {
        {.issuer = 0, .fetches_ok = 2, .fetches_failed = 1, .last_ok_us = 7500000},
        {.issuer = 3, .fetches_failed = 6},
    };
    view.jwks = stats;
    view.n_jwks = TW_COUNT(stats);
    expect_line(&view, "tillway_jwks_fetches_total{issuer=\"0\",result=\"ok\"} 2");
    expect_line(&view, "tillway_jwks_fetches_total{issuer=\"3\",result=\"error\"} 6");
    expect_line(&view, "tillway_jwks_age_seconds{issuer=\"0\"} 1.500000");
    expect_absent(&view, "tillway_jwks_age_seconds{issuer=\"3\"}"); // never fetched
}

// Every sample stands under the TYPE of its own name, and no name is typed twice.
static void every_name_is_described_once(void **state)
{
    (void)state;
    struct tw_metrics_view view = new_view();
    char *text = text_of(&view), *rest = NULL;
    char typed[128][96];
    size_t n = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# HELP ", 7) == 0)
            continue;
        if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_true(n < TW_COUNT(typed));
            snprintf(typed[n], sizeof(typed[n]), "%.*s", (int)strcspn(line + 7, " "), line + 7);
            for (size_t i = 0; i < n; i++)
                assert_string_not_equal(typed[i], typed[n]);
            n++;
            continue;
        }
        assert_true(n > 0);
        assert_int_equal(strncmp(line, typed[n - 1], strlen(typed[n - 1])), 0);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(scalars_are_summed_over_pages, free_shared),
        cmocka_unit_test_teardown(gauges_may_be_negative_on_one_page, free_shared),
        cmocka_unit_test_teardown(facts_of_the_process, free_shared),
        cmocka_unit_test_teardown(readiness_and_what_is_missing, free_shared),
        cmocka_unit_test_teardown(processes_are_what_the_kernel_says, free_shared),
        cmocka_unit_test_teardown(limits_by_policy, free_shared),
        cmocka_unit_test_teardown(problems_by_code, free_shared),
        cmocka_unit_test_teardown(requests_by_route_and_class, free_shared),
        cmocka_unit_test_teardown(buckets_are_cumulative_and_closed_above, free_shared),
        cmocka_unit_test_teardown(an_empty_histogram_is_left_out, free_shared),
        cmocka_unit_test_teardown(statements_have_durations_rows_and_errors, free_shared),
        cmocka_unit_test_teardown(a_statement_that_only_failed_says_so, free_shared),
        cmocka_unit_test_teardown(sales_by_store_currency_and_method, free_shared),
        cmocka_unit_test_teardown(key_sets_have_lines_only_for_uris, free_shared),
        cmocka_unit_test_teardown(every_name_is_described_once, free_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
