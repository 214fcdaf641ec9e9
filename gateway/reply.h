// SPDX-License-Identifier: Apache-2.0
// reply: the one answer of a request: JSON, or an RFC 9457 problem document.
//
// Headers that every answer has are put in by reply_head.c and nowhere else; here a JSON answer
// gets its Content-Type, gzip for clients that take it, and an ETag if it may be kept. Runs in:
// worker.

#ifndef TW_REPLY_H
#define TW_REPLY_H

#include "gateway/json_out.h"
#include "gateway/request.h"

// One fault of a body or parameter. pointer is an RFC 6901 JSON pointer ("/items/0/quantity").
struct tw_problem_error {
    struct tw_str pointer;
    const char *code; // "required", "type", "range", …: stable
    struct tw_str detail;
};

// A JSON body in the request's pool that grows as needed.
struct tw_json tw_reply_body(struct tw_req *req);

// Adds a response header; `name` is a literal in lower case, `value` is copied.
void tw_reply_header(struct tw_req *req, struct tw_str name, struct tw_str value);

// Gives the answer its entity tag: quoted and strong, alive as long as the request. True: the
// client has this state (If-None-Match), and 304 is the answer: tw_reply_empty. An answer that may
// be kept (tw_route.cache) and has no tag gets one made of its body by tw_reply_json.
TW_MUST_USE bool tw_reply_etag(struct tw_req *req, struct tw_str etag);

// Answers. The body's bytes must be the request's (tw_reply_body).
TW_MUST_USE struct tw_verdict tw_reply_json(struct tw_req *req, unsigned http_status,
                                            const struct tw_json *body);
// The same with bytes that stay as they are until the request's memory goes.
TW_MUST_USE struct tw_verdict tw_reply_json_text(struct tw_req *req, unsigned http_status,
                                                 struct tw_str body);
TW_MUST_USE struct tw_verdict tw_reply_empty(struct tw_req *req, unsigned http_status);

// Answers with the problem of `status`. `detail` is a sentence for people, or NULL.
TW_MUST_USE struct tw_verdict tw_fail(struct tw_req *req, enum tw_status status,
                                      const char *detail);
TW_MUST_USE struct tw_verdict tw_fail_errors(struct tw_req *req, enum tw_status status,
                                             const char *detail,
                                             const struct tw_problem_error *errors, size_t n);

// A problem as a part of a larger answer: one item of a batch.
void tw_json_problem(struct tw_json *json, enum tw_status status, const char *detail,
                     const struct tw_problem_error *errors, size_t n);

#endif
