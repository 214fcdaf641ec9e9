// SPDX-License-Identifier: Apache-2.0
// sales_stats: sums over workers, and that no client makes them grow without a bound.
#include "tests/unit/test_kit.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/sales_stats.h"

enum { ROWS = 4 };

static struct tw_sales_stats *stats;

static int start(void **state)
{
    (void)state;
    stats = tw_sales_stats_new(ROWS);
    return stats ? 0 : -1;
}

static void add(unsigned row, const char *store, const char *currency, const char *method,
                int64_t minor)
{
    const struct tw_sales_event event = {TW_SALES_SALE, tw_str_of(store), tw_str_of(currency),
                                         tw_str_of(method), minor};
    tw_sales_add(stats, row, &event);
}

// Of this combination, which must stand there once; zeros when it does not stand there at all.
static struct tw_sales_sum sum_of(const char *store, const char *currency, const char *method)
{
    size_t n, found = 0;
    struct tw_sales_sum *sums = tw_sales_sums(stats, ROWS, &n), out = {0};
    for (size_t i = 0; i < n; i++) {
        if (strcmp(sums[i].store, store) != 0 || strcmp(sums[i].currency, currency) != 0 ||
            strcmp(sums[i].payment_method, method) != 0)
            continue;
        out = sums[i];
        found++;
    }
    assert_true(found <= 1);
    free(sums);
    return out;
}

static size_t count(void)
{
    size_t n;
    free(tw_sales_sums(stats, ROWS, &n));
    return n;
}

static void test_nothing_is_there_before_the_first(void **state)
{
    (void)state;
    size_t n = 1;
    assert_null(tw_sales_sums(stats, ROWS, &n));
    assert_int_equal(n, 0);
}

static void test_sums_over_workers(void **state)
{
    (void)state;
    add(0, "main", "EUR", "cash", 100);
    add(3, "main", "EUR", "cash", 250);
    add(1, "main", "EUR", "card", 7);
    add(1, "north", "EUR", "cash", 9);
    struct tw_sales_sum sum = sum_of("main", "EUR", "cash");
    assert_int_equal(sum.n[TW_SALES_SALE], 2);
    assert_int_equal(sum.total_minor[TW_SALES_SALE], 350);
    assert_int_equal(sum.n[TW_SALES_REFUND], 0);
    assert_int_equal(sum_of("main", "EUR", "card").total_minor[TW_SALES_SALE], 7);
    assert_int_equal(sum_of("north", "EUR", "cash").total_minor[TW_SALES_SALE], 9);
    assert_int_equal(count(), 3);
}

static void test_refunds_and_voids_have_cells_of_their_own(void **state)
{
    (void)state;
    const struct tw_str store = TW_STR("main"), currency = TW_STR("EUR"), cash = TW_STR("cash");
    const struct tw_sales_event refund = {TW_SALES_REFUND, store, currency, cash, 30};
    const struct tw_sales_event undone = {TW_SALES_VOID, store, currency, cash, 40};
    tw_sales_add(stats, 0, &refund);
    tw_sales_add(stats, 0, &undone);
    tw_sales_add(stats, 1, &undone);
    struct tw_sales_sum sum = sum_of("main", "EUR", "cash");
    assert_int_equal(sum.n[TW_SALES_SALE], 0);
    assert_int_equal(sum.n[TW_SALES_REFUND], 1);
    assert_int_equal(sum.total_minor[TW_SALES_REFUND], 30);
    assert_int_equal(sum.n[TW_SALES_VOID], 2);
    assert_int_equal(sum.total_minor[TW_SALES_VOID], 80);
}

