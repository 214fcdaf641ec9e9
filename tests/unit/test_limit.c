// SPDX-License-Identifier: Apache-2.0
// limit: the rule, and what a full set, a reload and the clock may not do. FAULTS H7 over
// processes: test_limit_race.c.
#include "tests/unit/test_limit_kit.h"

static struct tw_limit_result peek_n(const char *key, const struct tw_limit_rule *rule,
                                     uint64_t cost, uint64_t now_us)
{
    struct tw_limit_result out;
    memset(&out, 0x5a, sizeof out);
    tw_limit_peek(table, 1, tw_str_of(key), rule, cost, now_us, &out);
    return out;
}

// ---- one process --------------------------------------------------------------------------------

static void test_rule(void **state)
{
    (void)state;
    static const struct {
        uint64_t rate, period_us, burst;
        bool good;
    } cases[] = {
        {1, 1, 1, true},
        {5040, 1, 1, true},
        {5041, 1, 1, false},
        {0, 1, 1, false},
        {1, 0, 1, false},
        {1, 1, 0, false},
        {1, DAY, 5110, true}, // 14 years
        {1, DAY, 5600, false},
        {1, 5110 * DAY, 1, true},
        {1, 5600 * DAY, 1, false},
        {1, UINT64_MAX, 1, false},
        {UINT64_MAX, 1, 1, false},
        {1, 1, UINT64_MAX, false},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, false},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_limit_rule rule = {.interval = 7, .burst = 8};
        bool good = tw_limit_rule_make(cases[i].rate, cases[i].period_us, cases[i].burst, &rule);
        assert_int_equal(good, cases[i].good);
        assert_true(good || (rule.interval == 7 && rule.burst == 8));
    }
    assert_int_equal(rule_of(100000, SECOND, 9).interval, 10 * TW_LIMIT_UNITS_PER_US);
    assert_int_equal(rule_of(7, SECOND, 9).interval * 7, SECOND * TW_LIMIT_UNITS_PER_US);
    assert_true(rule_of(11, SECOND, 9).interval * 11 > SECOND * TW_LIMIT_UNITS_PER_US); // upwards
}

static void test_table_sizes(void **state)
{
    (void)state;
    assert_null(tw_limit_table_new(0));
    assert_null(tw_limit_table_new(((size_t)1 << 32) + 1));
    assert_non_null(tw_limit_table_new(1));
    struct tw_limit_table *large = tw_limit_table_new(1000000);
    assert_non_null(large);
    assert_in_range(tw_limit_table_bytes(large), 16 << 20, 18 << 20);
}

// Asks at every moment of a list: all that is allowed is burst + rate * time, at each of them.
static void test_exact_rates(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint64_t rate, period_us, burst, step_us;
        unsigned steps;
    } cases[] = {
        {"100000/s", 100000, SECOND, 50, 1, 3000},
        {"10/s", 10, SECOND, 20, 999, 20000},
        {"7/s", 7, SECOND, 3, 1001, 50000},
        {"60/s", 60, SECOND, 60, 333, 60000},
        {"300000/s", 300000, SECOND, 30, 7, 5000},
        {"9/100ms", 9, SECOND / 10, 5, 111, 50000},
        {"100/min", 100, 60 * SECOND, 2, 7777, 60000},
        {"1/day", 1, DAY, 1, 3600 * SECOND, 2400},
        {"5/day", 5, DAY, 2, 600 * SECOND, 9000},
        {"1/0.1s", 1, SECOND / 10, 1, 1, 300001},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_limit_rule rule = rule_of(cases[i].rate, cases[i].period_us, cases[i].burst);
        uint64_t n = drain(cases[i].key, &rule, START);
        assert_int_equal(n, cases[i].burst);
        for (uint64_t step = 1; step <= cases[i].steps; step++) {
            uint64_t time_us = step * cases[i].step_us;
            n += drain(cases[i].key, &rule, START + time_us);
            uint64_t due = cases[i].burst + cases[i].rate * time_us / cases[i].period_us;
            if (n != due)
                fail_msg("%s: %lu after %lu us, not %lu", cases[i].key, n, time_us, due);
        }
    }
}

static void test_after_a_rest(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(10, SECOND, 5);
    assert_int_equal(drain("k", &rule, START), 5);
    assert_int_equal(drain("k", &rule, START + 250000), 2);
    assert_int_equal(drain("k", &rule, START + 100 * SECOND), 5); // never more than the burst
    assert_int_equal(drain("k", &rule, START + 100 * SECOND), 0);
    assert_int_equal(drain("k", &rule, START), 0); // a clock that goes back gives nothing
}

