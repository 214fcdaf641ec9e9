// SPDX-License-Identifier: Apache-2.0
// limit: what a key has taken elsewhere raises what it owes here, and nobody else pays for it.
// Raises among interrupted callers: test_limit_steps.c.
#include "tests/unit/test_kit.h"

#include "gateway/limit.h"

#define SECOND UINT64_C(1000000)
#define DAY    (86400 * SECOND)
#define START  (5 * DAY + 1234567) // some uptime

static struct tw_limit_table *table;

static int make_table(void **state)
{
    (void)state;
    table = tw_limit_table_new(8);
    return table ? 0 : -1;
}

static struct tw_limit_rule rule_of(uint64_t rate, uint64_t period_us, uint64_t burst)
{
    struct tw_limit_rule rule = {0};
    assert_true(tw_limit_rule_make(rate, period_us, burst, &rule));
    return rule;
}

static bool take(const char *key, const struct tw_limit_rule *rule, uint64_t now_us)
{
    struct tw_limit_result out;
    tw_limit_take(table, 1, tw_str_of(key), rule, 1, now_us, &out);
    return out.allowed;
}

static struct tw_limit_result peek_n(const char *key, const struct tw_limit_rule *rule,
                                     uint64_t cost, uint64_t now_us)
{
    struct tw_limit_result out;
    tw_limit_peek(table, 1, tw_str_of(key), rule, cost, now_us, &out);
    return out;
}

// How many are allowed at this moment until one is refused.
static uint64_t drain(const char *key, const struct tw_limit_rule *rule, uint64_t now_us)
{
    uint64_t n = 0;
    while (take(key, rule, now_us))
        n++;
    return n;
}

static void raise_to(const char *key, const struct tw_limit_rule *rule, uint64_t debt_us,
                     uint64_t now_us)
{
    tw_limit_raise(table, 1, tw_limit_hash(table, 1, tw_str_of(key)), rule, debt_us, now_us);
}

static void test_raise(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(10, SECOND, 5);
    raise_to("new", &rule, 0, START);
    assert_int_equal(peek_n("new", &rule, 1, START).remaining, 5);
    raise_to("new", &rule, 300000, START); // three taken elsewhere
    assert_int_equal(peek_n("new", &rule, 1, START).remaining, 2);
    raise_to("new", &rule, 200000, START); // no debt is lowered
    assert_int_equal(drain("new", &rule, START), 2);
    raise_to("new", &rule, 500000, START); // what it owes by itself
    assert_int_equal(peek_n("new", &rule, 1, START).retry_after_us, 100000);
    assert_int_equal(drain("new", &rule, START + 100000), 1);
    raise_to("new", &rule, 10, START - SECOND); // long at rest again
    assert_int_equal(drain("new", &rule, START + SECOND), 5);
}

// All of an overdraft is paid back before anything is allowed; what exceeds it is left out.
static void test_raise_above_the_burst(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(1, 60 * SECOND, 5), plain = rule;
    tw_limit_rule_overdraw(&rule, 3);
    assert_int_equal(rule.overdraft, 3 * 300 * SECOND * TW_LIMIT_UNITS_PER_US);
    raise_to("far", &rule, 1000 * SECOND, START);
    assert_int_equal(peek_n("far", &rule, 1, START).retry_after_us, 760 * SECOND);
    assert_false(take("far", &rule, START + 760 * SECOND - 1));
    assert_true(take("far", &rule, START + 760 * SECOND));
    raise_to("farther", &rule, UINT64_MAX, START);
    assert_int_equal(peek_n("farther", &rule, 1, START).reset_us, 1200 * SECOND);
    raise_to("plain", &plain, UINT64_MAX, START);
    assert_int_equal(peek_n("plain", &plain, 1, START).reset_us, 300 * SECOND);
    tw_limit_rule_overdraw(&rule, UINT64_MAX); // bounded, whatever is asked for
    raise_to("bounded", &rule, UINT64_MAX, UINT64_MAX / 5040 / 4 - 1);
    assert_false(take("bounded", &rule, UINT64_MAX / 5040 / 4 - 1));
}

// Strangers do not pay for what a key owes elsewhere.
static void test_raise_and_a_full_set(void **state)
{
    (void)state;
    struct tw_limit_rule rule = rule_of(1, DAY, 2);
    for (unsigned i = 0; i < 8; i++) {
        char key[24];
        snprintf(key, sizeof key, "filler %u", i);
        assert_true(take(key, &rule, START));
    }
    raise_to("late", &rule, 2 * DAY, START);
    assert_int_equal(tw_limit_overflows(table), 0);
    assert_true(take("stranger", &rule, START));
    raise_to("filler 3", &rule, 2 * DAY, START); // who has an entry keeps it
    assert_false(take("filler 3", &rule, START));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_raise, make_table),
        cmocka_unit_test_setup(test_raise_above_the_burst, make_table),
        cmocka_unit_test_setup(test_raise_and_a_full_set, make_table),
    };
    return cmocka_run_group_tests_name("limit raise", tests, NULL, NULL);
}
