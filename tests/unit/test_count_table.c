// SPDX-License-Identifier: Apache-2.0
// count_table: the sum over workers, and what a dead worker leaves.
#include "tests/unit/test_kit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "gateway/count_table.h"

static void test_sum_over_workers(void **state)
{
    (void)state;
    struct tw_count_table *table = tw_count_table_new(3);
    const struct tw_str a = TW_STR("\x7f\0\0\1"), b = TW_STR("\x7f\0\0\2");
    assert_int_equal(tw_count_table_add(table, 0, a), 1);
    assert_int_equal(tw_count_table_add(table, 0, a), 2);
    assert_int_equal(tw_count_table_add(table, 2, a), 3);
    assert_int_equal(tw_count_table_add(table, 1, b), 1);
    tw_count_table_remove(table, 0, a);
    assert_int_equal(tw_count_table_add(table, 1, a), 3);
    tw_count_table_clear(table, 0); // a worker has died
    assert_int_equal(tw_count_table_add(table, 2, a), 3);
    tw_count_table_remove(table, 0, a); // nothing left to take away
    assert_int_equal(tw_count_table_add(table, 0, a), 4);
}

static void test_only_rows_in_use_are_summed(void **state)
{
    (void)state;
    struct tw_count_table *table = tw_count_table_new(100);
    const struct tw_str key = TW_STR("peer");
    tw_count_table_use(table, 2);
    assert_int_equal(tw_count_table_add(table, 0, key), 1);
    assert_int_equal(tw_count_table_add(table, 1, key), 2);
    tw_count_table_use(table, 4); // another generation of workers
    assert_int_equal(tw_count_table_add(table, 3, key), 3);
}

static void test_over_processes(void **state)
{
    (void)state;
    enum { WORKERS = 4, EACH = 1000 };
    struct tw_count_table *table = tw_count_table_new(WORKERS);
    const struct tw_str key = TW_STR("peer");
    for (unsigned i = 0; i < WORKERS; i++)
        if (fork() == 0) {
            for (int n = 0; n < EACH; n++)
                (void)tw_count_table_add(table, i, key);
            _exit(0);
        }
    for (unsigned i = 0; i < WORKERS; i++)
        assert_true(wait(NULL) > 0);
    assert_int_equal(tw_count_table_add(table, 0, key), WORKERS * EACH + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_over_workers),
        cmocka_unit_test(test_only_rows_in_use_are_summed),
        cmocka_unit_test(test_over_processes),
    };
    return cmocka_run_group_tests_name("count table", tests, NULL, NULL);
}
