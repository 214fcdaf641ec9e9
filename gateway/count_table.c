// SPDX-License-Identifier: Apache-2.0
#include "gateway/count_table.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "auth/siphash.h"
#include "gateway/uuid.h"

#define CELLS 16384 // per worker; a power of two

struct tw_count_table {
    _Atomic unsigned n_workers; // whose cells are summed
    unsigned char hash_key[TW_SIPHASH_KEY_BYTES];
    _Atomic uint32_t cells[][CELLS];
};

struct tw_count_table *tw_count_table_new(unsigned n_workers)
{
    struct tw_count_table *table;
    table = mmap(NULL, sizeof(*table) + n_workers * sizeof(table->cells[0]), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED)
        return NULL;
    table->n_workers = n_workers;
    tw_random(table->hash_key, sizeof(table->hash_key));
    return table;
}

void tw_count_table_use(struct tw_count_table *table, unsigned n)
{
    atomic_store_explicit(&table->n_workers, n, memory_order_relaxed);
}

static size_t cell_of(const struct tw_count_table *table, struct tw_str key)
{
    return tw_siphash(table->hash_key, key) & (CELLS - 1);
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

unsigned tw_count_table_add(struct tw_count_table *table, unsigned worker, struct tw_str key)
{
    size_t at = cell_of(table, key);
    unsigned total = 0, n = atomic_load_explicit(&table->n_workers, memory_order_relaxed);
    write_cell(&table->cells[worker][at], read_cell(&table->cells[worker][at]) + 1);
    for (unsigned i = 0; i < n; i++)
        total += read_cell(&table->cells[i][at]);
    return total;
}

void tw_count_table_remove(struct tw_count_table *table, unsigned worker, struct tw_str key)
{
    _Atomic uint32_t *cell = &table->cells[worker][cell_of(table, key)];
    uint32_t n = read_cell(cell);
    write_cell(cell, n > 0 ? n - 1 : 0);
}

void tw_count_table_clear(struct tw_count_table *table, unsigned worker)
{
    for (size_t i = 0; i < CELLS; i++)
        write_cell(&table->cells[worker][i], 0);
}
