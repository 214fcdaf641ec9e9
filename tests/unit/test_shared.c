// SPDX-License-Identifier: Apache-2.0
// shared: counters that only their owner writes, and documents that are never read half old.
#include "tests/unit/test_kit.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/shared.h"

enum { WORKERS = 3, ISSUERS = 2 };

static struct tw_shared *shared;
static char read_buffer[TW_DOCUMENT_MAX_BYTES + 1];
static char text_buffer[TW_DOCUMENT_MAX_BYTES + 1];

static int make_shared(void **state)
{
    (void)state;
    shared = tw_shared_new(WORKERS, ISSUERS + 1);
    return shared ? 0 : -1;
}

static int free_shared(void **state)
{
    (void)state;
    tw_shared_free(shared);
    return 0;
}

static void test_new_is_zero(void **state)
{
    (void)state;
    uint64_t generation;
    size_t size;
    for (unsigned i = 0; i < WORKERS; i++) {
        const unsigned char *page = (const unsigned char *)tw_shared_worker(shared, i);
        assert_int_equal((uintptr_t)page % 64, 0); // cache lines of its own
        for (size_t j = 0; j < sizeof(struct tw_worker_page); j++)
            assert_int_equal(page[j], 0);
    }
    for (size_t i = 0; i <= ISSUERS; i++) {
        assert_int_equal(tw_shared_document_generation(shared, i), 0);
        assert_false(tw_shared_document_read(shared, i, read_buffer, &size, &generation));
        assert_false(tw_shared_document_is(shared, i, TW_STR("")));
    }
    struct tw_shared *another = tw_shared_new(1, 1);
    assert_non_null(another);
    tw_shared_free(another);
}

static void test_next_has_the_pages_and_slots_of_its_own(void **state)
{
    (void)state;
    struct tw_shared *next = tw_shared_next(shared, 3);
    assert_non_null(next);
    assert_ptr_equal(tw_shared_worker(next, 1), tw_shared_worker(shared, 1));
    assert_ptr_equal(tw_shared_db(next), tw_shared_db(shared));
    assert_ptr_equal(tw_shared_sales(next), tw_shared_sales(shared));
    assert_true(tw_shared_document_publish(next, 2, TW_STR("new")));
    assert_int_equal(tw_shared_document_generation(shared, 2), 0);
    tw_shared_free(next);
    assert_non_null(tw_shared_worker(shared, 1));
    tw_shared_free(NULL);
}

static uint64_t load(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static void test_metrics(void **state)
{
    (void)state;
    struct tw_worker_page *page = tw_shared_worker(shared, 1);
    tw_metric_add(page, TW_METRIC_DB_QUERIES, 3);
    tw_metric_add(page, TW_METRIC_DB_QUERIES, 4);
    tw_metric_add(page, TW_METRIC_REQUESTS_IN_FLIGHT, -1); // a gauge may go below its start
    tw_metric_set(page, TW_METRIC_CONNECTIONS_OPEN, -2);
    assert_int_equal(load(&page->metrics[TW_METRIC_DB_QUERIES]), 7);
    assert_int_equal((int64_t)load(&page->metrics[TW_METRIC_REQUESTS_IN_FLIGHT]), -1);
    assert_int_equal((int64_t)load(&page->metrics[TW_METRIC_CONNECTIONS_OPEN]), -2);
    assert_int_equal(load(&tw_shared_worker(shared, 0)->metrics[TW_METRIC_DB_QUERIES]), 0);
    assert_int_equal(load(&tw_shared_worker(shared, 2)->metrics[TW_METRIC_DB_QUERIES]), 0);
}

static void test_request_classes(void **state)
{
    (void)state;
    static const struct {
        unsigned http_status, class;
    } cases[] = {{0, 0},   {101, 1}, {200, 2}, {299, 2}, {304, 3}, {400, 4},
                 {499, 4}, {500, 5}, {504, 5}, {600, 5}, {999, 5}};
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_worker_page *page = tw_shared_worker(shared, 0);
        uint64_t before[6];
        for (unsigned class = 0; class < 6; class ++)
            before[class] = load(&page->routes[2].by_class[class]);
        tw_stats_request(page, 2, cases[i].http_status, 10);
        for (unsigned class = 0; class < 6; class ++)
            assert_int_equal(load(&page->routes[2].by_class[class]) - before[class],
                             class == cases[i].class);
    }
}