static void test_what_finds_no_room_is_other(void **state)
{
    (void)state;
    char name[32];
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(name, sizeof(name), "store-%u", i);
        add(i % ROWS, name, "EUR", "cash", 1);
    }
    struct tw_sales_sum sum = sum_of("other", "EUR", "cash");
    assert_int_equal(count(), TW_SALES_STORES + 1);
    assert_int_equal(sum.n[TW_SALES_SALE], 10000 - TW_SALES_STORES);
    assert_int_equal(sum_of("store-0", "EUR", "cash").n[TW_SALES_SALE], 1);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "method-%u", i);
        add(0, "store-0", "EUR", name, 1);
        snprintf(name, sizeof(name), "%c%c%c", 'A' + i % 26, 'A' + i / 26 % 26, 'A' + i / 676);
        add(1, "store-0", name, "cash", 1);
    }
    assert_int_equal(sum_of("store-0", "EUR", "other").n[TW_SALES_SALE],
                     1000 - (TW_SALES_METHODS - 1));
    assert_int_equal(count(), TW_SALES_STORES + 1 + TW_SALES_METHODS + TW_SALES_CURRENCIES);
    add(2, "store-0", "EUR", "cash", 1); // who was first stays
    assert_int_equal(sum_of("store-0", "EUR", "cash").n[TW_SALES_SALE], 2);
}

static void test_names_that_are_no_names(void **state)
{
    (void)state;
    char longest[TW_SALES_NAME_MAX + 1], longer[TW_SALES_NAME_MAX + 2];
    memset(longest, 'l', sizeof(longest) - 1);
    memset(longer, 'l', sizeof(longer) - 1);
    longest[sizeof(longest) - 1] = longer[sizeof(longer) - 1] = '\0';
    add(0, longest, "EUR", "cash", 1);
    add(0, longer, "EUR", "cash", 1);
    add(0, "", "EUR", "cash", 1);
    add(0, "other", "EUR", "cash", 1); // a store of that name shares its series
    assert_int_equal(sum_of(longest, "EUR", "cash").n[TW_SALES_SALE], 1);
    assert_int_equal(sum_of("other", "EUR", "cash").n[TW_SALES_SALE], 3);
    assert_int_equal(count(), 2);
}

// All begin at once with the same names in another order: each name has one slot, nothing is lost.
static void test_over_processes(void **state)
{
    (void)state;
    enum { NAMES = 101, TURNS = 20 };
    char name[32];
    for (unsigned row = 0; row < ROWS; row++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid > 0)
            continue;
        for (unsigned i = 0; i < NAMES * TURNS; i++) {
            snprintf(name, sizeof(name), "s%u", (i * (2 * row + 1) + row) % NAMES);
            add(row, name, "EUR", "cash", 1);
        }
        _exit(0);
    }
    for (unsigned row = 0; row < ROWS; row++)
        assert_true(wait(NULL) > 0);
    assert_int_equal(count(), NAMES);
    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        assert_int_equal(sum_of(name, "EUR", "cash").n[TW_SALES_SALE], ROWS * TURNS);
    }
}

static void test_low_stock(void **state)
{
    (void)state;
    uint64_t n_low[TW_SALES_STORES + 1] = {0}, n;
    const char *store;
    unsigned main_store = tw_sales_store(stats, TW_STR("main"));
    assert_false(tw_sales_low_stock(stats, main_store, &store, &n)); // nobody has counted
    n_low[main_store] = 3;
    tw_sales_low_stock_set(stats, n_low);
    assert_true(tw_sales_low_stock(stats, main_store, &store, &n));
    assert_string_equal(store, "main");
    assert_int_equal(n, 3);
    assert_false(tw_sales_low_stock(stats, TW_SALES_STORES, &store, &n)); // no store is "other"
    assert_false(tw_sales_low_stock(stats, (main_store + 1) % TW_SALES_STORES, &store, &n));
    n_low[main_store] = 0;
    n_low[TW_SALES_STORES] = 7;
    tw_sales_low_stock_set(stats, n_low);
    assert_true(tw_sales_low_stock(stats, main_store, &store, &n));
    assert_int_equal(n, 0);
    assert_true(tw_sales_low_stock(stats, TW_SALES_STORES, &store, &n));
    assert_string_equal(store, "other");
    assert_int_equal(n, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_is_there_before_the_first, start),
        cmocka_unit_test_setup(test_sums_over_workers, start),
        cmocka_unit_test_setup(test_refunds_and_voids_have_cells_of_their_own, start),
        cmocka_unit_test_setup(test_what_finds_no_room_is_other, start),
        cmocka_unit_test_setup(test_names_that_are_no_names, start),
        cmocka_unit_test_setup(test_over_processes, start),
        cmocka_unit_test_setup(test_low_stock, start),
    };
    return cmocka_run_group_tests_name("sales_stats", tests, NULL, NULL);
}
