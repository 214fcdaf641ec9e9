// SPDX-License-Identifier: Apache-2.0
// reply_head: what stands in the head of every answer, whoever sends its body.
//
// Two kinds: lines that never change (security headers), which are made once per worker and copied
// as they are, so that HTTP/2 sends each of them as one byte; and Cache-Control and Vary, which
// follow from the route's row. Not for: CORS (cors.h), what a handler adds (tw_reply_header).
// Runs in: worker. Source: RFC 9110, RFC 9111, RFC 6797, Fetch, Content Security Policy 3.

#ifndef TW_REPLY_HEAD_H
#define TW_REPLY_HEAD_H

#include "gateway/request.h"

struct tw_reply_head;

// Makes the lines that never change. NULL without memory.
struct tw_reply_head *tw_reply_head_new(const struct tw_config *config);

// What decided between this answer and another one of the same state of the resource.
enum tw_reply_form {
    TW_FORM_ONE,   // there is no other one
    TW_FORM_CODED, // Accept-Encoding
};

// Fills the head in, but for Content-Type. content_length: SIZE_MAX for none. Once per answer.
void tw_reply_head_set(struct tw_req *req, unsigned http_status, size_t content_length,
                       enum tw_reply_form form);

#endif
