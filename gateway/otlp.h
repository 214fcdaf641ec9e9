// SPDX-License-Identifier: Apache-2.0
// otlp: traces as OpenTelemetry's protocol has them, in its JSON form.
//
// Names follow the semantic conventions of 2025 for HTTP servers and databases (http.*, url.*,
// db.*); what has no name there begins with "tillway.". Every text is taken for what a stranger
// wrote. Not for: sending (trace_export.h). Runs in: master. Pure.

#ifndef TW_OTLP_H
#define TW_OTLP_H

#include "gateway/json_out.h"
#include "gateway/router.h"
#include "gateway/trace_ring.h"

// What is the same for all of them.
struct tw_otlp_source {
    const char *service_name;
    const char *host_name;
    int64_t pid;
    const struct tw_route_table *routes;
};

// One ExportTraceServiceRequest. Spans of a trace have the same ids however often it is written.
void tw_otlp_write(struct tw_json *json, const struct tw_otlp_source *source,
                   const struct tw_trace_record *records, size_t n);

#endif
