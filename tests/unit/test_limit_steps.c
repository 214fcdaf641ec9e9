// SPDX-License-Identifier: Apache-2.0
// limit, step by step: callers are interrupted at any access to the table, for as long as it takes,
// and some never go on (SIGKILL). Whatever the order, no key gets more than its rule.
//
// The table's own source is compiled into this test, with a scheduler behind each atomic access:
// callers are coroutines of one process, so each order is one that real processes can have.
#include "tests/unit/test_kit.h"

#include <stdatomic.h>
#include <ucontext.h>

static void step(void);

#undef atomic_load
#undef atomic_fetch_add
#undef atomic_compare_exchange_weak
#define atomic_load(p)         (step(), atomic_load_explicit(p, memory_order_seq_cst))
#define atomic_fetch_add(p, n) (step(), atomic_fetch_add_explicit(p, n, memory_order_seq_cst))
#define atomic_compare_exchange_weak(p, old, new)                                       \
    (step(), atomic_compare_exchange_strong_explicit(p, old, new, memory_order_seq_cst, \
                                                     memory_order_seq_cst))
// NOLINTNEXTLINE(bugprone-reserved-identifier,cert-dcl37-c)
#define __sync_bool_compare_and_swap(p, old, new) (step(), *(p) == (old) && (*(p) = (new), true))

#include "gateway/limit.c" // NOLINT(bugprone-suspicious-include)

#define SECOND UINT64_C(1000000)
#define DAY    (86400 * SECOND)
#define START  (50 * DAY)

enum { CALLERS = 4, KEYS = 5, FILLERS = 8, TAKES = 3, ROUNDS = 25000, STACK = 256 * 1024 };

struct caller {
    ucontext_t context;
    bool over;
    char stack[STACK] __attribute__((aligned(16)));
};

static struct caller callers[CALLERS], *running; // running NULL: no schedule, no steps
static ucontext_t main_context;
static struct tw_limit_table *table;
static struct tw_limit_rule slow, fast;
static uint64_t clock_us, admitted[KEYS];
static unsigned kill_one_in; // 0: nobody dies
static unsigned n_keys, n_fillers;
static bool raising, closed[KEYS]; // closed: a raise that leaves nothing to take has returned

// ---- scheduler ----------------------------------------------------------------------------------

static void step(void)
{
    if (running && kit_below(3) == 0)
        swapcontext(&running->context, &main_context);
}

static bool take(unsigned policy, const char *prefix, uint64_t i, const struct tw_limit_rule *rule)
{
    char key[24];
    struct tw_limit_result out;
    snprintf(key, sizeof key, "%s %u", prefix, (unsigned)i);
    tw_limit_take(table, policy, tw_str_of(key), rule, 1, clock_us, &out);
    return out.allowed;
}

// By one, two or four of a burst of two.
static void raise_some(uint64_t i)
{
    char key[24];
    uint64_t days = (uint64_t)1 << kit_below(3);
    snprintf(key, sizeof key, "key %u", (unsigned)i);
    tw_limit_raise(table, 1, tw_limit_hash(table, 1, tw_str_of(key)), &slow, days * DAY, clock_us);
    closed[i] |= days > 1;
}

static void take_slow(uint64_t key)
{
    bool was_closed = closed[key], allowed = take(1, "key", key, &slow);
    admitted[key] += allowed;
    if (allowed && was_closed && n_fillers <= 1) // nobody had to share
        fail_msg("key %u: allowed although it owes a burst", (unsigned)key);
}

static void call(void)
{
    for (unsigned i = 0; i < TAKES; i++) {
        uint64_t key = kit_below(n_keys);
        if (raising && kit_below(3) == 0)
            raise_some(kit_below(n_keys));
        take_slow(key);
        if (kit_below(4) == 0)
            (void)take(2, "filler", kit_below(n_fillers), &fast);
    }
    running->over = true;
    swapcontext(&running->context, &main_context);
}

static void start(struct caller *caller)
{
    assert_int_equal(getcontext(&caller->context), 0);
    caller->over = false;
    caller->context.uc_stack.ss_sp = caller->stack;
    caller->context.uc_stack.ss_size = STACK;
    caller->context.uc_link = NULL;
    makecontext(&caller->context, call, 0);
}

// Runs all callers to their end or death, in some order; the clock goes on meanwhile, so that some
// come late.
static void run_schedule(uint64_t ticks_us)
{
    unsigned alive = CALLERS;
    for (unsigned i = 0; i < CALLERS; i++)
        start(&callers[i]);
    while (alive > 0) {
        running = &callers[kit_below(CALLERS)];
        if (running->over)
            continue;
        swapcontext(&main_context, &running->context);
        if (kill_one_in > 0 && kit_below(kill_one_in) == 0)
            running->over = true;
        alive -= running->over;
        clock_us += kit_below(ticks_us + 1);
    }
    running = NULL;
}

