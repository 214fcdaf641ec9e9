// SPDX-License-Identifier: Apache-2.0
// limit: how much a key may still do, counted once for all workers: a GCRA table in shared memory.
//
// For: named limits by address, principal, client or route, and the limit on failed tokens.
// Not for: what a key is, which limits hold for a request, headers, more than one machine.
//
// A key's whole state is one time: when it would be at rest if it did nothing more (the theoretical
// arrival time of the cell rate algorithm, ITU-T I.371). The table is made by the master before it
// forks, never grows and is never freed. No locks: a process may die at any instruction and leaves
// nothing to clean up. A key at rest is the same as one never seen, and only such keys are evicted;
// where a set is full of others, newcomers share one bucket (tw_limit_overflows).
//
// Guarantees, proved in limit.c and tried in tests/unit/test_limit_steps.c. For each key, over all
// processes and in the times that callers pass: never more than the burst at once and the rate
// after it; exactly that much for a key that has its entry, less for one that shares or has shared.
// It holds for callers whose now_us is late (read, then not scheduled), with two exceptions: a key
// whose entry was evicted at rest behind the back of a caller that is s late can gain what s is
// worth, and one that is ten seconds late or more may cut a debt (tw_limit_take).
//
// Runs in: master (makes), worker (everything else).

#ifndef TW_LIMIT_H
#define TW_LIMIT_H

#include "gateway/base.h"

// Policies have the ids 0 to TW_LIMIT_POLICIES_MAX - 1; an id keeps its meaning over a reload. The
// first ones are fixed (heritage.h), the others are given out by name.
#define TW_LIMIT_POLICIES_MAX   64
#define TW_LIMIT_POLICIES_FIXED 8

// retry_after_us of what will never be allowed.
#define TW_LIMIT_NEVER UINT64_MAX

// Times inside are in 1/5040 µs: intervals are exact for each rate per second that divides 5.04e9
// (100000/s, 60/s, 7/s, 1/day …). Others are rounded up, stricter by less than one in 5.04e9 /
// rate.
#define TW_LIMIT_UNITS_PER_US 5040

// Made by tw_limit_rule_make. A plain value that may be copied.
struct tw_limit_rule {
    uint64_t interval;  // one unit of cost takes so long to come back, in 1/5040 µs; at least 1
    uint64_t burst;     // cost allowed at once after a rest; at least 1
    uint64_t overdraft; // how far above the burst tw_limit_raise may bring a debt, in 1/5040 µs
};

struct tw_limit_result {
    bool allowed;
    bool overflow;           // decided by the bucket that newcomers to a full set share
    uint64_t remaining;      // cost that would be allowed now, after this one
    uint64_t retry_after_us; // the same cost is allowed then and not before, if nobody else takes;
                             // 0 when allowed, TW_LIMIT_NEVER when its cost is above the burst
    uint64_t reset_us;       // until the whole burst is there again
};

struct tw_limit_table;

// `rate` units of cost per `period_us`, `burst` of them at once (what redis-cell calls max_burst +
// 1 and nginx burst + 1). False, and `rule` untouched, when one of them is 0, the rate is above
// 5040 per µs, or the burst would take longer than 14 years to come back.
TW_MUST_USE bool tw_limit_rule_make(uint64_t rate, uint64_t period_us, uint64_t burst,
                                    struct tw_limit_rule *rule);

// Lets tw_limit_raise bring debts of `bursts` bursts above the first one, 7 years at most.
void tw_limit_rule_overdraw(struct tw_limit_rule *rule, uint64_t bursts);

// Room for at least `entries` keys, 17 bytes each, rounded up to a power of two, and at most 512
// KiB for shared buckets; pages are taken from the system when first used. Keys not at rest fill
// sets of eight by chance: with `entries` eight times as many as they are, one set in a million is
// too small, with four times one in 4000, with twice one in 50. NULL when `entries` is 0 or above
// 2^32, or memory or random bytes are refused. Lives as long as the processes.
TW_MUST_USE struct tw_limit_table *tw_limit_table_new(size_t entries);

// Size of the mapping in bytes; it never changes.
size_t tw_limit_table_bytes(const struct tw_limit_table *table);

// The id of the policy of that name: the same in all processes and over every reload, and no other
// name's, as long as the table lives. After 56 names in one life newcomers share ids: then the name
// must be part of the key, and what overflows is shared as well.
TW_MUST_USE unsigned tw_limit_policy_id(struct tw_limit_table *table, struct tw_str name);

// What stands for a key under a policy, for who asks about it twice.
TW_MUST_USE uint64_t tw_limit_hash(const struct tw_limit_table *table, unsigned policy,
                                   struct tw_str key);

// Takes `cost` from what the key may do under this policy. `key` is any bytes (n may be 0), read
// before this returns and not kept: a keyed 64-bit hash stands for it. `now_us` is tw_now_us. A
// refused take leaves the key as it was; cost 0 is allowed and costs nothing; cost above the burst
// is never allowed, nor is anything after 29 years of tw_now_us. Never fails otherwise, never
// waits.
//
// Another rule for the same policy goes on with the same state. A debt that the rule in hand would
// not have allowed, overdraft and ten seconds added, is cut down to its whole burst: nobody waits
// longer than that for a limit that is gone. (While workers of two rules run, those of the greater
// burst give a key that uses both more than its burst: let them answer with Connection: close.)
void tw_limit_take(struct tw_limit_table *table, unsigned policy, struct tw_str key,
                   const struct tw_limit_rule *rule, uint64_t cost, uint64_t now_us,
                   struct tw_limit_result *out);

// What tw_limit_take would answer, but nothing is taken: `remaining` is what there is.
void tw_limit_peek(struct tw_limit_table *table, unsigned policy, struct tw_str key,
                   const struct tw_limit_rule *rule, uint64_t cost, uint64_t now_us,
                   struct tw_limit_result *out);

// The same for a key known by tw_limit_hash under the same policy.
void tw_limit_take_hashed(struct tw_limit_table *table, unsigned policy, uint64_t hash,
                          const struct tw_limit_rule *rule, uint64_t cost, uint64_t now_us,
                          struct tw_limit_result *out);
void tw_limit_peek_hashed(struct tw_limit_table *table, unsigned policy, uint64_t hash,
                          const struct tw_limit_rule *rule, uint64_t cost, uint64_t now_us,
                          struct tw_limit_result *out);

// Makes the key owe at least `debt_us` at `now_us`, for what it has taken elsewhere: it is at rest
// `debt_us` after that moment or later. The debt may exceed the burst by the rule's overdraft; what
// is beyond is left out. It never lowers a debt, so all guarantees for takes hold; a take that
// begins after it counts it. A key whose set is full keeps what it owes in the shared bucket, which
// strangers share, and nothing else happens.
void tw_limit_raise(struct tw_limit_table *table, unsigned policy, uint64_t hash,
                    const struct tw_limit_rule *rule, uint64_t debt_us, uint64_t now_us);

// How often a take went to a shared bucket because its set was full, over all processes.
uint64_t tw_limit_overflows(const struct tw_limit_table *table);

#endif