static void test_retry_after_is_exact(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1, 3, 7, 11, 100, 300000};
    for (size_t i = 0; i < TW_COUNT(rates); i++) {
        struct tw_limit_rule rule = rule_of(rates[i], SECOND, 8);
        uint64_t now = START;
        for (unsigned round = 0; round < 2000; round++) {
            char key[24];
            snprintf(key, sizeof key, "%zu", i);
            now += kit_below(2 * SECOND / rates[i] + 2);
            uint64_t cost = 1 + kit_below(8);
            struct tw_limit_result out = take_n(key, &rule, cost, now);
            if (out.allowed) {
                assert_int_equal(out.retry_after_us, 0);
                continue;
            }
            assert_true(out.retry_after_us > 0);
            assert_false(take_n(key, &rule, cost, now + out.retry_after_us - 1).allowed);
            now += out.retry_after_us;
            assert_true(take_n(key, &rule, cost, now).allowed);
        }
    }
}

static void assert_result(struct tw_limit_result out, bool allowed, uint64_t remaining,
                          uint64_t retry_after_us, uint64_t reset_us)
{
    assert_int_equal(out.allowed, allowed);
    assert_int_equal(out.remaining, remaining);
    assert_int_equal(out.retry_after_us, retry_after_us);
    assert_int_equal(out.reset_us, reset_us);
    assert_false(out.overflow);
}

static void test_answers(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(10, SECOND, 5);
    assert_result(peek_n("k", &rule, 1, START), true, 5, 0, 0);
    assert_result(take_n("k", &rule, 1, START), true, 4, 0, 100000);
    assert_result(take_n("k", &rule, 3, START), true, 1, 0, 400000);
    assert_result(take_n("k", &rule, 2, START), false, 1, 100000, 400000); // nothing was taken
    assert_result(take_n("k", &rule, 1, START), true, 0, 0, 500000);
    assert_result(take_n("k", &rule, 1, START + 1), false, 0, 99999, 499999);
    assert_result(take_n("k", &rule, 5, START + 1), false, 0, 499999, 499999);
    assert_result(take_n("k", &rule, 5, START + 500000), true, 0, 0, 500000);
}

static void test_costs(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(10, SECOND, 5);
    assert_result(take_n("k", &rule, 6, START), false, 5, TW_LIMIT_NEVER, 0);
    assert_result(take_n("k", &rule, UINT64_MAX, START), false, 5, TW_LIMIT_NEVER, 0);
    assert_result(peek_n("k", &rule, 6, START), false, 5, TW_LIMIT_NEVER, 0);
    assert_result(take_n("k", &rule, 0, START), true, 5, 0, 0);
    assert_result(take_n("k", &rule, 5, START), true, 0, 0, 500000);
    assert_result(take_n("k", &rule, 0, START), true, 0, 0, 500000);
    assert_result(take_n("k", &rule, 6, START), false, 0, TW_LIMIT_NEVER, 500000);
}

static void test_peek_takes_nothing(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(3, SECOND, 9);
    uint64_t now = START;
    for (unsigned i = 0; i < 20000; i++) {
        now += kit_below(400000);
        uint64_t cost = kit_below(11);
        struct tw_limit_result before = peek_n("k", &rule, cost, now);
        struct tw_limit_result again = peek_n("k", &rule, cost, now);
        struct tw_limit_result out = take_n("k", &rule, cost, now);
        assert_int_equal(before.remaining, again.remaining);
        assert_int_equal(before.allowed, out.allowed);
        assert_int_equal(before.retry_after_us, out.retry_after_us);
        assert_int_equal(before.remaining, out.remaining + (out.allowed ? cost : 0));
    }
}

static void test_keys_and_policies_apart(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(1, DAY, 2);
    struct tw_limit_result out;
    static const struct tw_str keys[] = {{NULL, 0}, {"", 1}, {"\0", 2}, {"a", 1}, {"a\0b", 3}};
    for (unsigned policy = 0; policy < TW_LIMIT_POLICIES_MAX; policy++) {
        for (size_t i = 0; i < TW_COUNT(keys) * 3; i++) {
            tw_limit_take(table, policy, keys[i % TW_COUNT(keys)], &rule, 1, START, &out);
            assert_int_equal(out.allowed, i < TW_COUNT(keys) * 2);
        }
    }
}

