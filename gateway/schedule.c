// SPDX-License-Identifier: Apache-2.0
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // SCHED_BATCH
#endif
#include "gateway/schedule.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/log.h"

// Longer than the kernel's own on any machine (0.7 ms to 5 ms, by the number of processors).
#define PATIENT_SLICE_NS 10000000

// As sched_setattr(2) has it; glibc's <sched.h> knows it from 2.41 on.
struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns; // "runtime"; 0: the kernel's own
    uint64_t deadline_ns, period_ns;
};

static bool is_patient; // inherited by a child, as the kernel's side of it

// The niceness stays.
static bool change(uint32_t from, uint32_t to, uint64_t slice_ns)
{
    struct attributes now = {.size = sizeof(now)};
    if (syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0) != 0)
        return false;
    if (now.policy != from)
        return errno = EBUSY, false;
    now.size = sizeof(now);
    now.policy = to;
    now.slice_ns = slice_ns;
    return syscall(SYS_sched_setattr, 0, &now, 0) == 0;
}

void tw_schedule_patient(void)
{
    is_patient = change(SCHED_OTHER, SCHED_BATCH, PATIENT_SLICE_NS);
    if (!is_patient)
        tw_log(TW_LEVEL_DEBUG, "schedule_kept", "the master's scheduling stays as it is: %s",
               strerror(errno));
}

void tw_schedule_as_before(void)
{
    if (is_patient)
        (void)change(SCHED_BATCH, SCHED_OTHER, 0);
    is_patient = false;
}
