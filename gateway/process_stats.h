// SPDX-License-Identifier: Apache-2.0
// process_stats: what the kernel says of a process: /proc/PID, which does not block.
//
// Reading is not free (descriptors are counted one by one), so a watch reads each process at most
// once in TW_PROCESS_READ_US, however often it is scraped. Runs in: master.

#ifndef TW_PROCESS_STATS_H
#define TW_PROCESS_STATS_H

#include <sys/types.h>

#include "gateway/base.h"

#define TW_PROCESS_READ_US 1000000u

struct tw_process_stats {
    bool is_known; // else it has gone, or may not be looked at
    uint64_t cpu_us;
    uint64_t resident_bytes, virtual_bytes;
    uint64_t open_fds, max_fds; // max_fds 0: neither may be looked at
};

// Reads it now.
struct tw_process_stats tw_process_read(pid_t pid);

// The same without descriptors, which take longest.
struct tw_process_stats tw_process_read_brief(pid_t pid);

struct tw_process_watch;

// Room for the slots 0 to n - 1. NULL when memory is refused.
TW_MUST_USE struct tw_process_watch *tw_process_watch_new(unsigned n);

// What was read of this process, which is in that slot now; valid until the slot's next look.
const struct tw_process_stats *tw_process_look(struct tw_process_watch *watch, unsigned slot,
                                               pid_t pid, uint64_t now_us);

// NULL is fine.
void tw_process_watch_free(struct tw_process_watch *watch);

#endif
