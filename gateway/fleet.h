// SPDX-License-Identifier: Apache-2.0
// fleet: the nodes of a fleet tell each other through Redis what was used of the limits.
//
// A request is always decided at once from the node's own table. What it was charged is noted here,
// and every fleet.interval each worker tells Redis the sum by key, in pipelined calls of a script
// (fleet.lua), and takes what the fleet owes into the node's table (tw_limit_raise). So all nodes
// together may exceed a burst by what they use in one exchange, and pay it back: over any longer
// time the fleet admits the burst and the rate. Without Redis each node goes on alone; what cannot
// be told at its time is not told later. Names of keys in Redis are keyed hashes. Why all this:
// docs/adr/006-limits-of-a-fleet.md. Runs in: worker; tw_fleet_check on the command line.

#ifndef TW_FLEET_H
#define TW_FLEET_H

#include "config/config.h"
#include "gateway/limit.h"
#include "gateway/shared.h"

// How many bursts above its own a key of a fleet may owe: what so many nodes can admit in the same
// exchange.
#define TW_FLEET_OVERDRAFT_BURSTS 63

struct tw_fleet; // opaque
struct st_h2o_context_t;

// Whether the configuration can be used: the authorities' file. False with one line in `err`.
TW_MUST_USE bool tw_fleet_check(const struct tw_config *config, char *err, size_t err_size);

// Begins to connect when fleet.redis is set. Borrows all. NULL when memory is short.
TW_MUST_USE struct tw_fleet *tw_fleet_new(struct st_h2o_context_t *ctx,
                                          const struct tw_config *config,
                                          struct tw_limit_table *limits,
                                          struct tw_worker_page *page);

// NULL is fine.
void tw_fleet_free(struct tw_fleet *fleet);

// The key was charged so much. `hash` is its tw_limit_hash, `key` its bytes, which are the same on
// every node; they are copied. `fleet` may be NULL: then nobody is told.
void tw_fleet_used(struct tw_fleet *fleet, unsigned policy, uint64_t hash, struct tw_str key,
                   const struct tw_limit_rule *rule, uint64_t cost);

// fleet.lua, without its comments; generated.
extern const char tw_fleet_script[];

#endif
