// SPDX-License-Identifier: Apache-2.0
// schedule: whom the kernel lets run first. The master is in no hurry, workers are: clients wait
// for them.
//
// The master's share of the processors stays what it was. But what wakes it (a scrape, a timer)
// takes no processor from whoever runs, and a worker that wakes takes the master's. Two requests,
// either of which may do nothing: SCHED_BATCH, whose wake-ups preempt nobody, and for EEVDF (Linux
// 6.12 and later, where sched_setattr(2) takes it) a slice that is longer than everybody's, which
// makes it wait for those with a shorter one, for that long at most, and give way to them
// (PREEMPT_SHORT). What somebody has chosen for the whole service, such as systemd's
// CPUSchedulingPolicy=, is left alone. Needs no privilege.
// Runs in: master; worker, once; another binary's master before it is that.

#ifndef TW_SCHEDULE_H
#define TW_SCHEDULE_H

// This process is in no hurry from now on.
void tw_schedule_patient(void);

// In a child: what tw_schedule_patient() has changed is as before.
void tw_schedule_as_before(void);

#endif
