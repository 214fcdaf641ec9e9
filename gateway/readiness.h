// SPDX-License-Identifier: Apache-2.0
// readiness: should a load balancer send requests here?
//
// Ready means: not draining, at least one worker is fully ready (TW_READY_ALL), and every settled
// worker is. A worker is settled once it has been fully ready in its life, or after
// TW_READINESS_SETTLE_US. So a worker that was just replaced does not take the whole gateway out of
// its load balancer, one that comes up and never gets ready does, and a database that goes away
// (all workers clear their bits) always does. A dead worker counts neither way.
// Runs in: master. Pure.

#ifndef TW_READINESS_H
#define TW_READINESS_H

#include "gateway/base.h"

#define TW_READINESS_SETTLE_US 5000000u
#define TW_HEARTBEAT_MAX_US    5000000u // an older heartbeat is that of a stuck worker

// One worker slot, as the master sees it.
struct tw_worker_life {
    bool alive;
    bool was_ready;        // fully ready at least once since started_us
    uint64_t started_us;   // tw_now_us
    uint64_t heartbeat_us; // tw_now_us of its last loop turn; 0 before the first
    uint32_t ready;        // bits TW_READY_*
};

// Bits of tw_readiness.reasons.
#define TW_UNREADY_DATABASE 1u
#define TW_UNREADY_KEYS     2u
#define TW_UNREADY_WORKERS  4u

struct tw_readiness {
    bool ready;
    bool draining;
    unsigned n_ready; // fully ready workers
    unsigned n_expected;
    unsigned reasons; // what is missing; 0 when ready or only draining
};

struct tw_readiness tw_readiness_of(const struct tw_worker_life *workers, unsigned n, bool draining,
                                    uint64_t now_us);

#endif