// A bucket counts what is at most its bound; the last one everything above.
static void test_latency_buckets(void **state)
{
    (void)state;
    static const uint64_t bounds[] = TW_LATENCY_BOUNDS_US;
    struct tw_worker_page *page = tw_shared_worker(shared, 0);
    struct tw_route_stats *stats = &page->routes[1];
    assert_int_equal(TW_COUNT(bounds) + 1, TW_LATENCY_BUCKETS);
    uint64_t sum_us = 0;
    for (size_t i = 0; i < TW_COUNT(bounds); i++) {
        assert_true(i == 0 || bounds[i] > bounds[i - 1]);
        tw_stats_request(page, 1, 200, bounds[i]);
        assert_int_equal(load(&stats->latency.buckets[i]), i == 0 ? 1 : 2);
        tw_stats_request(page, 1, 200, bounds[i] + 1);
        assert_int_equal(load(&stats->latency.buckets[i + 1]), 1);
        sum_us += 2 * bounds[i] + 1;
    }
    tw_stats_request(page, 1, 200, 0);
    assert_int_equal(load(&stats->latency.buckets[0]), 2);
    tw_stats_request(page, 1, 200, UINT32_MAX);
    assert_int_equal(load(&stats->latency.buckets[TW_LATENCY_BUCKETS - 1]), 2);
    assert_int_equal(load(&stats->latency.sum_us), sum_us + UINT32_MAX);
}

// A row that no table may have is counted among the unmatched, not behind the page.
static void test_request_rows(void **state)
{
    (void)state;
    struct tw_worker_page *page = tw_shared_worker(shared, 0);
    tw_stats_request(page, TW_STATS_ROUTES_MAX - 1, 200, 1);
    assert_int_equal(load(&page->routes[TW_STATS_ROUTES_MAX - 1].by_class[2]), 1);
    tw_stats_request(page, TW_STATS_ROUTES_MAX, 200, 1);
    tw_stats_request(page, UINT32_MAX, 200, 1);
    assert_int_equal(load(&page->routes[0].by_class[2]), 2);
}

// Children write their own pages at the same time; nothing is lost, and all is still there after
// they are gone.
static void test_workers_count_at_once(void **state)
{
    (void)state;
    enum { N = 200000 };
    pid_t children[WORKERS];
    int status;
    for (unsigned i = 0; i < WORKERS; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            struct tw_worker_page *page = tw_shared_worker(shared, i);
            for (unsigned j = 0; j < N; j++) {
                tw_metric_add(page, TW_METRIC_DB_SYNCS, 1);
                tw_stats_request(page, 0, 200, 1);
            }
            _exit(0);
        }
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
        struct tw_worker_page *page = tw_shared_worker(shared, i);
        assert_int_equal(load(&page->metrics[TW_METRIC_DB_SYNCS]), N);
        assert_int_equal(load(&page->routes[0].by_class[2]), N);
        assert_int_equal(load(&page->routes[0].latency.buckets[0]), N);
    }
}

// ---- documents ----------------------------------------------------------------------------------

static void assert_document(size_t slot, struct tw_str expected, uint64_t expected_generation)
{
    uint64_t generation;
    size_t size;
    memset(read_buffer, '#', sizeof read_buffer);
    assert_true(tw_shared_document_read(shared, slot, read_buffer, &size, &generation));
    assert_int_equal(generation, expected_generation);
    assert_int_equal(tw_shared_document_generation(shared, slot), expected_generation);
    assert_int_equal(size, expected.n);
    assert_memory_equal(read_buffer, expected.p, expected.n);
    assert_true(read_buffer[size] == '#');
}

static void test_documents(void **state)
{
    (void)state;
    assert_true(tw_shared_document_publish(shared, 0, TW_STR("one")));
    assert_document(0, TW_STR("one"), 1);
    assert_true(tw_shared_document_publish(shared, 0, TW_STR("a second one")));
    assert_document(0, TW_STR("a second one"), 2);
    assert_true(
        tw_shared_document_publish(shared, 0, TW_STR("a second one"))); // counts all the same
    assert_document(0, TW_STR("a second one"), 3);
    assert_true(tw_shared_document_publish(shared, 0, TW_STR("4")));
    assert_document(0, TW_STR("4"), 4);
    assert_int_equal(tw_shared_document_generation(shared, 1), 0); // the neighbour's is its own
    assert_true(tw_shared_document_publish(shared, 1, TW_STR("neighbour")));
    assert_document(0, TW_STR("4"), 4);
    assert_document(1, TW_STR("neighbour"), 1);
    assert_int_equal(tw_shared_document_generation(shared, ISSUERS),
                     0); // nor is it the last slot's
    assert_true(tw_shared_document_publish(shared, ISSUERS, TW_STR("deny list")));
    assert_document(ISSUERS, TW_STR("deny list"), 1);
    assert_document(1, TW_STR("neighbour"), 1);
}

