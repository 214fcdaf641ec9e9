// SPDX-License-Identifier: Apache-2.0
// rate_limit: the policies of `limits`, applied to requests, and what clients are told of them.
//
// Policies that need no principal are judged before a token is looked at, the others once it is
// known who asks. A request passes when every policy that holds for it does. Headers are those of
// draft-ietf-httpapi-ratelimit-headers-10: RateLimit-Policy with quota (q) and window (w) in
// seconds, RateLimit with what remains (r) and the seconds until all of it is back (t); a refusal
// is that draft's quota-exceeded problem. Not for: counting (limit), bad tokens (authenticate).
// Runs in: worker; tw_rate_limits_new also in the master and on the command line, to check.

#ifndef TW_RATE_LIMIT_H
#define TW_RATE_LIMIT_H

#include "config/config.h"
#include "gateway/json_out.h"
#include "gateway/router.h"

struct tw_req;
struct tw_rate_limits; // opaque

// Borrows from both. NULL with one line in `err` when a policy names a route that does not exist.
TW_MUST_USE struct tw_rate_limits *tw_rate_limits_new(const struct tw_route_table *routes,
                                                      const struct tw_config *config, char *err,
                                                      size_t err_size);

// NULL is allowed.
void tw_rate_limits_free(struct tw_rate_limits *limits);

// Each lets the request pass (true) or has answered it with 429. Needs req->route, and the second
// one req->principal.
TW_MUST_USE bool tw_stage_limit_peer(struct tw_req *req);
TW_MUST_USE bool tw_stage_limit_principal(struct tw_req *req);

// Adds RateLimit-Policy and RateLimit to an answer of a request that was judged.
void tw_rate_limit_headers(struct tw_req *req);

// Adds to the problem of a 429 which policies were violated.
void tw_rate_limit_problem(const struct tw_req *req, struct tw_json *json);

// The request is over: it counts no longer among its principal's requests in progress.
void tw_rate_limit_end(struct tw_req *req);

#endif
