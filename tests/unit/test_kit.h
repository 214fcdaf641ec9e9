// SPDX-License-Identifier: Apache-2.0
// test_kit: cmocka's preamble and a random source that gives the same numbers in every run.
#ifndef TW_TEST_KIT_H
#define TW_TEST_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base.h"

#define KIT static __attribute__((unused))

static uint64_t kit_random_state = 0x7711a7e5eed;

// S. Vigna's splitmix64.
KIT uint64_t kit_random(void)
{
    uint64_t z = kit_random_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

// 0 to n - 1.
KIT uint64_t kit_below(uint64_t n)
{
    return kit_random() % n;
}

// A number of any magnitude, large and small ones alike.
KIT int64_t kit_random_i64(void)
{
    return (int64_t)kit_random() >> kit_below(64);
}

KIT void kit_assert_str(struct tw_str s, const char *expected)
{
    if (!tw_str_eq(s, tw_str_of(expected)))
        fail_msg("\"%.*s\" is not \"%s\"", (int)s.n, s.n ? s.p : "", expected);
}

#endif
