// SPDX-License-Identifier: Apache-2.0
// supervise: keeps one generation of n workers alive: forks, reaps, replaces, aborts the stuck,
// lets go.
//
// A dead worker is replaced at once; after TW_RESPAWN_BURST deaths in TW_RESPAWN_WINDOW_US all
// replacing pauses, 1 s first, doubled up to 10 s while deaths go on, and begins anew after 10 s of
// peace: a query of death cannot become a fork storm. What a dead worker said of itself (heartbeat,
// readiness, gauges) is cleared here; its counters stay.
// Not for: signals (master.c turns them into calls), the decision to stop. Runs in: master; the
// last steps before tw_worker_run() in the child.
//
// A worker begins with SIGINT, SIGTERM and SIGHUP ignored: a terminal or a service manager sends
// them to the whole group, and only the master decides when workers leave. SIGPIPE is ignored too;
// every other signal is as it was when the master began. All descriptors are closed but 0 to 2, its
// own listening sockets, its end of the ipc pair and the log's file.

#ifndef TW_SUPERVISE_H
#define TW_SUPERVISE_H

#include <sys/types.h>

#include "gateway/heritage.h"
#include "gateway/listen.h"
#include "gateway/log.h"
#include "gateway/readiness.h"
#include "gateway/status.h"

#define TW_RESPAWN_BURST     5
#define TW_RESPAWN_WINDOW_US 10000000u

struct event_base;
struct tw_trace_export;
struct tw_supervisor;

// A worker that lives, for those who look.
struct tw_worker_seen {
    pid_t pid;
    struct tw_worker_life life;
    bool waits;    // it has not been told to accept
    bool leaves;   // it has been told to drain
    bool is_stuck; // the watchdog has aborted it
    uint64_t requests;
    int64_t in_flight, connections;
};

struct tw_supervisor_setup {
    struct event_base *base;
    const struct tw_config *config;
    const struct tw_route_table *routes;
    struct tw_shared *shared;
    struct tw_limit_table *limits;
    struct tw_count_table *peer_counts;
    struct tw_count_table *in_progress;
    unsigned n_workers;
    unsigned first_row;               // of their pages and their cells in count tables
    const struct tw_sockets *sockets; // at least one row per worker
    const struct tw_account *account; // whom workers become
    bool waits;                       // they accept only after tw_supervise_accept()
    const struct tw_log_setup *log;   // its descriptor may change
    struct tw_trace_export *traces;   // NULL: nothing is traced
    // A worker has seen a key id that its key set of this issuer lacks.
    void (*on_unknown_kid)(void *arg, size_t issuer);
    void *arg;
};

// Forks nothing yet. `setup` is copied, what it points to is borrowed. NULL when memory is refused.
struct tw_supervisor *tw_supervise_new(const struct tw_supervisor_setup *setup);

// Forks every worker. False with errno when the first ones cannot be forked: then none lives.
TW_MUST_USE bool tw_supervise_start(struct tw_supervisor *supervisor);

// A child has died, with this status of waitpid(2). False when it was not one of these workers.
bool tw_supervise_take_death(struct tw_supervisor *supervisor, pid_t pid, int status);

// Replaces the dead, now or after the pause.
void tw_supervise_refill(struct tw_supervisor *supervisor);

// Those that have been born waiting accept from now on.
void tw_supervise_accept(struct tw_supervisor *supervisor);

// Whether every worker lives, turns and says all these bits; and all bits that any of them says.
bool tw_supervise_all_have(struct tw_supervisor *supervisor, uint32_t bits);
uint32_t tw_supervise_any_has(struct tw_supervisor *supervisor);

// Several times a second: aborts workers whose heartbeat is older than TW_HEARTBEAT_MAX_US, kills
// those that outlive that by 2 s, sends again what could not be sent.
void tw_supervise_tick(struct tw_supervisor *supervisor);

// Tells all workers the descriptor that stands in setup->log now, which has one.
void tw_supervise_change_log_file(struct tw_supervisor *supervisor);

// From now on the dead are not replaced, and the living are told to finish and leave. Idle HTTP/1
// connections may come with another request for `linger_ms`.
void tw_supervise_drain(struct tw_supervisor *supervisor, uint32_t linger_ms);

// SIGKILL to every worker that still lives, without waiting; returns how many there were.
unsigned tw_supervise_kill(struct tw_supervisor *supervisor);

unsigned tw_supervise_alive(const struct tw_supervisor *supervisor);
uint64_t tw_supervise_restarts(const struct tw_supervisor *supervisor);

// False when nobody lives in this slot.
bool tw_supervise_see(struct tw_supervisor *supervisor, unsigned index, struct tw_worker_seen *out);

// One entry per worker slot, for tw_readiness_of(); valid until the next call.
const struct tw_worker_life *tw_supervise_lives(struct tw_supervisor *supervisor);

// Leaves living workers alone: their ipc ends close, so that they drain by themselves.
void tw_supervise_free(struct tw_supervisor *supervisor);

#endif
