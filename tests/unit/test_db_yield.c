// SPDX-License-Identifier: Apache-2.0
// db_yield: a server of the test's own, on which lists cost sales much or nothing.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/db_yield.h"

#define STEP_US     50
#define CONNECTIONS 2

static const double list_us[CONNECTIONS] = {13000, 20000};

// Tills that sell as fast as they get answers (or so many a millisecond), and lists without end.
struct world {
    struct tw_yield yield;
    uint64_t now_us;
    double harm;         // of a list in flight, on each step of a batch
    double sales_per_ms; // 0: the next batch is there at once, with 16 sales
    double batch_us;     // what it takes, alone
    double waiting;      // sales
    double left_us;      // of the present batch; 0: none
    double lists_us[CONNECTIONS];
    double sold, listed_us;
    unsigned batch_n;
    bool lists_wanted;
};

static struct world world_new(double harm, double sales_per_ms)
{
    struct world world = {.now_us = 9000000,
                          .harm = harm,
                          .sales_per_ms = sales_per_ms,
                          .batch_us = 3000,
                          .lists_wanted = true};
    tw_yield_init(&world.yield, CONNECTIONS, 1, world.now_us);
    return world;
}

static unsigned lists_running(const struct world *world)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CONNECTIONS; i++)
        n += world->lists_us[i] > 0;
    return n;
}

static void step_lists(struct world *world)
{
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        world->listed_us += world->lists_us[i] > 0 ? STEP_US : 0;
        world->lists_us[i] -= world->lists_us[i] > 0 ? STEP_US : 0;
    }
    tw_yield_in_flight(&world->yield, lists_running(world), world->now_us);
    if (!world->lists_wanted || !tw_yield_admits(&world->yield, world->now_us))
        return;
    for (unsigned i = 0; i < CONNECTIONS; i++)
        if (world->lists_us[i] <= 0)
            world->lists_us[i] = list_us[i];
    tw_yield_in_flight(&world->yield, lists_running(world), world->now_us);
}

static void step_sales(struct world *world)
{
    world->waiting += world->sales_per_ms * STEP_US / 1000;
    if (world->left_us > 0) {
        world->left_us -= STEP_US / (1 + world->harm * lists_running(world));
        if (world->left_us <= 0) {
            tw_yield_in_flight(&world->yield, lists_running(world), world->now_us);
            tw_yield_batch_ended(&world->yield, world->now_us);
            world->sold += world->batch_n;
        }
    }
    if (world->left_us > 0 || (world->sales_per_ms > 0 && world->waiting < 1))
        return;
    world->batch_n = world->sales_per_ms <= 0 ? 16 : (unsigned)world->waiting;
    world->batch_n = world->batch_n < 64 ? world->batch_n : 64;
    world->waiting -= world->sales_per_ms > 0 ? world->batch_n : 0;
    world->left_us = world->batch_us * (0.3 + 0.7 * world->batch_n / 16);
    tw_yield_batch_sent(&world->yield, world->batch_n, world->now_us);
}

static void run(struct world *world, unsigned seconds)
{
    for (unsigned i = 0; i < seconds * (1000000 / STEP_US); i++) {
        world->now_us += STEP_US;
        step_lists(world);
        step_sales(world);
    }
}

// Sales in a second, and lists in flight on average, over five seconds from now.
static double sales_of(struct world *world, double *lists)
{
    world->sold = world->listed_us = 0;
    run(world, 5);
    *lists = world->listed_us / 5e6;
    return world->sold / 5;
}

static double sales_alone(double sales_per_ms)
{
    double lists;
    struct world world = world_new(0, sales_per_ms);
    world.lists_wanted = false;
    return sales_of(&world, &lists);
}

static void without_sales_lists_have_it_all(void **state)
{
    (void)state;
    double lists;
    struct world world = world_new(1, 0.05); // one in 20 ms
    assert_true(sales_of(&world, &lists) > 48);
    assert_true(lists > 1.95);
}

