// SPDX-License-Identifier: Apache-2.0
// status_history: differences of counters, values of gauges, the ring; states of workers.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/status_history.h"
#include "gateway/worker_list.h"

static const struct tw_route rows[] = {{.method = TW_GET, .pattern = "/v1/things"}};
static const struct tw_route_table routes = {rows, TW_STR(""), TW_COUNT(rows)};

static struct tw_shared *shared; // of the test that runs
static struct tw_status_history *history;
static struct tw_metrics_view view;

static int set_up(void **state)
{
    (void)state;
    shared = tw_shared_new(2, 1);
    assert_non_null(shared);
    view = (struct tw_metrics_view){
        .shared = shared, .n_pages = 2, .routes = &routes, .now_us = 1000000};
    tw_metric_add(tw_shared_worker(shared, 0), TW_METRIC_SALES_RECORDED, 100); // long ago
    history = tw_status_history_new(&view);
    assert_non_null(history);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tw_status_history_free(history);
    tw_shared_free(shared);
    return 0;
}

// What the tick after `ms` more has taken, or NULL.
static const struct tw_status_sample *tick(unsigned ms)
{
    uint64_t before = tw_status_history_newest(history);
    view.now_us += ms * (uint64_t)1000;
    tw_status_history_tick(history, &view, 1795000000000);
    uint64_t newest = tw_status_history_newest(history);
    return newest > before ? tw_status_history_sample(history, newest) : NULL;
}

static void test_counters_are_differences_and_gauges_are_values(void **state)
{
    (void)state;
    struct tw_worker_page *one = tw_shared_worker(shared, 0), *two = tw_shared_worker(shared, 1);
    tw_metric_add(one, TW_METRIC_SALES_RECORDED, 3);
    tw_metric_add(two, TW_METRIC_SALES_RECORDED, 4);
    tw_metric_set(one, TW_METRIC_CONNECTIONS_OPEN, 5);
    tw_stats_request(two, 1, 503, 700);
    tw_histogram_add(&one->queue_waits[1], 100);
    tw_cell_add(&two->problems[TW_OVERLOADED], 1);
    const struct tw_status_sample *sample = tick(2000);
    assert_non_null(sample);
    assert_int_equal(sample->number, 1);
    assert_int_equal(sample->span_ms, 2000);
    assert_int_equal(sample->at_unix_ms, 1795000000000);
    assert_int_equal(sample->metrics[TW_METRIC_SALES_RECORDED], 7);
    assert_int_equal(sample->metrics[TW_METRIC_CONNECTIONS_OPEN], 5);
    assert_int_equal(tw_status_route(sample, 1)->by_class[5], 1);
    assert_int_equal(tw_status_route(sample, 1)->buckets[2], 1);
    assert_int_equal(tw_status_route(sample, 0)->by_class[5], 0);
    assert_int_equal(sample->queue_waits[1][0], 1);
    assert_int_equal(sample->problems[TW_OVERLOADED], 1);

    sample = tick(2100);
    assert_int_equal(sample->span_ms, 2100);
    assert_int_equal(sample->metrics[TW_METRIC_SALES_RECORDED], 0);
    assert_int_equal(sample->metrics[TW_METRIC_CONNECTIONS_OPEN], 5);
    assert_int_equal(tw_status_route(sample, 1)->by_class[5], 0);
    assert_int_equal(sample->queue_waits[1][0], 0);
}

static void sell(unsigned row, const char *currency, const char *store, int64_t minor)
{
    const struct tw_sales_event event = {TW_SALES_SALE, tw_str_of(store), tw_str_of(currency),
                                         TW_STR("card"), minor};
    tw_sales_add(tw_shared_sales(shared), row, &event);
}

static void test_what_was_sold_by_currency(void **state)
{
    (void)state;
    sell(0, "USD", "main", 1000);
    sell(1, "USD", "north", 250);
    const struct tw_status_sold *sold = tick(2000)->sold;
    assert_string_equal(sold[0].currency, "USD");
    assert_int_equal(sold[0].sales, 2);
    assert_int_equal(sold[0].minor, 1250);
    assert_null(sold[1].currency);
    sell(0, "EUR", "main", 5);
    sell(0, "USD", "main", 70);
    sold = tick(2000)->sold;
    const struct tw_status_sold *dollars = strcmp(sold[0].currency, "USD") == 0 ? sold : sold + 1;
    assert_int_equal(dollars->sales, 1);
    assert_int_equal(dollars->minor, 70);
    sold = tick(2000)->sold;
    assert_int_equal(sold[0].sales + sold[1].sales, 0);
}

static void test_a_sample_is_taken_when_it_is_time(void **state)
{
    (void)state;
    assert_null(tick(500));
    assert_null(tick(1000));
    assert_non_null(tick(480)); // a tick that is a little early
    assert_null(tick(500));
    assert_non_null(tick(9000)); // the machine was asleep
    assert_int_equal(tw_status_history_newest(history), 2);
}

static void test_the_ring_forgets_the_oldest(void **state)
{
    (void)state;
    assert_null(tw_status_history_sample(history, 0));
    assert_null(tw_status_history_sample(history, 1));
    for (unsigned i = 0; i < TW_STATUS_SAMPLES + 2; i++) {
        tw_stats_request(tw_shared_worker(shared, 0), 1, 200, i);
        assert_int_equal(tw_status_route(tick(2000), 1)->by_class[2], 1);
    }
    assert_null(tw_status_history_sample(history, 2));
    assert_int_equal(tw_status_history_sample(history, 3)->number, 3);
    assert_int_equal(tw_status_history_sample(history, TW_STATUS_SAMPLES + 2)->number,
                     TW_STATUS_SAMPLES + 2);
    assert_null(tw_status_history_sample(history, TW_STATUS_SAMPLES + 3));
}

static void test_states_of_workers(void **state)
{
    (void)state;
    const uint64_t now = 100000000;
    struct tw_worker_seen worker = {.life = {.alive = true, .started_us = now - 1000}};
    assert_string_equal(tw_worker_state(&worker, now), "starting");
    worker.life.heartbeat_us = now + 1; // the worker's clock reading is a little ahead
    assert_string_equal(tw_worker_state(&worker, now), "unready");
    worker.life.ready = TW_READY_ALL;
    assert_string_equal(tw_worker_state(&worker, now), "serving");
    worker.waits = true;
    assert_string_equal(tw_worker_state(&worker, now), "waiting");
    worker.leaves = true;
    assert_string_equal(tw_worker_state(&worker, now), "draining");
    worker.life.heartbeat_us = now - TW_HEARTBEAT_MAX_US - 1;
    assert_string_equal(tw_worker_state(&worker, now), "stuck");
    worker.life.heartbeat_us = now;
    worker.is_stuck = true;
    assert_string_equal(tw_worker_state(&worker, now), "stuck");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counters_are_differences_and_gauges_are_values, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_sold_by_currency, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_sample_is_taken_when_it_is_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_ring_forgets_the_oldest, set_up, tear_down),
        cmocka_unit_test(test_states_of_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
