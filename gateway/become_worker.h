// SPDX-License-Identifier: Apache-2.0
// become_worker: what a freshly forked child does before it is a worker.
//
// It gives up everything of the master's: descriptors, signal handlers, name. The master's libevent
// base is left untouched in memory (its epoll descriptor is shared with the master: freeing it here
// could take events away from there). Runs in: worker, once.

#ifndef TW_BECOME_WORKER_H
#define TW_BECOME_WORKER_H

#include <signal.h>

#include "gateway/heritage.h"
#include "gateway/log.h"

// The caller has blocked all signals before the fork; `signal_mask` is the mask to go back to. Runs
// tw_worker_run() and exits with its code through exit(), for leak and coverage reports.
_Noreturn void tw_become_worker(const struct tw_heritage *heritage, const struct tw_log_setup *log,
                                const sigset_t *signal_mask);

#endif
