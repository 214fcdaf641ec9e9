// SPDX-License-Identifier: Apache-2.0
// log: one line per event or request, JSON or for people; no token, no body, no secret.
//
// It never blocks: lines gather in a buffer of the process and go out in whole lines by a
// non-blocking write; what does not fit is dropped and counted. Each process has its own buffer.
// A file is appended to atomically; a pipe gets whole lines of at most PIPE_BUF bytes a write.
// Kinds and fields: docs/logging.md. Runs in: both. Single-threaded.

#ifndef TW_LOG_H
#define TW_LOG_H

#include "gateway/base.h"
#include "gateway/status.h"

enum tw_log_format { TW_LOG_JSON, TW_LOG_TEXT };

struct tw_log_setup {
    enum tw_level level; // less important lines are not written
    enum tw_log_format format;
    int fd; // of log_file.h; -1: standard output
};

// `process` is "master", "worker" or "tillway" (command line); worker is -1 but in workers.
// Called once per process, again after a fork or for another setup, which is copied; its descriptor
// is borrowed.
void tw_log_open(const char *process, int worker, const struct tw_log_setup *setup);

// From now on lines go to this descriptor, which is borrowed; those that wait go to the one before.
void tw_log_use(int fd);

// The same if lines go to `before`; `fd` -1 is standard output.
void tw_log_replace(int before, int fd);

// {"time":…,"level":…,"kind":"event","process":…,"worker":…,"event":event,"message":…}
// `event` is a stable name such as "db_connection_lost". What has the level error is of kind
// "error". The line goes out at once.
void tw_log(enum tw_level level, const char *event, const char *fmt, ...) TW_PRINTF(3, 4);

// The same with "requestId", unless that is empty.
void tw_log_for(struct tw_str request_id, enum tw_level level, const char *event, const char *fmt,
                ...) TW_PRINTF(4, 5);

// One finished request. Slices need not be valid UTF-8; empty ones are left out.
struct tw_log_access {
    enum tw_level level; // of an access line: below info counts as info
    int64_t unix_ms;     // when it finished: "time"
    struct tw_str request_id, method, path, route, protocol, peer, client, code, trace_id;
    struct tw_str principal; // its hash
    struct tw_str subject;   // or itself
    unsigned http_status;    // 0: the client left before the answer
    uint64_t bytes_sent, duration_us;
    unsigned n_statements;    // 0: no time of the database is told
    uint64_t queue_us, db_us; // waited for a connection; worked on by PostgreSQL
};

// {"time":…,"level":…,"kind":"access",…}; stays in the buffer until tw_log_flush.
void tw_log_access(const struct tw_log_access *entry);

// {"time":…,"level":"info","kind":"audit",…}: that somebody has changed something, or was not let.
// Written whatever the level; stays in the buffer, too. `entity`: the path of what was changed.
void tw_log_audit(const struct tw_log_access *entry, const char *outcome, struct tw_str entity,
                  struct tw_str store);

// {"time":…,"level":…,"kind":"error","event":"request_failed",…}: a request that we have failed.
void tw_log_failure(const struct tw_log_access *entry, const char *message);

// Lines dropped since the last call, for the metric.
uint64_t tw_log_take_dropped(void);

// True when the buffer holds lines.
bool tw_log_pending(void);
void tw_log_flush(void);

#endif