static void test_far_future(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(1, DAY, 4000);
    assert_int_equal(drain("k", &rule, START), 4000);
    assert_int_equal(drain("k", &rule, START + 28 * 365 * DAY), 4000);
    assert_int_equal(drain("k", &rule, START), 0);
    static const uint64_t ends[] = {30 * 365 * DAY, UINT64_MAX / 5040, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < TW_COUNT(ends); i++) {
        struct tw_limit_result out = take_n("new", &rule, 1, ends[i]);
        assert_false(out.allowed); // a state cannot hold such a time: refused, not free
        assert_true(out.retry_after_us == TW_LIMIT_NEVER);
        assert_false(peek_n("new", &rule, 1, ends[i]).allowed);
    }
    assert_int_equal(drain("new", &rule, 0), 4000);
}

static void test_reload(void **state)
{
    (void)state;
    struct tw_limit_rule slow = rule_of(1, DAY, 100), fast = rule_of(100, SECOND, 200);
    struct tw_limit_rule twice = rule_of(20, SECOND, 40), once = rule_of(10, SECOND, 20);
    assert_int_equal(drain("k", &once, START), 20); // 2 s of debt
    assert_int_equal(drain("k", &twice, START), 0);
    assert_int_equal(drain("k", &twice, START + SECOND), 20);
    assert_int_equal(drain("k", &once, START + SECOND), 0);

    assert_int_equal(drain("take", &slow, START), 100); // 100 days of debt
    assert_int_equal(drain("peek", &slow, START), 100);
    struct tw_limit_result out = take_n("take", &fast, 1, START);
    assert_false(out.allowed);
    assert_int_equal(out.reset_us, 2 * SECOND); // cut to the whole burst, not forgiven
    assert_int_equal(drain("take", &fast, START + SECOND), 100);
    assert_int_equal(peek_n("peek", &fast, 1, START).reset_us, 2 * SECOND);
    assert_int_equal(peek_n("peek", &fast, 1, START + SECOND).remaining, 100);
}

// Somebody whose clock was read up to ten seconds ago takes a debt for what it is.
static void test_late_caller_cuts_nothing(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(10, SECOND, 5);
    assert_int_equal(drain("k", &rule, START), 5);
    for (uint64_t late_us = 0; late_us <= 10 * SECOND; late_us += SECOND / 2) {
        assert_false(take("k", &rule, START - late_us));
        assert_false(peek_n("k", &rule, 1, START - late_us).allowed);
    }
    assert_false(take("k", &rule, START));
    assert_int_equal(drain("k", &rule, START + 100000), 1);
}

// ---- full sets ----------------------------------------------------------------------------------

static void fill(const struct tw_limit_rule *rule, unsigned from, unsigned n, uint64_t now_us)
{
    char key[24];
    for (unsigned i = from; i < from + n; i++) {
        snprintf(key, sizeof key, "filler %u", i);
        (void)take(key, rule, now_us);
    }
}

static void test_overflow_is_shared(void **state)
{
    (void)state;
    table = tw_limit_table_new(8); // one set
    struct tw_limit_rule rule = rule_of(1, SECOND, 3);
    fill(&rule, 0, 8, START);
    assert_int_equal(tw_limit_overflows(table), 0);
    struct tw_limit_result out = take_n("a", &rule, 1, START);
    assert_true(out.allowed && out.overflow);
    assert_int_equal(out.remaining, 2);
    assert_int_equal(tw_limit_overflows(table), 1);
    assert_true(take("b", &rule, START));
    assert_true(peek_n("c", &rule, 1, START).overflow);
    assert_true(take("c", &rule, START));
    assert_false(peek_n("d", &rule, 1, START).allowed); // three together, as the rule says for one
    out = take_n("d", &rule, 1, START);
    assert_false(out.allowed);
    assert_int_equal(out.retry_after_us, SECOND);
    tw_limit_take(table, 2, TW_STR("d"), &rule, 1, START, &out); // another policy has another
    assert_true(out.allowed && out.overflow);
    assert_int_equal(drain("filler 0", &rule, START), 2); // who has an entry does not notice
}

// Whoever moves from the shared bucket into an entry takes the debt along.
static void test_overflow_is_never_laxer(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(1, SECOND, 5);
    table = tw_limit_table_new(8);
    fill(&rule, 0, 8, START); // at rest after 1 s
    uint64_t n = drain("abuser", &rule, START);
    assert_int_equal(n, 5);
    assert_int_equal(peek_n("abuser", &rule, 1, START + SECOND + 1).remaining, 1);
    n = 0;
    for (uint64_t time_us = 0; time_us <= 20 * SECOND; time_us += 1000) {
        n += drain("abuser", &rule, START + time_us);
        assert_int_equal(n, time_us / SECOND);
    }
    assert_false(take_n("abuser", &rule, 1, START + 20 * SECOND).overflow);
    assert_int_equal(drain("abuser", &rule, START + 100 * SECOND), 5);
}

