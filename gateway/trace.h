// SPDX-License-Identifier: Apache-2.0
// trace: when what was done for a request: for its trace, and for the header Server-Timing.
//
// A request that nobody wants to know this of has no struct tw_trace, and costs a comparison at
// each of a handful of places. One that is sampled is handed to the master when it has ended
// (trace_ring.h), which exports it (trace_export.h). Whether it is: as its caller's traceparent
// says, else by a share of trace ids (tracing.sample). Source: W3C Trace Context. Runs in: worker.

#ifndef TW_TRACE_H
#define TW_TRACE_H

#include "gateway/db.h"
#include "gateway/trace_ring.h"

struct tw_req;

// In the request's memory.
struct tw_trace {
    bool is_sampled;
    bool has_parent;
    struct tw_trace_context context; // span_id: of the request here
    unsigned char parent_id[TW_SPAN_ID_BYTES];
    bool in_part;     // what answers now has not passed it
    uint64_t step_us; // when the handler, its present step, or a refusal began
    struct tw_trace_part parts[TW_TRACE_PARTS];
    unsigned n_statements;
    struct tw_trace_statement statements[TW_TRACE_STATEMENTS_MAX];
};

// The request has begun: sets req->trace if anybody wants to know. Only for workers that have
// worker->traces.
void tw_trace_begin(struct tw_req *req);

// For a request with req->trace. A part has ended that began at `begin_us`.
void tw_trace_part(struct tw_req *req, enum tw_trace_part_kind kind, uint64_t begin_us);

// A statement has been answered; the step that takes it begins.
void tw_trace_statement(struct tw_req *req, const struct tw_db_result *result);

// The answer's head is made: adds the headers that tell of it.
void tw_trace_headers(struct tw_req *req);

// The answer is complete.
void tw_trace_answered(struct tw_req *req);

// The request has ended.
void tw_trace_end(struct tw_req *req, uint64_t duration_us);

#endif
