// SPDX-License-Identifier: Apache-2.0
// readiness: which workers count, and what is said to be missing.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/readiness.h"
#include "gateway/shared.h"

#define NOW_US 100000000u

// A worker that has been ready before and turned its loop just now.
static struct tw_worker_life settled(uint32_t bits)
{
    return (struct tw_worker_life){.alive = true,
                                   .was_ready = true,
                                   .started_us = NOW_US - 60000000,
                                   .heartbeat_us = NOW_US - 100000,
                                   .ready = bits};
}

// One that was started a second ago.
static struct tw_worker_life fresh(uint32_t bits)
{
    return (struct tw_worker_life){.alive = true,
                                   .started_us = NOW_US - 1000000,
                                   .heartbeat_us = NOW_US - 100000,
                                   .ready = bits};
}

static const struct tw_worker_life dead;

static struct tw_readiness of_two(struct tw_worker_life a, struct tw_worker_life b)
{
    const struct tw_worker_life both[] = {a, b};
    return tw_readiness_of(both, 2, false, NOW_US);
}

static void all_ready(void **state)
{
    (void)state;
    struct tw_readiness r = of_two(settled(TW_READY_ALL), settled(TW_READY_ALL));
    assert_true(r.ready);
    assert_int_equal(r.n_ready, 2);
    assert_int_equal(r.n_expected, 2);
    assert_int_equal(r.reasons, 0);
}

static void a_fresh_or_dead_one_does_not_count(void **state)
{
    (void)state;
    struct tw_worker_life silent = fresh(0);
    silent.heartbeat_us = 0;
    assert_true(of_two(settled(TW_READY_ALL), fresh(TW_READY_SERVING)).ready);
    assert_true(of_two(settled(TW_READY_ALL), silent).ready);
    assert_true(of_two(settled(TW_READY_ALL), dead).ready);
}

static void a_settled_one_counts(void **state)
{
    (void)state;
    struct tw_worker_life old = fresh(TW_READY_ALL & ~TW_READY_DB_WRITE);
    old.started_us = NOW_US - TW_READINESS_SETTLE_US - 1; // never ready, for too long
    assert_int_equal(of_two(settled(TW_READY_ALL), old).reasons, TW_UNREADY_DATABASE);
    struct tw_readiness r = of_two(settled(TW_READY_ALL), settled(TW_READY_ALL & ~TW_READY_KEYS));
    assert_false(r.ready);
    assert_int_equal(r.n_ready, 1);
    assert_int_equal(r.reasons, TW_UNREADY_KEYS);
}

static void without_any_ready_worker_everything_that_is_missing_is_said(void **state)
{
    (void)state;
    assert_int_equal(of_two(fresh(TW_READY_ALL & ~TW_READY_KEYS), fresh(TW_READY_SERVING)).reasons,
                     TW_UNREADY_KEYS | TW_UNREADY_DATABASE);
    assert_int_equal(of_two(dead, dead).reasons, TW_UNREADY_WORKERS);
    assert_int_equal(tw_readiness_of(NULL, 0, false, NOW_US).reasons, TW_UNREADY_WORKERS);
}

static void a_worker_whose_loop_stands_is_not_ready(void **state)
{
    (void)state;
    struct tw_worker_life stuck = settled(TW_READY_ALL);
    stuck.heartbeat_us = NOW_US - TW_HEARTBEAT_MAX_US - 1;
    assert_int_equal(of_two(stuck, settled(TW_READY_ALL)).reasons, TW_UNREADY_WORKERS);
    stuck.heartbeat_us = NOW_US + 50; // the worker looked at the clock after we did
    assert_true(of_two(stuck, settled(TW_READY_ALL)).ready);
}

static void draining_is_never_ready(void **state)
{
    (void)state;
    struct tw_worker_life one = settled(TW_READY_ALL);
    struct tw_readiness r = tw_readiness_of(&one, 1, true, NOW_US);
    assert_false(r.ready);
    assert_true(r.draining);
    assert_int_equal(r.reasons, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ready),
        cmocka_unit_test(a_fresh_or_dead_one_does_not_count),
        cmocka_unit_test(a_settled_one_counts),
        cmocka_unit_test(without_any_ready_worker_everything_that_is_missing_is_said),
        cmocka_unit_test(a_worker_whose_loop_stands_is_not_ready),
        cmocka_unit_test(draining_is_never_ready),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
