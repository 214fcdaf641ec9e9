// SPDX-License-Identifier: Apache-2.0
// status_json: what the status page shows, as one JSON document (docs/operations.md has its shape).
//
// Made by the master from what it holds: the workers' pages, /proc, its own memory. Runs in:
// master.

#ifndef TW_STATUS_JSON_H
#define TW_STATUS_JSON_H

#include <sys/types.h>

#include "gateway/json_out.h"
#include "gateway/readiness.h"
#include "gateway/status_history.h"

// How the last one of a kind went; at_unix_ms is 0 before the first.
struct tw_outcome {
    int64_t at_unix_ms;
    bool failed;
    char why[512]; // one line when it failed
};

// The master and what is in force. Everything is borrowed for the call.
struct tw_operation {
    pid_t pid;
    int64_t started_unix_ms;
    struct tw_readiness readiness;
    int64_t readiness_since_unix_ms;
    const char *change;  // "none", "reload", "upgrade", "stop"
    uint64_t generation; // in force
    unsigned n_workers;
    int64_t loaded_unix_ms;
    const char *restart_keys; // that a reload has not changed: "admin.port, ..."
    const struct tw_outcome *reload, *upgrade;
};

// "ready", "draining" or "unready".
const char *tw_readiness_word(const struct tw_readiness *readiness);

// "reasons": [...], into an object that is open.
void tw_readiness_reasons_json(struct tw_json *json, unsigned reasons);

// The object's members but for the workers, into an object that is open. Samples behind number
// `after`; 0 is all of them, and what their indexes mean.
void tw_status_json(struct tw_json *json, const struct tw_operation *operation,
                    const struct tw_metrics_view *view, const struct tw_status_history *history,
                    uint64_t after);

#endif
