// SPDX-License-Identifier: Apache-2.0
// freshness: for how long may an answer be used again? Cache-Control and Age, as RFC 9111 has them.
//
// For a private cache (the master's key sets): s-maxage is not for us, and what we do not know is
// skipped. Doubt makes an answer stale, as section 4.2.1 asks: a max-age that is no number, the
// smaller one of two. Not for: Expires, which no key server needs. Runs in: master. Pure.

#ifndef TW_FRESHNESS_H
#define TW_FRESHNESS_H

#include "gateway/base.h"

#define TW_FRESHNESS_UNKNOWN UINT64_MAX // nothing was said

// Begin with {.max_age_s = TW_FRESHNESS_UNKNOWN} and add every header line.
struct tw_freshness {
    uint64_t max_age_s; // 0 also for no-store and no-cache
    uint64_t age_s;     // of an Age header: how long other caches have had it
};

// The value of one Cache-Control line; an answer may have several.
void tw_freshness_cache_control(struct tw_freshness *freshness, struct tw_str value);

// The value of Age; one that is no number is skipped (section 5.1).
void tw_freshness_age(struct tw_freshness *freshness, struct tw_str value);

// Seconds from now, 0 when it is stale already, or TW_FRESHNESS_UNKNOWN.
uint64_t tw_freshness_left_s(const struct tw_freshness *freshness);

#endif
