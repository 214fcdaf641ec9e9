// SPDX-License-Identifier: Apache-2.0
// p99 of each turn of the clock, printed when the next turn of its kind begins (-t of openloop.c).
#ifndef BENCH_TURNS_H
#define BENCH_TURNS_H

#include <stdio.h>
#include <string.h>

#include "bench/histogram.h"

// Of the last even turn and the last odd one. What is counted after the next of the same kind has
// begun is not in it.
static struct {
    uint64_t index, n, counts[BUCKETS];
} turns[2];

static void print_turn(unsigned odd)
{
    if (turns[odd].n > 0)
        printf("%s_p99_ms %.3f\n", odd ? "odd" : "even",
               percentile_ms(turns[odd].counts, turns[odd].n, 0.99));
    memset(&turns[odd], 0, sizeof(turns[odd]));
}

static void count_in_turn(uint64_t index, uint64_t took_us)
{
    unsigned odd = index % 2;
    if (index < turns[odd].index)
        return;
    if (index > turns[odd].index)
        print_turn(odd);
    turns[odd].index = index;
    turns[odd].n++;
    turns[odd].counts[bucket_of(took_us)]++;
}

#endif
