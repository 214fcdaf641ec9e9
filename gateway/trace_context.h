// SPDX-License-Identifier: Apache-2.0
// trace_context: the W3C header traceparent, and which requests a share of all means.
//
// 00-TRACE ID (32 hex digits)-PARENT ID (16)-FLAGS (2). Versions to come may be longer (§4.3). A
// share is decided by the trace id's random end, as OpenTelemetry's samplers do, so that every node
// keeps the same requests. Source: W3C Trace Context level 2. Runs in: worker. Pure.

#ifndef TW_TRACE_CONTEXT_H
#define TW_TRACE_CONTEXT_H

#include "gateway/base.h"

#define TW_TRACE_ID_BYTES       16
#define TW_SPAN_ID_BYTES        8
#define TW_TRACE_ID_TEXT_LEN    32
#define TW_TRACEPARENT_TEXT_LEN 55
#define TW_TRACE_SAMPLED        1u // of flags

struct tw_trace_context {
    unsigned char trace_id[TW_TRACE_ID_BYTES];
    unsigned char span_id[TW_SPAN_ID_BYTES]; // the sender's: the parent of what is done for it
    unsigned char flags;
};

// False when the header is absent or not well-formed: then it is as if there were none (§3.2).
TW_MUST_USE bool tw_traceparent_parse(struct tw_str header, struct tw_trace_context *out);

// Exactly TW_TRACEPARENT_TEXT_LEN bytes, no NUL.
void tw_traceparent_format(const struct tw_trace_context *context,
                           char out[TW_TRACEPARENT_TEXT_LEN]);

// Lower-case hex digits of n bytes, 2 * n of them, no NUL.
void tw_hex(const unsigned char *bytes, size_t n, char *out);

// 56 random bits of the trace id.
uint64_t tw_trace_randomness(const unsigned char trace_id[TW_TRACE_ID_BYTES]);

// Whether what has these 56 random bits belongs to a share of `ppm` millionths. Who belongs to a
// share belongs to every larger one.
static inline bool tw_share_has(uint64_t randomness, uint32_t ppm)
{
    return (randomness >> 24 & UINT32_MAX) * 1000000 < (uint64_t)ppm << 32;
}

#endif
