// SPDX-License-Identifier: Apache-2.0
// histogram: durations counted in buckets, in memory that one process writes and others read.
//
// Cells are 64 bits wide and only ever grow; a reader may see one observation in a bucket and not
// yet in the sum. Runs in: worker (adds), master (sums and shows). Pure.

#ifndef TW_HISTOGRAM_H
#define TW_HISTOGRAM_H

#include <stdatomic.h>

#include "gateway/base.h"

// Upper bounds of the latency buckets in microseconds; the last bucket has none.
#define TW_LATENCY_BOUNDS_US                                                                      \
    {                                                                                             \
        250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000 \
    }
#define TW_LATENCY_BUCKETS 14

struct tw_histogram {
    _Atomic uint64_t sum_us;
    _Atomic uint64_t buckets[TW_LATENCY_BUCKETS]; // not cumulative
};

// Adds to a cell that only this process writes: no locked instruction, readers may lag.
static inline void tw_cell_add(_Atomic uint64_t *cell, uint64_t n)
{
    uint64_t now = atomic_load_explicit(cell, memory_order_relaxed);
    atomic_store_explicit(cell, now + n, memory_order_relaxed);
}

// One observation. A bound belongs to its bucket.
static inline void tw_histogram_add(struct tw_histogram *histogram, uint64_t us)
{
    static const uint64_t bounds[] = TW_LATENCY_BOUNDS_US;
    unsigned bucket = 0;
    while (bucket < TW_COUNT(bounds) && us > bounds[bucket])
        bucket++;
    tw_cell_add(&histogram->sum_us, us);
    tw_cell_add(&histogram->buckets[bucket], 1);
}

#endif
