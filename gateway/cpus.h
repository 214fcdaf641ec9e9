// SPDX-License-Identifier: Apache-2.0
// cpus: how many workers `workers: auto` means.
//
// The CPUs this process may run on (sched_getaffinity), limited by the CPU quota of its control
// groups, rounded up: 1.5 CPUs are two workers. Version 2 (cpu.max) and version 1
// (cpu.cfs_quota_us) are read, also in the parents of the own group. Runs in: master, at start.

#ifndef TW_CPUS_H
#define TW_CPUS_H

#include "gateway/base.h"

// At least 1. What cannot be read does not limit.
unsigned tw_cpus_available(void);

// The quota alone: CPUs rounded up, 0 if there is none. `membership` has the form of
// /proc/self/cgroup, `root` that of /sys/fs/cgroup.
unsigned tw_cpus_quota(const char *membership, const char *root);

#endif
