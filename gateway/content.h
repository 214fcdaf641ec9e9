// SPDX-License-Identifier: Apache-2.0
// content: the stages that judge a request's body and the answer that it asks for, by their
// headers.
//
// What a body must be stands in the route's row (`takes`). A body that no route reads is refused:
// RFC 9110 §9.3.1 gives it no meaning, and whoever sends one has either mistaken the method or
// means to hide a request in it. What is in the body is the handlers' business (handlers/schema.h).
// Runs in: worker. Source: RFC 9110 §9.3.1, §12.5, §15.5.7, §15.5.16.

#ifndef TW_CONTENT_H
#define TW_CONTENT_H

#include "gateway/request.h"

// Stages: true lets the request pass, false has answered it.
TW_MUST_USE bool tw_stage_accept(struct tw_req *req); // 406: before anything is done
TW_MUST_USE bool tw_stage_body(struct tw_req *req);   // 400, 413, 415

// The part of tw_stage_body that needs no more of the body than that there is one: 400, 415.
TW_MUST_USE bool tw_stage_body_form(struct tw_req *req);

// Whether this client is glad of gzip, and we have it (http.gzip_min).
TW_MUST_USE bool tw_req_takes_gzip(const struct tw_req *req);

#endif