static void test_reload_of_the_shared_bucket(void **state)
{
    (void)state;
    struct tw_limit_rule slow = rule_of(1, DAY, 100), fast = rule_of(100, SECOND, 200);
    table = tw_limit_table_new(8);
    fill(&slow, 0, 8, START);
    assert_int_equal(drain("a", &slow, START), 100);
    assert_int_equal(peek_n("a", &fast, 1, START).reset_us, 2 * SECOND);
    assert_int_equal(peek_n("a", &fast, 1, START + SECOND).remaining, 100);
    assert_int_equal(drain("b", &slow, START + 2 * SECOND), 100);
    assert_false(take("b", &fast, START + 2 * SECOND));
    assert_int_equal(drain("b", &fast, START + 3 * SECOND), 100);
}

static void test_eviction(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(1, SECOND, 1);
    table = tw_limit_table_new(8);
    for (unsigned round = 0; round < 100;
         round++) // eight new ones each time those before are at rest
        fill(&rule, round * 8, 8, START + round * (SECOND + 1));
    assert_int_equal(tw_limit_overflows(table), 0);
    fill(&rule, 800, 1, START + 99 * (SECOND + 1) + SECOND - 1); // a moment before they are
    assert_int_equal(tw_limit_overflows(table), 1);
}

// Newcomers that are refused for what their set owes take no entry from those who come after.
static void test_refused_newcomers_hold_nothing(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(1, SECOND, 5);
    struct tw_limit_result out;
    table = tw_limit_table_new(8);
    fill(&rule, 0, 8, START);
    assert_int_equal(drain("abuser", &rule, START), 5);
    uint64_t overflows = tw_limit_overflows(table), later = START + SECOND + 1;
    for (unsigned key = 0; key < 8; key++) {
        tw_limit_take(table, 1, (struct tw_str){(char *)&key, sizeof key}, &rule, 2, later, &out);
        assert_false(out.allowed || out.overflow);
    }
    for (unsigned key = 0; key < 8; key++) {
        tw_limit_take(table, 2, (struct tw_str){(char *)&key, sizeof key}, &rule, 5, later, &out);
        assert_true(out.allowed && !out.overflow);
    }
    assert_int_equal(tw_limit_overflows(table), overflows);
}

// Abusers before a flood of a million other keys stay refused, whatever happens to the rest.
static void test_a_million_keys(void **state)
{
    (void)state;
    enum { ABUSERS = 50, KEYS = 1000000 };
    struct tw_limit_rule rule = rule_of(10, 3600 * SECOND, 10);
    table = tw_limit_table_new(65536);
    size_t bytes = tw_limit_table_bytes(table);
    uint64_t allowed = 0;
    char key[24];
    for (unsigned i = 0; i < ABUSERS; i++) {
        snprintf(key, sizeof key, "abuser %u", i);
        assert_int_equal(drain(key, &rule, START), 10);
    }
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key %u", i);
        allowed += take(key, &rule, START + i * 300); // 300 s in all: a token comes in 360 s
        snprintf(key, sizeof key, "abuser %u", i % ABUSERS);
        if (take(key, &rule, START + i * 300))
            fail_msg("%s was let in after %u keys", key, i);
    }
    assert_int_equal(allowed, 65536 - ABUSERS + 1024 * 10); // the shared buckets have their burst
    assert_int_equal(tw_limit_overflows(table), KEYS - 65536 + ABUSERS);
    assert_int_equal(tw_limit_table_bytes(table), bytes);
    for (unsigned i = 0; i < 1000; i++) { // an hour and more later all is as new
        snprintf(key, sizeof key, "key %u", i);
        assert_int_equal(drain(key, &rule, START + 8000 * SECOND), 10);
    }
}

#define LIMIT_TEST(name) cmocka_unit_test_setup(name, make_table)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_table_sizes),
        LIMIT_TEST(test_exact_rates),
        LIMIT_TEST(test_after_a_rest),
        LIMIT_TEST(test_retry_after_is_exact),
        LIMIT_TEST(test_answers),
        LIMIT_TEST(test_costs),
        LIMIT_TEST(test_peek_takes_nothing),
        LIMIT_TEST(test_keys_and_policies_apart),
        LIMIT_TEST(test_far_future),
        LIMIT_TEST(test_reload),
        LIMIT_TEST(test_late_caller_cuts_nothing),
        cmocka_unit_test(test_overflow_is_shared),
        cmocka_unit_test(test_overflow_is_never_laxer),
        cmocka_unit_test(test_reload_of_the_shared_bucket),
        cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_refused_newcomers_hold_nothing),
        cmocka_unit_test(test_a_million_keys),
    };
    return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
