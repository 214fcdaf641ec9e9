// SPDX-License-Identifier: Apache-2.0
// db_shed: what is refused and let in again, in a time of the test's own.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/db_shed.h"

#define TARGET_US 20000
#define TICK_US   20000

struct world {
    struct tw_shed shed;
    uint64_t now_us;
};

static const uint64_t nobody[TW_LANE_COUNT];

static struct world world_new(uint64_t target_us)
{
    struct world world = {.now_us = 7000000};
    tw_shed_init(&world.shed, target_us, world.now_us);
    return world;
}

static void tick(struct world *world, uint64_t late_us, const uint64_t *oldest_us)
{
    world->now_us += TICK_US;
    tw_shed_tick(&world->shed, world->now_us, late_us, oldest_us);
}

// One interval in which a lane sends so many queries, each after the same delay.
static void interval(struct world *world, enum tw_lane lane, unsigned n, uint64_t delay_us)
{
    for (unsigned i = 0; i < n; i++)
        tw_shed_sent(&world->shed, lane, delay_us);
    for (unsigned i = 0; i < 5; i++)
        tick(world, 0, nobody);
}

static void writes(struct world *world, unsigned times, uint64_t delay_us)
{
    for (unsigned i = 0; i < times; i++)
        interval(world, TW_LANE_WRITE, 10, delay_us);
}

// How many queries of the priority find a place in the lane.
static unsigned room(const struct world *world, enum tw_lane lane, enum tw_priority priority)
{
    unsigned n = 0;
    while (n < 1000 && tw_shed_admits(&world->shed, lane, priority, n))
        n++;
    return n;
}

static void a_quiet_lane_takes_all(void **state)
{
    (void)state;
    struct world world = world_new(TARGET_US);
    interval(&world, TW_LANE_SLOW, 50, TARGET_US);
    assert_int_equal(room(&world, TW_LANE_SLOW, TW_PRIORITY_REPORT), 1000);
}

static void a_burst_is_no_overload(void **state)
{
    (void)state;
    struct world world = world_new(TARGET_US);
    tw_shed_sent(&world.shed, TW_LANE_SLOW, 500); // one found the queue empty
    interval(&world, TW_LANE_SLOW, 50, 10 * TARGET_US);
    assert_int_equal(room(&world, TW_LANE_SLOW, TW_PRIORITY_REPORT), 1000);
}

static void a_standing_lane_takes_what_it_can_do_in_time(void **state)
{
    (void)state;
    struct world world = world_new(TARGET_US);
    interval(&world, TW_LANE_SLOW, 100, 2 * TARGET_US); // 20 in each target's time
    assert_in_range(room(&world, TW_LANE_SLOW, TW_PRIORITY_REPORT), 40, 41);
    assert_in_range(room(&world, TW_LANE_SLOW, TW_PRIORITY_LIST), 60, 61);
    assert_in_range(room(&world, TW_LANE_SLOW, TW_PRIORITY_LOOKUP), 80, 81);
    assert_int_equal(room(&world, TW_LANE_SLOW, TW_PRIORITY_SALE), 1000);
    assert_int_equal(room(&world, TW_LANE_FAST, TW_PRIORITY_REPORT), 1000);
    interval(&world, TW_LANE_SLOW, 100, TARGET_US / 2 + 1);
    assert_in_range(room(&world, TW_LANE_SLOW, TW_PRIORITY_REPORT), 40, 41);
    interval(&world, TW_LANE_SLOW, 100, TARGET_US / 2);
    assert_int_equal(room(&world, TW_LANE_SLOW, TW_PRIORITY_REPORT), 1000);
}

static void a_lane_that_sends_nothing_takes_one(void **state)
{
    (void)state;
    struct world world = world_new(TARGET_US);
    const uint64_t oldest_us[] = {[TW_LANE_WRITE] = 100000, [TW_LANE_SLOW] = 100000};
    for (unsigned i = 0; i < 5; i++)
        tick(&world, 0, oldest_us);
    assert_int_equal(room(&world, TW_LANE_SLOW, TW_PRIORITY_LIST), 1);
    assert_int_equal(world.shed.level, 0); // it hangs: fewer reads would not help
}

static void writes_that_wait_cost_reads_their_place_one_after_the_other(void **state)
{
    (void)state;
    struct world world = world_new(TARGET_US);
    for (unsigned level = 1; level < TW_PRIORITY_COUNT; level++) {
        writes(&world, 1, 2 * TARGET_US);
        assert_int_equal(world.shed.level, level);
        for (unsigned p = 0; p < TW_PRIORITY_COUNT; p++)
            assert_int_equal(tw_shed_admits(&world.shed, TW_LANE_FAST, (enum tw_priority)p, 0),
                             p < TW_PRIORITY_COUNT - level);
    }
    writes(&world, 10, 2 * TARGET_US);
    assert_true(tw_shed_admits(&world.shed, TW_LANE_WRITE, TW_PRIORITY_SALE, 999));
}

static unsigned intervals_until(struct world *world, unsigned level)
{
    unsigned n = 0;
    while (world->shed.level != level && n < 1000) {
        writes(world, 1, 0);
        n++;
    }
    return n;
}

static void they_come_back_by_steps_and_later_when_it_was_too_early(void **state)
{
    (void)state;
    struct world world = world_new(TARGET_US);
    writes(&world, 2, 2 * TARGET_US);
    unsigned first = intervals_until(&world, 1);
    assert_in_range(first, 5, 20);
    writes(&world, 1, 2 * TARGET_US); // too early
    assert_int_equal(world.shed.level, 2);
    assert_int_equal(intervals_until(&world, 1), 2 * first);
    assert_int_equal(intervals_until(&world, 0), 2 * first);
    writes(&world, 200, 0);
    writes(&world, 1, 2 * TARGET_US);
    assert_int_equal(intervals_until(&world, 0), first);
}

static void a_lock_is_no_lack_of_cpu(void **state)
{
    (void)state;
    struct world world = world_new(TARGET_US);
    for (unsigned i = 0; i < 10; i++) {
        tw_shed_locked(&world.shed);
        writes(&world, 1, 5 * TARGET_US);
    }
    assert_int_equal(world.shed.level, 0);
}

static void a_late_loop_counts_like_waiting_writes(void **state)
{
    (void)state;
    struct world world = world_new(TARGET_US);
    for (unsigned i = 0; i < 5; i++)
        tick(&world, i == 2 ? 100 : 9 * TARGET_US, nobody); // once in time is enough
    assert_int_equal(world.shed.level, 0);
    for (unsigned i = 0; i < 5; i++)
        tick(&world, 5 * TARGET_US + 1, nobody);
    assert_int_equal(world.shed.level, 1);
}

static void without_a_target_nothing_is_refused(void **state)
{
    (void)state;
    struct world world = world_new(0);
    writes(&world, 10, 1000000);
    interval(&world, TW_LANE_SLOW, 1, 1000000);
    assert_int_equal(room(&world, TW_LANE_SLOW, TW_PRIORITY_REPORT), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_lane_takes_all),
        cmocka_unit_test(a_burst_is_no_overload),
        cmocka_unit_test(a_standing_lane_takes_what_it_can_do_in_time),
        cmocka_unit_test(a_lane_that_sends_nothing_takes_one),
        cmocka_unit_test(writes_that_wait_cost_reads_their_place_one_after_the_other),
        cmocka_unit_test(they_come_back_by_steps_and_later_when_it_was_too_early),
        cmocka_unit_test(a_lock_is_no_lack_of_cpu),
        cmocka_unit_test(a_late_loop_counts_like_waiting_writes),
        cmocka_unit_test(without_a_target_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