static void lists_that_cost_sales_get_little(void **state)
{
    (void)state;
    double lists, alone = sales_alone(0);
    struct world world = world_new(0.6, 0);
    run(&world, 2);
    assert_true(sales_of(&world, &lists) > 0.88 * alone);
    assert_true(lists > 0.05 && lists < 0.4);
}

static void lists_that_cost_nothing_have_nearly_all(void **state)
{
    (void)state;
    double lists, alone = sales_alone(0);
    struct world world = world_new(0, 0);
    run(&world, 2);
    assert_true(sales_of(&world, &lists) > 0.99 * alone);
    assert_true(lists > 1.5);
}

// Batches take longer beside lists, and yet all that is asked for is sold.
static void sales_that_are_all_made_want_nothing(void **state)
{
    (void)state;
    double lists;
    static const double sales_per_ms[] = {2.4, 5}; // with idle times, and without
    for (unsigned i = 0; i < 2; i++) {
        struct world world = world_new(0.3, sales_per_ms[i]);
        world.batch_us = 1000;
        run(&world, 10);
        assert_true(sales_of(&world, &lists) > 995 * sales_per_ms[i]);
        assert_true(lists > 1.5);
    }
}

static void a_rush_that_lists_would_hold_up_is_served(void **state)
{
    (void)state;
    double lists;
    struct world world = world_new(1, 5); // beside two lists 64 take 27 ms
    run(&world, 3);
    assert_true(sales_of(&world, &lists) > 4850);
    assert_true(lists < 1);
}

static void lists_come_back_after_the_rush(void **state)
{
    (void)state;
    double lists;
    struct world world = world_new(1, 0);
    run(&world, 3);
    assert_true(world.yield.share < 0.2);
    world.sales_per_ms = 0.05;
    sales_of(&world, &lists);
    assert_true(lists > 1.9);
}

// A lock, or a connection that was lost with its batch.
static void a_batch_without_end_holds_up_no_list(void **state)
{
    (void)state;
    double lists;
    struct world world = world_new(1, 0);
    run(&world, 3);
    world.left_us = 1e12;
    run(&world, 1);
    sales_of(&world, &lists);
    assert_true(lists > 1.95);
}

// And when they cost nothing any more, because somebody has added processors.
static void what_was_found_is_not_for_ever(void **state)
{
    (void)state;
    double lists;
    struct world world = world_new(1, 0);
    run(&world, 3);
    world.harm = 0;
    run(&world, 10);
    sales_of(&world, &lists);
    assert_true(lists > 1.5);
}

static void workers_share_what_may_be_lost(void **state)
{
    (void)state;
    struct world world = world_new(1, 0);
    run(&world, 3);
    double share = world.yield.share;
    world = world_new(1, 0);
    tw_yield_init(&world.yield, CONNECTIONS, 4, world.now_us);
    run(&world, 3);
    assert_true(world.yield.share < share / 2);
}

static void a_long_report_is_not_paid_for_later(void **state)
{
    (void)state;
    double lists;
    struct world world = world_new(1, 0);
    run(&world, 3);
    world.lists_us[0] = 20e6;
    run(&world, 20);
    sales_of(&world, &lists);
    assert_true(lists > 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_sales_lists_have_it_all),
        cmocka_unit_test(lists_that_cost_sales_get_little),
        cmocka_unit_test(lists_that_cost_nothing_have_nearly_all),
        cmocka_unit_test(sales_that_are_all_made_want_nothing),
        cmocka_unit_test(a_rush_that_lists_would_hold_up_is_served),
        cmocka_unit_test(lists_come_back_after_the_rush),
        cmocka_unit_test(a_batch_without_end_holds_up_no_list),
        cmocka_unit_test(what_was_found_is_not_for_ever),
        cmocka_unit_test(workers_share_what_may_be_lost),
        cmocka_unit_test(a_long_report_is_not_paid_for_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
