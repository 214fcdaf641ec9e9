// SPDX-License-Identifier: Apache-2.0
// db_shared: what the workers of a machine must agree on about the database: how fast they connect,
// and when a principal has written last.
//
// Memory shared by all processes (shared.h), zero at first. No locks: each word is changed by one
// atomic step, so a process may die at any instruction. Times are tw_now_us, which is the same
// clock for all processes of a machine. Why times are enough to read one's own writes:
// docs/adr/009. Runs in: worker.

#ifndef TW_DB_SHARED_H
#define TW_DB_SHARED_H

#include <stdatomic.h>

#include "gateway/base.h"

// Principals share slots by their hash: who meets another one's write is the more careful.
#define TW_DB_WRITTEN_SLOTS 4096

struct tw_db_shared {
    _Atomic uint64_t connect_us;   // when the machine may connect again, were there no burst
    _Atomic uint64_t elsewhere_us; // until when others wrote who do not tell it here
    _Atomic uint64_t written_us[TW_DB_WRITTEN_SLOTS];
};

// Takes one of `per_s` connection attempts a second; after a rest a second's worth may begin at
// once (GCRA, as in limit.h). 0: begin. Else none is taken, and there may be one after so many µs.
TW_MUST_USE uint64_t tw_db_connect_wait_us(struct tw_db_shared *shared, uint32_t per_s,
                                           uint64_t now_us);

// A write of the principal has been answered, or nobody knows. `principal` is its hash, 0 nobody.
void tw_db_written(struct tw_db_shared *shared, uint64_t principal, uint64_t now_us);

// Until then anybody may have written by a worker that does not share this memory: one of another
// master (upgrade.h). UINT64_MAX: it is not known yet until when.
void tw_db_written_elsewhere(struct tw_db_shared *shared, uint64_t until_us);

// When the principal has written last, or later; 0: not since the start.
uint64_t tw_db_written_us(const struct tw_db_shared *shared, uint64_t principal);

#endif
