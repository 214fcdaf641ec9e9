// SPDX-License-Identifier: Apache-2.0
// limit: FAULTS H7, exact over processes: races, full sets, and a kill at any instruction.
#include "tests/unit/test_limit_kit.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 4, RACE_KEYS = 12, TICKS = 400, TICK_US = 250 };

static struct arena {
    _Atomic uint64_t tick;
    _Atomic uint64_t refused_at[PROCESSES][RACE_KEYS]; // last tick when the key was refused, + 1
    _Atomic uint64_t admitted[RACE_KEYS][TICKS];
    _Atomic uint64_t go;
} * arena;

static int make_arena(void **state)
{
    arena = mmap(NULL, sizeof *arena, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return arena == MAP_FAILED ? -1 : make_table(state);
}

// Takes every key until it is refused, at every tick.
static _Noreturn void race(unsigned me, unsigned keys, const struct tw_limit_rule *rule)
{
    char key[24];
    kit_random_state += me;
    for (;;) {
        uint64_t tick = atomic_load(&arena->tick);
        if (tick == TICKS)
            _exit(0);
        unsigned i = (unsigned)kit_below(keys);
        if (atomic_load(&arena->refused_at[me][i]) == tick + 1) {
            sched_yield(); // others are to get on with theirs
            continue;
        }
        snprintf(key, sizeof key, "key %u", i);
        if (take(key, rule, START + tick * TICK_US))
            atomic_fetch_add(&arena->admitted[i][tick], 1);
        else
            atomic_store(&arena->refused_at[me][i], tick + 1);
    }
}

// True when each process (or, `late`, any one of them) was refused each key at this tick.
static bool drained(uint64_t tick, unsigned keys, bool late)
{
    for (unsigned i = 0; i < keys; i++) {
        unsigned n = 0;
        for (unsigned p = 0; p < PROCESSES; p++)
            n += atomic_load(&arena->refused_at[p][i]) == tick + 1;
        if (n < (late ? 1 : PROCESSES))
            return false;
    }
    return true;
}

static void run_race(unsigned keys, const struct tw_limit_rule *rule, bool late)
{
    pid_t children[PROCESSES];
    int status;
    memset((void *)arena, 0, sizeof *arena);
    for (unsigned p = 0; p < PROCESSES; p++) {
        children[p] = fork();
        assert_true(children[p] >= 0);
        if (children[p] == 0)
            race(p, keys, rule);
    }
    for (uint64_t tick = 0; tick < TICKS; tick++) {
        while (!drained(tick, keys, late))
            sched_yield();
        atomic_store(&arena->tick, tick + 1);
    }
    for (unsigned p = 0; p < PROCESSES; p++) {
        assert_int_equal(waitpid(children[p], &status, 0), children[p]);
        assert_int_equal(status, 0);
    }
}

static uint64_t admitted_of(unsigned key)
{
    uint64_t n = 0;
    for (unsigned tick = 0; tick < TICKS; tick++)
        n += atomic_load(&arena->admitted[key][tick]);
    return n;
}

// What was admitted conforms to the rule: a bucket of one process would have let it in, too.
static void assert_conforms(unsigned key, const struct tw_limit_rule *rule)
{
    uint64_t at_rest = 0;
    for (uint64_t tick = 0; tick < TICKS; tick++) {
        uint64_t now = tick * TICK_US * TW_LIMIT_UNITS_PER_US;
        uint64_t n = atomic_load(&arena->admitted[key][tick]);
        at_rest = (at_rest > now ? at_rest : now) + n * rule->interval;
        if (at_rest > now + rule->burst * rule->interval)
            fail_msg("key %u: %lu at tick %lu are too many", key, n, tick);
    }
}

static void test_one_key_of_many_processes(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(100000, SECOND, 300);
    run_race(1, &rule, false);
    assert_int_equal(admitted_of(0), 300 + (TICKS - 1) * TICK_US / 10);
    assert_conforms(0, &rule);
}

static void test_one_key_and_late_clocks(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(100000, SECOND, 300);
    run_race(1, &rule, true);
    assert_int_equal(admitted_of(0), 300 + (TICKS - 1) * TICK_US / 10);
}

// Five keys in a set of eight, at rest at every tick: claimed by all at once, evicted, never twice.
static void test_claims_at_once(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(50000, SECOND, 5); // 100 us: shorter than a tick
    for (unsigned round = 0; round < 3; round++) {
        table = tw_limit_table_new(8);
        run_race(5, &rule, false);
        for (unsigned key = 0; key < 5; key++)
            assert_int_equal(admitted_of(key), TICKS * 5);
        assert_int_equal(tw_limit_overflows(table), 0);
    }
}

// Twelve keys for eight entries: some share, each tick others. No key gets more than its rule.
static void test_races_for_a_full_set(void **state)
{
    (void)state;
    static const uint64_t bursts[] = {1, 5, 40};
    for (size_t i = 0; i < TW_COUNT(bursts); i++) {
        struct tw_limit_rule rule = rule_of(50000, SECOND, bursts[i]);
        table = tw_limit_table_new(8);
        run_race(RACE_KEYS, &rule, false);
        for (unsigned key = 0; key < RACE_KEYS; key++)
            assert_conforms(key, &rule);
        assert_true(tw_limit_overflows(table) > 0);
    }
}

static _Noreturn void take_for_ever(unsigned seed)
{
    struct tw_limit_rule rule = rule_of(50000, SECOND, 5);
    char key[24];
    kit_random_state += seed;
    for (uint64_t now = START;; now++) {
        snprintf(key, sizeof key, "victim %u", (unsigned)kit_below(40));
        (void)take(key, &rule, now);
        atomic_fetch_add(&arena->go, 1);
    }
}

// Processes killed at any instruction: each time the table has room for as many as ever, and they
// have all their burst.
static void test_killed_in_the_middle(void **state)
{
    (void)state;
    enum { KILLS = 150, WAYS = 8 };
    struct tw_limit_rule rule = rule_of(1, SECOND, 5);
    table = tw_limit_table_new(WAYS);
    for (unsigned kill_no = 0; kill_no < KILLS; kill_no++) {
        pid_t children[2];
        char key[24];
        atomic_store(&arena->go, 0);
        for (unsigned p = 0; p < TW_COUNT(children); p++) {
            children[p] = fork();
            assert_true(children[p] >= 0);
            if (children[p] == 0)
                take_for_ever(kill_no * 2 + p);
        }
        while (atomic_load(&arena->go) < 1000 + kit_below(1000))
            sched_yield();
        for (unsigned p = 0; p < TW_COUNT(children); p++) {
            assert_int_equal(kill(children[p], SIGKILL), 0);
            assert_int_equal(waitpid(children[p], NULL, 0), children[p]);
        }
        uint64_t later = START + (kill_no + 1) * DAY, overflows = tw_limit_overflows(table);
        for (unsigned i = 0; i < WAYS; i++) {
            snprintf(key, sizeof key, "next %u", i);
            assert_int_equal(drain(key, &rule, later), 5);
        }
        assert_int_equal(tw_limit_overflows(table), overflows);
    }
}

#define ARENA_TEST(name) cmocka_unit_test_setup(name, make_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARENA_TEST(test_one_key_of_many_processes),
        ARENA_TEST(test_one_key_and_late_clocks),
        ARENA_TEST(test_claims_at_once),
        ARENA_TEST(test_races_for_a_full_set),
        ARENA_TEST(test_killed_in_the_middle),
    };
    return cmocka_run_group_tests_name("limit_race", tests, NULL, NULL);
}
