// SPDX-License-Identifier: Apache-2.0
#include "gateway/readiness.h"

#include "gateway/shared.h"

// Microseconds from `then` to `now`; 0 when another process's clock reading is a little ahead.
static uint64_t since(uint64_t now_us, uint64_t then_us)
{
    return now_us > then_us ? now_us - then_us : 0;
}

static bool turns(const struct tw_worker_life *worker, uint64_t now_us)
{
    return worker->heartbeat_us != 0 && since(now_us, worker->heartbeat_us) <= TW_HEARTBEAT_MAX_US;
}

static bool is_settled(const struct tw_worker_life *worker, uint64_t now_us)
{
    return worker->was_ready || since(now_us, worker->started_us) > TW_READINESS_SETTLE_US;
}

// What one worker lacks: 0 when it is fully ready. Of one whose loop does not turn nothing is
// known.
static unsigned lacks(const struct tw_worker_life *worker, uint64_t now_us)
{
    if (!turns(worker, now_us))
        return TW_UNREADY_WORKERS;
    const uint32_t database = TW_READY_DB_READ | TW_READY_DB_WRITE;
    uint32_t bits = worker->ready;
    return ((bits & TW_READY_SERVING) ? 0 : TW_UNREADY_WORKERS) |
           ((bits & database) == database ? 0 : TW_UNREADY_DATABASE) |
           ((bits & TW_READY_KEYS) ? 0 : TW_UNREADY_KEYS);
}

struct tw_readiness tw_readiness_of(const struct tw_worker_life *workers, unsigned n, bool draining,
                                    uint64_t now_us)
{
    struct tw_readiness out = {.draining = draining, .n_expected = n};
    unsigned settled = 0, all = 0; // what settled workers lack, what any worker lacks

    for (unsigned i = 0; i < n; i++) {
        if (!workers[i].alive)
            continue;
        unsigned missing = lacks(&workers[i], now_us);
        out.n_ready += missing == 0 ? 1 : 0;
        all |= missing;
        if (is_settled(&workers[i], now_us))
            settled |= missing;
    }
    if (out.n_ready > 0)
        out.reasons = settled;
    else
        out.reasons = all ? all : TW_UNREADY_WORKERS; // nobody lives
    out.ready = out.reasons == 0 && !draining;
    return out;
}