// An empty document is one like any other, so that a reader learns that the last one has gone.
static void test_withdrawing(void **state)
{
    (void)state;
    assert_true(tw_shared_document_publish(shared, 0, TW_STR("one")));
    assert_true(tw_shared_document_publish(shared, 0, (struct tw_str){NULL, 0}));
    assert_document(0, TW_STR(""), 2);
    assert_true(tw_shared_document_publish(shared, 0, TW_STR("one")));
    assert_document(0, TW_STR("one"), 3);
}

static void test_document_is(void **state)
{
    (void)state;
    assert_true(tw_shared_document_publish(shared, 0, TW_STR("one")));
    assert_true(tw_shared_document_is(shared, 0, TW_STR("one")));
    assert_false(tw_shared_document_is(shared, 0, TW_STR("on")));
    assert_false(tw_shared_document_is(shared, 0, TW_STR("")));
    assert_false(tw_shared_document_is(shared, 1, TW_STR("one")));
    assert_true(tw_shared_document_publish(shared, 0, TW_STR("two")));
    assert_false(tw_shared_document_is(shared, 0, TW_STR("one")));
    assert_true(tw_shared_document_publish(shared, 0, TW_STR("")));
    assert_true(tw_shared_document_is(shared, 0, TW_STR("")));
    assert_false(tw_shared_document_is(shared, 0, TW_STR("two")));
}

static void test_largest_document(void **state)
{
    (void)state;
    memset(text_buffer, 'k', sizeof text_buffer);
    assert_true(
        tw_shared_document_publish(shared, 1, (struct tw_str){text_buffer, TW_DOCUMENT_MAX_BYTES}));
    assert_document(1, (struct tw_str){text_buffer, TW_DOCUMENT_MAX_BYTES}, 1);
    assert_true(tw_shared_document_publish(shared, 0, TW_STR("zero")));
    assert_false(tw_shared_document_publish(
        shared, 1, (struct tw_str){text_buffer, TW_DOCUMENT_MAX_BYTES + 1}));
    assert_document(1, (struct tw_str){text_buffer, TW_DOCUMENT_MAX_BYTES}, 1);
    assert_document(0, TW_STR("zero"), 1);
}

// Text number i: its first byte tells its letter and its length.
static struct tw_str make_text(unsigned i)
{
    char letter = (char)('a' + i % 26);
    size_t n = 1000 + i % 26 * 9000;
    memset(text_buffer, letter, n);
    return (struct tw_str){text_buffer, n};
}

static _Noreturn void publish_for_ever(void)
{
    for (unsigned i = 0;; i++) {
        if (!tw_shared_document_publish(shared, 0, make_text(i)))
            _exit(1);
        if (i % 2 == 0)
            tw_shared_document_wipe_previous(shared, 0); // nobody sees it half wiped
    }
}

// Another process publishes as fast as it can: each text read is whole, of one kind, and of the
// generation that it comes with; generations never go back.
static void test_reading_while_publishing(void **state)
{
    (void)state;
    enum { READS_MIN = 2000, TIME_MAX_US = 1500000 };
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        publish_for_ever();
    uint64_t last = 0, generation, reads = 0, changes = 0, start_us = tw_now_us();
    while (reads < READS_MIN || (changes < 100 && tw_now_us() - start_us < TIME_MAX_US)) {
        size_t size;
        assert_true(tw_now_us() - start_us < 20 * TIME_MAX_US);
        if (!tw_shared_document_read(shared, 0, read_buffer, &size, &generation))
            continue;
        unsigned i = (unsigned)(generation - 1);
        assert_true(generation >= last);
        assert_int_equal(size, 1000 + i % 26 * 9000);
        char letter = (char)('a' + i % 26);
        for (size_t j = 0; j < size; j++)
            if (read_buffer[j] != letter)
                fail_msg("generation %u: '%c' at %zu", i + 1, read_buffer[j], j);
        changes += generation != last;
        last = generation;
        reads++;
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(changes >= 10); // else nothing was tested
}

#define SHARED_TEST(name) cmocka_unit_test_setup_teardown(name, make_shared, free_shared)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARED_TEST(test_new_is_zero),
        SHARED_TEST(test_next_has_the_pages_and_slots_of_its_own),
        SHARED_TEST(test_metrics),
        SHARED_TEST(test_request_classes),
        SHARED_TEST(test_latency_buckets),
        SHARED_TEST(test_request_rows),
        SHARED_TEST(test_workers_count_at_once),
        SHARED_TEST(test_documents),
        SHARED_TEST(test_withdrawing),
        SHARED_TEST(test_document_is),
        SHARED_TEST(test_largest_document),
        SHARED_TEST(test_reading_while_publishing),
    };
    return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
