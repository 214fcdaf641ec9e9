// SPDX-License-Identifier: Apache-2.0
// jwks_fetch: brings the issuers' key sets into the shared region and keeps them fresh.
//
// A set is fetched at the start, then every auth.jwks.refresh (sooner when Cache-Control says so,
// but not below auth.jwks.min_refetch; up to 10 % off), after a failure with a growing pause (0.5 s
// to 30 s, jittered), and when a worker meets an unknown key id: once per auth.jwks.min_refetch and
// issuer, for the whole machine, however many ask. Where only a discovery document is known, that
// is fetched first: each time but when a known place is asked because of a key id; one deadline
// holds for both. A bad document never replaces a good one: the last good set serves on, and when
// there was no good fetch for auth.jwks.max_stale it is withdrawn at that moment: workers then
// answer 503. Requests never wait for any of this. Not for: key files (auth_files). Runs in:
// master.

#ifndef TW_JWKS_FETCH_H
#define TW_JWKS_FETCH_H

#include "config/config.h"
#include "gateway/metrics_text.h"

struct event_base;
struct tw_jwks_fetch;

// Begins the fetches; returns before any of these is done. What is given is borrowed. NULL with one
// line in `err` when auth.jwks.ca_file cannot be used.
TW_MUST_USE struct tw_jwks_fetch *tw_jwks_fetch_start(struct event_base *base,
                                                      const struct tw_config *config,
                                                      struct tw_shared *shared, char *err,
                                                      size_t err_size);

// Goes on where the fetches of another configuration stand, which published into `before_shared`:
// issuers that both have keep their keys, their age and their next fetch. Call it at once.
void tw_jwks_fetch_follow(struct tw_jwks_fetch *fetch, const struct tw_jwks_fetch *before,
                          const struct tw_shared *before_shared);

// A worker has seen a key id that the issuer's set lacks. Cheap; may be called without end.
void tw_jwks_fetch_unknown_kid(struct tw_jwks_fetch *fetch, size_t issuer);

// One entry for each issuer without a file, valid until the next turn of the loop.
const struct tw_jwks_stats *tw_jwks_fetch_stats(const struct tw_jwks_fetch *fetch, size_t *n);

// Ends all fetches; runs one turn of the loop to let libevent's resolver forget them. NULL is fine.
void tw_jwks_fetch_free(struct tw_jwks_fetch *fetch);

#endif