// ---- tests --------------------------------------------------------------------------------------

static int make_table(void **state)
{
    (void)state;
    table = tw_limit_table_new(WAYS);
    return table && tw_limit_rule_make(1, DAY, 2, &slow) &&
                   tw_limit_rule_make(1000, SECOND, 1, &fast)
               ? (tw_limit_rule_overdraw(&slow, 2), 0)
               : -1;
}

// A new round: keys at rest, and fillers that soon will be.
static void set_out(unsigned old_keys, unsigned fillers)
{
    memset(table->sets, 0, sizeof *table->sets);
    *table->owing = 0;
    table->shared[1] = table->shared[2] = 0;
    memset(admitted, 0, sizeof admitted);
    memset(closed, 0, sizeof closed);
    clock_us = START - 3 * DAY;
    for (unsigned i = 0; i < old_keys; i++)
        assert_true(take(1, "key", kit_below(n_keys), &slow) || old_keys > 1);
    clock_us = START;
    for (unsigned i = 0; i < fillers; i++)
        assert_true(take(2, "filler", i, &fast));
}

static unsigned copies_of_one_key(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < WAYS; i++)
        for (unsigned j = 0; j < i; j++)
            n += settled(entry_load(&table->sets->ways[i])) &&
                 settled(entry_load(&table->sets->ways[j])) &&
                 table->sets->ways[i].tag == table->sets->ways[j].tag;
    return n;
}

// What is left to take afterwards: with what was admitted it is the burst, unless someone died
// after a charge or a key shared a bucket; never more.
static void check_keys(uint64_t least)
{
    for (unsigned i = 0; i < n_keys; i++) {
        while (take(1, "key", i, &slow))
            admitted[i]++;
        if (admitted[i] > 2 || admitted[i] < least)
            fail_msg("key %u: %lu of 2", i, admitted[i]);
    }
    assert_int_equal(copies_of_one_key(), 0);
}

// Three keys, a filler, and a claim too many of each caller: nobody has to share.
static void test_claims(void **state)
{
    (void)state;
    kill_one_in = 0;
    n_keys = 3, n_fillers = 1;
    for (unsigned round = 0; round < ROUNDS; round++) {
        set_out((unsigned)kit_below(4), (unsigned)kit_below(2));
        run_schedule(0);
        check_keys(2);
    }
    assert_int_equal(tw_limit_overflows(table), 0);
}

// The set is full until the fillers come to rest while the callers are under way.
static void test_overflow_and_back(void **state)
{
    (void)state;
    kill_one_in = 0;
    n_keys = KEYS, n_fillers = FILLERS;
    for (unsigned round = 0; round < ROUNDS; round++) {
        set_out((unsigned)kit_below(3), (unsigned)kit_below(FILLERS + 1));
        run_schedule(kit_below(200));
        check_keys(0);
    }
    assert_true(tw_limit_overflows(table) > 1000);
}

// A raise that has returned counts, whoever was under way; takes alone are as exact as ever.
static void test_raises(void **state)
{
    (void)state;
    kill_one_in = 0;
    raising = true;
    for (unsigned round = 0; round < ROUNDS; round++) {
        n_keys = 3, n_fillers = 1;
        set_out((unsigned)kit_below(4), (unsigned)kit_below(2));
        run_schedule(0);
        check_keys(0);
        for (unsigned i = 0; i < n_keys; i++)
            assert_true(!closed[i] || !take(1, "key", i, &slow));
    }
    assert_int_equal(tw_limit_overflows(table), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        n_keys = KEYS, n_fillers = FILLERS;
        set_out((unsigned)kit_below(3), (unsigned)kit_below(FILLERS + 1));
        run_schedule(kit_below(200));
        check_keys(0);
    }
    raising = false;
}

static void test_death(void **state)
{
    (void)state;
    raising = true;
    n_keys = KEYS, n_fillers = FILLERS;
    for (unsigned round = 0; round < ROUNDS; round++) {
        kill_one_in = 1 + (unsigned)kit_below(40);
        set_out((unsigned)kit_below(3), (unsigned)kit_below(FILLERS + 1));
        run_schedule(kit_below(200));
        check_keys(0);

        clock_us += 10 * DAY; // nothing is left behind: room for a set of new keys
        uint64_t overflows = tw_limit_overflows(table);
        for (unsigned i = 0; i < WAYS; i++)
            assert_true(take(1, "new", i, &slow) && take(1, "new", i, &slow));
        assert_int_equal(tw_limit_overflows(table), overflows);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_claims, make_table),
        cmocka_unit_test_setup(test_overflow_and_back, make_table),
        cmocka_unit_test_setup(test_raises, make_table),
        cmocka_unit_test_setup(test_death, make_table),
    };
    return cmocka_run_group_tests_name("limit steps", tests, NULL, NULL);
}
