// SPDX-License-Identifier: Apache-2.0
// token_cache: principals of tokens that were verified a moment ago.
//
// A hit must never decide differently from a verification: the exact bytes are compared in full,
// and an entry answers only between its two times and while its issuer's keys are those it was
// verified with. Open hash with linear probing, keyed with SipHash; second-chance eviction, so that
// a flood of tokens used once does not push out the ones in use. Memory grows with use and is
// bounded by a count and in bytes. A hit allocates nothing. Not for: remembering bad tokens (they
// could be made up without end). Runs in: worker, one thread. Owns a copy of each token and a
// reference to each principal.

#ifndef TW_AUTH_TOKEN_CACHE_H
#define TW_AUTH_TOKEN_CACHE_H

#include "auth/principal.h"
#include "auth/siphash.h"

struct tw_token_cache; // opaque

struct tw_token_cache_stats {
    size_t entries, bytes; // now; bytes of tokens, principals and the table
    uint64_t evictions;    // since creation, only those for want of room
};

// What an entry's life depends on besides its token.
struct tw_token_life {
    int64_t from_unix_s, until_unix_s; // answers while from <= now < until
    uint64_t generation;               // of the issuer's key set
    size_t issuer;                     // index into `generations` of tw_token_cache_find
};

// At most `max_entries` (0: keeps nothing) and `max_bytes`; `hash_key` is copied and must be
// random. NULL when out of memory.
struct tw_token_cache *tw_token_cache_new(size_t max_entries, size_t max_bytes,
                                          const unsigned char hash_key[TW_SIPHASH_KEY_BYTES]);

// NULL is allowed.
void tw_token_cache_free(struct tw_token_cache *cache);

// The principal of exactly this token, borrowed: take a reference before the next call. NULL when
// unknown. An entry that may not answer any more is dropped. `generations` holds the current
// generation of each issuer.
struct tw_principal *tw_token_cache_find(struct tw_token_cache *cache, struct tw_str token,
                                         int64_t now_unix_s, const uint64_t *generations);

// Remembers a verified token, in place of what was known of it; takes its own reference to
// `principal`. Evicts others as needed. Does nothing when memory is short or the token too large.
void tw_token_cache_put(struct tw_token_cache *cache, struct tw_str token,
                        struct tw_principal *principal, const struct tw_token_life *life);

struct tw_token_cache_stats tw_token_cache_stats(const struct tw_token_cache *cache);

#endif
