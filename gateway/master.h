// SPDX-License-Identifier: Apache-2.0
// master: what the files of the master share. Private to master*.c.
//
// master.c starts, stops and runs the loop; master_change.c puts one generation, or one binary, in
// the place of another; master_view.c tells the admin port what there is. Entry point:
// tw_master_run in heritage.h.

#ifndef TW_MASTER_H
#define TW_MASTER_H

#include "gateway/generation.h"
#include "gateway/status_json.h"
#include "gateway/upgrade.h"

struct event;

// A stop goes through these in order.
enum tw_stage { TW_STAGE_RUNNING, TW_STAGE_ANNOUNCED, TW_STAGE_DRAINING, TW_STAGE_KILLED };

#define TW_MASTER_SIGNALS 6

// The master of another binary that is to take over.
struct tw_heir {
    pid_t pid; // 0: there is none
    int fd;    // ipc
    struct event *event;
    uint64_t until_us;
    bool has_taken_over;
    bool logs_have_moved; // SIGUSR1 came since it was started
    bool is_dead;
    int status; // of waitpid(2)
    bool is_late;
};

// What a change still waits for once it is in force.
enum tw_settling {
    TW_SETTLED,
    TW_SETTLING_NEW, // `current` was told to accept, and not all do
    TW_SETTLING_OLD, // `leaving` was told to drain, and some still accept
};

struct tw_master {
    const struct tw_master_setup *setup;
    struct tw_household household;
    struct tw_generation *current; // in force; NULL until an heir's workers are ready
    struct tw_generation *next;    // its workers wait
    struct tw_generation *leaving; // its workers drain, or are about to
    bool next_has_deaths;
    uint64_t next_until_us;
    uint32_t need;          // bits TW_READY_* that `next` must have
    uint32_t wish;          // and which are waited for a while when it has these
    uint64_t wish_until_us; // 0: it does not have them yet
    enum tw_settling settling;
    uint64_t settle_us; // until when
    uint64_t leaving_until_us;
    bool reload_wanted, upgrade_wanted;
    struct tw_heir heir;
    struct tw_inheritance inherited; // control_fd -1: nothing, or done with it
    unsigned n_pages;                // that were ever in use
    uint64_t n_generations;          // that were ever begun
    uint64_t restarts;               // of generations that have gone
    struct tw_admin *admin;
    struct event *signals[TW_MASTER_SIGNALS];
    struct event *tick, *look;
    struct event *stage_timer; // the next step of a stop
    enum tw_stage stage;
    bool handed_over;
    pid_t successor; // 0: none, or it has died; signals that still come here are its
    bool done;       // leave the loop
    int64_t start_unix_ms;
    bool was_ready;  // what the log said last
    bool lacks_zone; // and that it said why no sale can be
    int64_t ready_changed_unix_ms;
    struct tw_outcome reload, upgrade;    // the last ones
    char restart_keys[256];               // that the last reload could not change
    struct tw_status_history *history;    // NULL until the admin port is open
    struct tw_process_watch *processes;   // of workers by their index, the master behind them
    struct tw_worker_stats *worker_stats; // room for as many; what /metrics was told last
    char error[1024];
};

// ---- master.c -----------------------------------------------------------------------------------

// The page of the master's own metrics.
struct tw_worker_page *tw_master_page(const struct tw_master *master);

// Workers of all generations that live.
unsigned tw_master_alive(const struct tw_master *master);

// Logs where it listens.
void tw_master_log_listening(const struct tw_master *master);

// Lets all workers finish, and the loop end.
void tw_master_drain(struct tw_master *master, uint32_t linger_ms);

// ---- master_view.c ------------------------------------------------------------------------------

// Of the generation in force.
struct tw_readiness tw_master_readiness(const struct tw_master *master);

// Serves the admin port on this listening socket. False with master->error.
TW_MUST_USE bool tw_master_start_admin(struct tw_master *master, int fd);

// For the status page's history, when it is time.
void tw_master_take_sample(struct tw_master *master);

// How a reload or an upgrade went; `why` NULL: it is done.
void tw_master_note(struct tw_outcome *outcome, const char *why);

// ---- master_change.c ----------------------------------------------------------------------------

// Makes the generation `next` of this configuration, which is taken over, and forks its workers,
// which wait. False with master->error.
TW_MUST_USE bool tw_change_begin(struct tw_master *master, struct tw_config *config);

// Puts `next` in force at once: a start, where there is nothing to wait for.
void tw_change_at_once(struct tw_master *master);

// Between two turns of the loop: whatever is due of a change that goes on, or is wanted.
void tw_change_step(struct tw_master *master);

// A stop begins: what has not come into force never will.
void tw_change_end(struct tw_master *master);

void tw_change_forget_heir(struct tw_master *master);

#endif
