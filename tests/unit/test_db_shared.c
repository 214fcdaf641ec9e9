// SPDX-License-Identifier: Apache-2.0
#include "gateway/db_shared.h"

#include "tests/unit/test_kit.h"

static struct tw_db_shared shared;

static int start(void **state)
{
    (void)state;
    shared = (struct tw_db_shared){0};
    return 0;
}

// D1: after an outage a second's worth begins at once, and no second sees more than the rate on
// top of that, however impatient the workers are.
static void test_connections_are_counted(void **state)
{
    (void)state;
    uint64_t now_us = 5000000;
    unsigned n = 0;
    while (tw_db_connect_wait_us(&shared, 20, now_us) == 0)
        n++;
    assert_int_equal(n, 20);
    for (unsigned turns = 0; turns < 3000; turns++)
        n += tw_db_connect_wait_us(&shared, 20, now_us += 1000) == 0;
    assert_int_equal(n, 20 + 60);
}

static void test_the_wait_is_exact(void **state)
{
    (void)state;
    uint64_t now_us = 5000000, wait_us;
    while ((wait_us = tw_db_connect_wait_us(&shared, 10, now_us)) == 0)
        continue;
    assert_int_not_equal(tw_db_connect_wait_us(&shared, 10, now_us + wait_us - 1), 0);
    assert_int_equal(tw_db_connect_wait_us(&shared, 10, now_us + wait_us), 0);
}

static void test_a_principal_has_written(void **state)
{
    (void)state;
    assert_int_equal(tw_db_written_us(&shared, 7), 0);
    tw_db_written(&shared, 7, 100);
    tw_db_written(&shared, 7, 90); // another worker, a little late
    assert_int_equal(tw_db_written_us(&shared, 7), 100);
    assert_int_equal(tw_db_written_us(&shared, 8), 0);
    assert_int_equal(tw_db_written_us(&shared, 7 + TW_DB_WRITTEN_SLOTS), 100);
    tw_db_written(&shared, 0, 200); // nobody
    assert_int_equal(tw_db_written_us(&shared, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_connections_are_counted, start),
        cmocka_unit_test_setup(test_the_wait_is_exact, start),
        cmocka_unit_test_setup(test_a_principal_has_written, start),
    };
    return cmocka_run_group_tests_name("db_shared", tests, NULL, NULL);
}
