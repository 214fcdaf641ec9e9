// SPDX-License-Identifier: Apache-2.0
// authenticate: the stages of a request that settle who is calling and whether they may.
//
// Who sends a bearer token is judged by it; who sends none, by the certificate of the connection,
// where its listener asks for one. Answers are those of RFC 6750 §3. An address that sends many bad
// tokens is answered 429 before the next signature is checked; tokens that are remembered as good
// pass all the same. Private to the worker's request path. Runs in: worker.

#ifndef TW_AUTHENTICATE_H
#define TW_AUTHENTICATE_H

#include "gateway/request.h"

// Each lets the request pass (true) or has answered it (false). Needs req->route; sets
// req->principal and req->store.
TW_MUST_USE bool tw_stage_authenticate(struct tw_req *req);
TW_MUST_USE bool tw_stage_authorize(struct tw_req *req);

#endif
