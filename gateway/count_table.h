// SPDX-License-Identifier: Apache-2.0
// count_table: how many of something a key has now, over all workers: connections of a peer,
// requests of a principal.
//
// Each worker counts its own in cells of its own, by a keyed hash of the key; the sum over the
// workers is what counts. No locks, nothing to clean up but the cells of a worker that died, which
// the master clears. Two keys that meet in one of the cells are counted as one: a cap may come
// sooner for them, never later. Memory shared by all processes, made by the master, never freed.
// Runs in: master (makes, clears), worker.

#ifndef TW_COUNT_TABLE_H
#define TW_COUNT_TABLE_H

#include "gateway/base.h"

struct tw_count_table;

// Room for so many workers; pages are taken from the system when first used. NULL when memory or
// random bytes are refused.
TW_MUST_USE struct tw_count_table *tw_count_table_new(unsigned n_workers);

// Master: only the first `n` workers are there; fewer rows to sum. All of them unless it is called.
void tw_count_table_use(struct tw_count_table *table, unsigned n);

// One more of this worker's; returns how many the key has now. `key` is any bytes.
unsigned tw_count_table_add(struct tw_count_table *table, unsigned worker, struct tw_str key);

// One less: call once for each tw_count_table_add.
void tw_count_table_remove(struct tw_count_table *table, unsigned worker, struct tw_str key);

// The worker is dead, and what it counted is gone.
void tw_count_table_clear(struct tw_count_table *table, unsigned worker);

#endif
