// SPDX-License-Identifier: Apache-2.0
#include "gateway/peer_count.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "auth/siphash.h"
#include "gateway/uuid.h"

#define CELLS 16384 // per worker; a power of two

struct tw_peer_counts {
    unsigned n_workers;
    unsigned char hash_key[TW_SIPHASH_KEY_BYTES];
    _Atomic uint32_t cells[][CELLS];
};

struct tw_peer_counts *tw_peer_counts_new(unsigned n_workers)
{
    struct tw_peer_counts *counts;
    counts = mmap(NULL, sizeof(*counts) + n_workers * sizeof(counts->cells[0]),
                  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        return NULL;
    counts->n_workers = n_workers;
    tw_random(counts->hash_key, sizeof(counts->hash_key));
    return counts;
}

static size_t cell_of(const struct tw_peer_counts *counts, struct tw_str peer)
{
    return tw_siphash(counts->hash_key, peer) & (CELLS - 1);
}

// Only this worker writes its cells, and the master once the worker is dead.
static void write_cell(_Atomic uint32_t *cell, uint32_t n)
{
    atomic_store_explicit(cell, n, memory_order_relaxed);
}

static uint32_t read_cell(_Atomic uint32_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

unsigned tw_peer_counts_add(struct tw_peer_counts *counts, unsigned worker, struct tw_str peer)
{
    size_t at = cell_of(counts, peer);
    unsigned total = 0;
    write_cell(&counts->cells[worker][at], read_cell(&counts->cells[worker][at]) + 1);
    for (unsigned i = 0; i < counts->n_workers; i++)
        total += read_cell(&counts->cells[i][at]);
    return total;
}

void tw_peer_counts_remove(struct tw_peer_counts *counts, unsigned worker, struct tw_str peer)
{
    _Atomic uint32_t *cell = &counts->cells[worker][cell_of(counts, peer)];
    uint32_t n = read_cell(cell);
    write_cell(cell, n > 0 ? n - 1 : 0);
}

void tw_peer_counts_clear(struct tw_peer_counts *counts, unsigned worker)
{
    for (size_t i = 0; i < CELLS; i++)
        write_cell(&counts->cells[worker][i], 0);
}
