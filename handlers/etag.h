// SPDX-License-Identifier: Apache-2.0
// etag: a resource's state as a strong entity tag, and the condition on it (RFC 9110 §8.8.3,
// §13.1.1). Runs in: worker.

#ifndef TW_ETAG_H
#define TW_ETAG_H

#include "gateway/request.h"

// `state` in quotes, in the request's pool: visible ASCII without quotes, different for every
// state.
struct tw_str tw_etag(struct tw_req *req, struct tw_str state);

// Of a row that counts its changes: "7".
struct tw_str tw_etag_of_version(struct tw_req *req, int64_t version);

// If-Match as the client sent it, for SQL to judge (function if_match_passes); p is NULL when there
// is none. What could not be a list of tags comes back as one that matches nothing.
struct tw_str tw_if_match(struct tw_req *req);

// The same for a resource that counts its changes, as a parameter int8[]: the versions that
// If-Match names (TW_VERSION_ANY for "*"), none if it names what can be no version; NULL without
// the header.
void tw_param_if_match(struct tw_params *params, struct tw_req *req);

// If-None-Match: *, which is: only if there is none yet.
TW_MUST_USE bool tw_req_wants_new(struct tw_req *req);

#endif
