// SPDX-License-Identifier: Apache-2.0
// cors: OPTIONS requests, and the headers by which a browser lets other sites' pages call us.
//
// CORS protects users of browsers, not the gateway: an origin that is not configured is served like
// any other client, and its browser keeps the answer from the page. So nothing is refused here.
// Not for: authorization; private network access, whose request header is ignored.
// Runs in: worker. Source: Fetch standard, "CORS protocol" and "CORS protocol and HTTP caches";
// RFC 9110 §9.3.7 (OPTIONS), §10.2.1 (Allow).

#ifndef TW_CORS_H
#define TW_CORS_H

#include "gateway/request.h"

// Whom an answer may be shown to.
enum tw_cors {
    TW_CORS_NOBODY, // CORS is off, or the origin is none of ours
    TW_CORS_ORIGIN, // this origin: the answer differs from origin to origin
    TW_CORS_ANY,    // every origin, so the answer is the same for all, and for no origin
};

// Judges the value of Origin; `p` is NULL when there is none. Origins are compared byte by byte.
// Pure.
TW_MUST_USE enum tw_cors tw_cors_judge(const struct tw_config *config, struct tw_str origin);

// True: this was an OPTIONS request, preflight or not, and has been answered: 204 with Allow for
// the path, 404, or 429 by its address (rate_policies.h says how preflights count). To be asked
// when the path is known to be canonical, before route and token.
TW_MUST_USE bool tw_cors_answers(struct tw_req *req);

// Whether an answer differs from origin to origin: a cache must not show an answer for one origin
// to another one, nor to a request without any. For Vary, which reply_head.c sends.
TW_MUST_USE bool tw_cors_varies(const struct tw_req *req);

// What the answer to this OPTIONS request varies on; empty for other methods, or when CORS is off.
struct tw_str tw_cors_preflight_vary(const struct tw_req *req);

// Puts the CORS headers into an answer's head; nothing when CORS is off. Vary is not among them.
void tw_cors_set_headers(struct tw_req *req);

#endif
