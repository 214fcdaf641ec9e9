// SPDX-License-Identifier: Apache-2.0
// log: one JSON object per line on standard output, with fixed keys; no token, no body, no secret.
//
// It never blocks: lines gather in a buffer of the process and go out in whole lines by a
// non-blocking write; what does not fit is dropped and counted. Each process has its own buffer.
// A file is appended to atomically; a pipe gets whole lines of at most PIPE_BUF bytes a write.
// Runs in: both. Single-threaded.

#ifndef TW_LOG_H
#define TW_LOG_H

#include "gateway/base.h"
#include "gateway/status.h"

// `process` is "master", "worker" or "tillway" (command line); worker is -1 but in workers.
// Called once per process, again after a fork. `level`: less important lines are not written.
void tw_log_open(const char *process, int worker, enum tw_level level);

// {"time":…,"level":…,"kind":"event","process":…,"worker":…,"event":event,"message":…}
// `event` is a stable name such as "db_connection_lost". The line goes out at once.
void tw_log(enum tw_level level, const char *event, const char *fmt, ...) TW_PRINTF(3, 4);

// One finished request. Slices need not be valid UTF-8; empty ones are left out.
struct tw_log_access {
    enum tw_level level; // below info counts as info
    struct tw_str request_id, method, path, route, protocol, peer, client, code, subject,
        traceparent;
    unsigned http_status; // 0: the client left before the answer
    uint64_t bytes_sent, duration_us;
};

// {"time":…,"level":…,"kind":"access",…}; stays in the buffer until tw_log_flush.
void tw_log_access(const struct tw_log_access *entry);

// Lines dropped since the last call, for the metric.
uint64_t tw_log_take_dropped(void);

// True when the buffer holds lines.
bool tw_log_pending(void);
void tw_log_flush(void);

#endif
