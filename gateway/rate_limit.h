// SPDX-License-Identifier: Apache-2.0
// rate_limit: the policies of `limits`, applied to requests, and what clients are told of them.
//
// Policies that need no principal are judged before a token is looked at, the others once it is
// known who asks. A request passes when every policy that holds for it does. Answers carry the
// headers of rate_policies.h; a refusal is the draft's quota-exceeded problem. Not for: counting
// (limit), what a policy is (rate_policies), bad tokens (authenticate).
// Runs in: worker.

#ifndef TW_RATE_LIMIT_H
#define TW_RATE_LIMIT_H

#include "gateway/json_out.h"
#include "gateway/rate_policies.h"

struct tw_req;

// Each lets the request pass (true) or has answered it with 429. The first one needs req->route,
// or NULL there when no route answers the request; the second one also req->principal.
TW_MUST_USE bool tw_stage_limit_peer(struct tw_req *req);
TW_MUST_USE bool tw_stage_limit_principal(struct tw_req *req);

// Adds RateLimit-Policy and RateLimit to an answer of a request that was judged.
void tw_rate_limit_headers(struct tw_req *req);

// Adds to the problem of a 429 which policies were violated.
void tw_rate_limit_problem(const struct tw_req *req, struct tw_json *json);

// The request is over: it counts no longer among its principal's requests in progress.
void tw_rate_limit_end(struct tw_req *req);

#endif
