// SPDX-License-Identifier: Apache-2.0
// generation: one configuration in force, with all that lives and dies with it.
//
// The snapshot, the documents that workers get (keys, certificates), who fetches and watches them,
// the listening sockets, the workers. A reload makes a second generation beside the first, on the
// same sockets, and lets the first one go when the second is ready; a binary upgrade does the same
// in another process. What outlives a generation belongs to the master: pages, tables of counts
// and limits. Not for: when to change over (master.c). Runs in: master.

#ifndef TW_GENERATION_H
#define TW_GENERATION_H

#include "gateway/account.h"
#include "gateway/heritage.h"
#include "gateway/listen.h"
#include "gateway/log.h"

struct event_base;

// Rows of pages and of count tables: row 0 is the master's, and two generations of 256 workers find
// room beside each other, wherever the first one is.
#define TW_ROWS_MAX 769

// What all generations share; everything is borrowed.
struct tw_household {
    struct event_base *base;
    const struct tw_route_table *routes;
    struct tw_shared *pages; // TW_ROWS_MAX of them; its slots are not used
    struct tw_limit_table *limits;
    struct tw_count_table *peer_counts;
    struct tw_count_table *in_progress;
};

struct tw_generation {
    uint64_t number; // 1, 2, … in this process
    struct tw_config *config;
    struct tw_shared *shared; // the household's pages, documents of its own
    unsigned n_workers, first_row;
    struct tw_log_setup log;
    struct tw_sockets sockets;
    struct tw_account account;
    struct tw_auth_files *auth_files;
    struct tw_tls_files *tls_files;
    struct tw_jwks_fetch *jwks;
    struct tw_trace_export *traces; // NULL: nothing is traced
    struct tw_supervisor *supervisor;
};

// Everything up to the first fork. `config` is taken over, also when this fails. `before`, unless
// it is NULL, is in force: its sockets, keys and their age are taken over. `held` has sockets that
// another process has handed on, or is NULL. `waits`: workers accept only after
// tw_supervise_accept(). NULL with one line in `err`. Not to be called by an event.
TW_MUST_USE struct tw_generation *tw_generation_new(const struct tw_household *household,
                                                    struct tw_config *config,
                                                    const struct tw_generation *before,
                                                    const struct tw_sockets *held, bool waits,
                                                    char *err, size_t err_size);

// Frees everything; living workers see that their master has gone. Turns the event loop once, so it
// is not to be called by an event. NULL is fine.
void tw_generation_free(struct tw_generation *generation);

// One row more than the last one it uses.
unsigned tw_generation_end_row(const struct tw_generation *generation);

// What log.* says, without the file.
struct tw_log_setup tw_generation_log_setup(const struct tw_config *config);

// Opens the log's file anew, for the workers too. False when there is none, or it cannot be opened:
// that is logged, and the one before stays.
bool tw_generation_reopen_log(struct tw_generation *generation);

#endif
