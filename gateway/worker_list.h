// SPDX-License-Identifier: Apache-2.0
// worker_list: each worker as one JSON object, for /workers and the status page.
//
// What the master knows of it (supervise.h), and what the kernel says: memory and processor time
// from /proc, which does not block. Runs in: master.

#ifndef TW_WORKER_LIST_H
#define TW_WORKER_LIST_H

#include "gateway/json_out.h"
#include "gateway/supervise.h"

// "starting", "waiting" (for the others of its generation), "serving", "unready" (it lacks keys or
// the database), "draining", "stuck".
const char *tw_worker_state(const struct tw_worker_seen *worker, uint64_t now_us);

// Adds the objects of all workers of a generation that live to an array that is open.
void tw_worker_list_json(struct tw_json *json, struct tw_supervisor *supervisor, unsigned n_workers,
                         uint64_t generation, uint64_t now_us);

#endif
