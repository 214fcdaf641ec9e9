// SPDX-License-Identifier: Apache-2.0
// test_limit_kit: a table of limits, and calls that begin at some uptime.
#ifndef TW_TEST_LIMIT_KIT_H
#define TW_TEST_LIMIT_KIT_H

#include "tests/unit/test_kit.h"

#include "gateway/limit.h"

#define SECOND UINT64_C(1000000)
#define DAY    (86400 * SECOND)
#define START  (5 * DAY + 1234567) // some uptime

static struct tw_limit_table *table;

KIT int make_table(void **state)
{
    (void)state;
    table = tw_limit_table_new(4096);
    return table ? 0 : -1;
}

KIT struct tw_limit_rule rule_of(uint64_t rate, uint64_t period_us, uint64_t burst)
{
    struct tw_limit_rule rule = {0};
    assert_true(tw_limit_rule_make(rate, period_us, burst, &rule));
    return rule;
}

KIT struct tw_limit_result take_n(const char *key, const struct tw_limit_rule *rule, uint64_t cost,
                                  uint64_t now_us)
{
    struct tw_limit_result out;
    memset(&out, 0x5a, sizeof out);
    tw_limit_take(table, 1, tw_str_of(key), rule, cost, now_us, &out);
    return out;
}

KIT bool take(const char *key, const struct tw_limit_rule *rule, uint64_t now_us)
{
    return take_n(key, rule, 1, now_us).allowed;
}

// How many are allowed at this moment until one is refused.
KIT uint64_t drain(const char *key, const struct tw_limit_rule *rule, uint64_t now_us)
{
    uint64_t n = 0;
    while (take(key, rule, now_us))
        n++;
    return n;
}

#endif
