// SPDX-License-Identifier: Apache-2.0
// precondition: what a client makes its change depend on: If-Match and If-None-Match of resources
// whose entity tag is their version (RFC 9110 §13.1).
//
// The comparison itself is the statement's, with the row locked: only there nobody can come
// between. Runs in: worker.

#ifndef TW_PRECONDITION_H
#define TW_PRECONDITION_H

#include "gateway/request.h"

// If-Match as a parameter int8[]: the versions it names (TW_VERSION_ANY for "*"), none if it names
// what can be no version; NULL without the header.
void tw_param_if_match(struct tw_params *params, const struct tw_req *req);

// If-None-Match: *, which is: only if there is none yet.
TW_MUST_USE bool tw_req_wants_new(const struct tw_req *req);

#endif
