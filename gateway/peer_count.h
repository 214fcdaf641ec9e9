// SPDX-License-Identifier: Apache-2.0
// peer_count: how many connections a peer has, over all workers.
//
// Each worker counts its own in cells of its own, by a keyed hash of the peer; the sum over the
// workers is what counts. No locks, nothing to clean up but the cells of a worker that died, which
// the master clears. Two peers that meet in one of the cells are counted as one: a cap may come
// sooner for them, never later. Memory shared by all processes, made by the master, never freed.
// Runs in: master (makes, clears), worker.

#ifndef TW_PEER_COUNT_H
#define TW_PEER_COUNT_H

#include "gateway/base.h"

struct tw_peer_counts;

// NULL when memory or random bytes are refused.
TW_MUST_USE struct tw_peer_counts *tw_peer_counts_new(unsigned n_workers);

// One connection more of this worker's; returns how many the peer has now. `peer` is any bytes.
unsigned tw_peer_counts_add(struct tw_peer_counts *counts, unsigned worker, struct tw_str peer);

// One less: call once for each tw_peer_counts_add.
void tw_peer_counts_remove(struct tw_peer_counts *counts, unsigned worker, struct tw_str peer);

// The worker is dead: its connections are gone.
void tw_peer_counts_clear(struct tw_peer_counts *counts, unsigned worker);

#endif
