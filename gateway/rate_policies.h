// SPDX-License-Identifier: Apache-2.0
// rate_policies: the policies of `limits` made ready: which hold for a route, under which keys they
// count, and the texts of their headers.
//
// For: rate_limit, which applies them to requests. Not for: counting (limit).
// Headers are those of draft-ietf-httpapi-ratelimit-headers-11: lists of strings (RFC 9651) with
// integers: RateLimit-Policy has the quota (q) and its window in seconds (w), RateLimit what is
// left (r) and a time in seconds (t), in which no more than that may be used.
// Runs in: worker; also in the master and on the command line, to check. Needs no request.

#ifndef TW_RATE_POLICIES_H
#define TW_RATE_POLICIES_H

#include "auth/principal.h"
#include "config/config.h"
#include "config/network.h"
#include "gateway/limit.h"
#include "gateway/router.h"

struct tw_rate_policy {
    const struct tw_limit_policy *is;
    struct tw_limit_rule rule;
    unsigned id;       // in the table
    uint64_t window_s; // in which the burst comes back, rounded up
    uint64_t tag;      // stands for the name in keys
    bool in_fleet;     // what it is charged is told to the fleet
    struct tw_str name;
    struct tw_str quoted; // how it stands in RateLimit, with the comma before it
};

// The policies that hold for one route, those that need no principal first.
struct tw_rate_route {
    const struct tw_rate_policy **policies;
    size_t n, n_peer;
    uint64_t tag;          // stands for method and pattern in keys
    unsigned mark;         // in every key: what is counted apart from the rest
    struct tw_str line;    // RateLimit-Policy
    size_t left_max_bytes; // of RateLimit
};

// What no route answers. Preflights are those that CORS answers; all other OPTIONS are reads.
enum tw_rate_unmatched {
    TW_RATE_READS,
    TW_RATE_WRITES,
    TW_RATE_PREFLIGHTS,
    TW_RATE_UNMATCHED_KINDS
};

struct tw_rate_limits {
    struct tw_rate_policy *policies;
    struct tw_rate_route *routes; // by the table's rows; then by enum tw_rate_unmatched
    size_t n, n_routes;
};

// What a policy said of a request.
struct tw_limit_answer {
    const struct tw_rate_policy *policy;
    uint64_t hash; // of its key
    struct tw_limit_result result;
};

// Borrows from the first two. `table` gives the policies their ids; NULL where they are only
// checked. NULL with one line in `err` when a policy names a route that does not exist.
TW_MUST_USE struct tw_rate_limits *tw_rate_limits_new(const struct tw_route_table *routes,
                                                      const struct tw_config *config,
                                                      struct tw_limit_table *table, char *err,
                                                      size_t err_size);

// NULL is allowed.
void tw_rate_limits_free(struct tw_rate_limits *limits);

// What no route answers: only policies by nothing but the address hold, of every route. Preflights
// count by those of reads, but apart from all else: a browser sends at most one before a request,
// so who stays within his limit never has one refused, and pays nothing for them.
const struct tw_rate_route *tw_rate_limits_unmatched(const struct tw_rate_limits *limits,
                                                     enum tw_rate_unmatched kind);

// Longest key: tags, a client's and a claim's text, an address, and lengths.
#define TW_RATE_KEY_MAX_BYTES (2 * TW_CLAIM_TEXT_MAX_BYTES + 128)

// Spells the key under which a policy counts; returns its length. `principal` is NULL, or has no
// subject, where nobody is known: then the address stands for it. Who has no client, or not that
// claim, is counted as a principal instead. No two keys are spelled alike, whatever stands in them.
TW_MUST_USE size_t tw_rate_key(const struct tw_rate_policy *policy,
                               const struct tw_rate_route *route,
                               const struct tw_principal *principal,
                               const struct tw_address *client, char out[TW_RATE_KEY_MAX_BYTES]);

// Writes RateLimit's value at the end of `out`, which has room for the route's left_max_bytes.
TW_MUST_USE struct tw_str tw_rate_left(const struct tw_limit_answer *answers, size_t n, char *out,
                                       size_t size);

// Writes a decimal number of at most 20 digits that ends before `end`; returns where it begins.
TW_MUST_USE char *tw_rate_number(uint64_t value, char *end);

// Whole seconds until the refused request may come again: the longest wait of all.
TW_MUST_USE uint64_t tw_rate_wait_s(const struct tw_limit_answer *answers, size_t n);

#endif
