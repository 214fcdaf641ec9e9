// SPDX-License-Identifier: Apache-2.0
// Counts of times by microseconds, and their percentiles: bench-openloop's. A bucket is an index
// into an array of BUCKETS counts.
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

// Of microseconds: 128 steps for each power of two, so within 1 %.
#define STEPS   128
#define BUCKETS (STEPS * 40)

static inline unsigned bucket_of(uint64_t us)
{
    if (us < STEPS * 2)
        return (unsigned)us;
    unsigned shift = 63 - (unsigned)__builtin_clzll(us) - 7;
    unsigned bucket = shift * STEPS + (unsigned)(us >> shift);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static inline double bucket_ms(unsigned bucket)
{
    if (bucket < STEPS * 2)
        return bucket / 1000.0;
    unsigned shift = bucket / STEPS - 1;
    return (double)((uint64_t)(bucket - shift * STEPS) << shift) / 1000.0;
}

static inline double percentile_ms(const uint64_t *buckets, uint64_t n, double part)
{
    uint64_t wanted = (uint64_t)ceil((double)n * part), sum = 0;
    for (unsigned b = 0; b < BUCKETS; b++)
        if ((sum += buckets[b]) >= wanted && sum > 0)
            return bucket_ms(b);
    return 0;
}

#endif
