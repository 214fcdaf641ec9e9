// SPDX-License-Identifier: Apache-2.0
#include "gateway/trace.h"

#include <stdio.h>

#include "gateway/reply.h"
#include "gateway/worker.h"

#define PATH_MAX_BYTES  256
#define HOST_MAX_BYTES  96
#define STATE_MAX_BYTES 256 // a longer tracestate is dropped as a whole

// ---- whether ------------------------------------------------------------------------------------

// Of one well-formed traceparent; several are none.
static bool take_parent(const struct tw_req *req, struct tw_trace *trace)
{
    const h2o_headers_t *headers = &req->h2o->headers;
    ssize_t at = h2o_find_header_by_str(headers, H2O_STRLIT("traceparent"), -1);
    if (at < 0 || h2o_find_header_by_str(headers, H2O_STRLIT("traceparent"), at) >= 0)
        return false;
    h2o_iovec_t value = headers->entries[at].value;
    if (!tw_traceparent_parse((struct tw_str){value.base, value.len}, &trace->context))
        return false;
    memcpy(trace->parent_id, trace->context.span_id, sizeof(trace->parent_id));
    return true;
}

static bool is_sampled(const struct tw_req *req, const struct tw_trace *trace)
{
    if (trace->has_parent && req->config->tracing_follow_parent)
        return trace->context.flags & TW_TRACE_SAMPLED;
    return tw_share_has(tw_trace_randomness(trace->context.trace_id),
                        req->config->tracing_sample_ppm);
}

static void decide(const struct tw_req *req, struct tw_trace *trace)
{
    trace->has_parent = take_parent(req, trace);
    if (!trace->has_parent)
        tw_random(trace->context.trace_id, sizeof(trace->context.trace_id));
    trace->is_sampled = is_sampled(req, trace);
    trace->context.flags = trace->is_sampled ? TW_TRACE_SAMPLED : 0;
    if (trace->is_sampled)
        tw_random(trace->context.span_id, sizeof(trace->context.span_id));
}

void tw_trace_begin(struct tw_req *req)
{
    struct tw_trace trace = {0};
    if (req->worker->trace_ring)
        decide(req, &trace);
    if (!trace.is_sampled && !req->config->http_server_timing)
        return;
    trace.step_us = req->started_us;
    req->trace = tw_req_alloc(req, sizeof(*req->trace));
    *req->trace = trace;
}

// ---- when ---------------------------------------------------------------------------------------

// What began before the request did, for somebody else, began with it.
static uint32_t since_begin(const struct tw_req *req, uint64_t us)
{
    uint64_t since = us > req->started_us ? us - req->started_us : 0;
    return since < UINT32_MAX ? (uint32_t)since : UINT32_MAX;
}

static struct tw_trace_part part_of(const struct tw_req *req, uint64_t begin_us, uint64_t end_us)
{
    return (struct tw_trace_part){since_begin(req, begin_us), since_begin(req, end_us)};
}

// A part that has refused the request ends where its answer begins.
void tw_trace_part(struct tw_req *req, enum tw_trace_part_kind kind, uint64_t begin_us)
{
    const struct tw_trace_part *answer = &req->trace->parts[TW_TRACE_SERIALISE];
    struct tw_trace_part *part = &req->trace->parts[kind];
    *part = part_of(req, begin_us, tw_now_us());
    if (answer->end_us > 0 && answer->begin_us < part->end_us)
        part->end_us = answer->begin_us > part->begin_us ? answer->begin_us : part->begin_us;
}

void tw_trace_statement(struct tw_req *req, const struct tw_db_result *result)
{
    struct tw_trace *trace = req->trace;
    const struct tw_db_times *times = &result->times;
    uint64_t now_us = tw_now_us();
    uint64_t sent_us = times->sent_us ? times->sent_us : now_us;
    trace->step_us = now_us;
    if (trace->n_statements == TW_TRACE_STATEMENTS_MAX)
        return;
    trace->statements[trace->n_statements++] = (struct tw_trace_statement){
        .stmt = (uint16_t)times->stmt,
        .status = (uint16_t)result->status,
        .queue = part_of(req, times->submitted_us, sent_us),
        .server = part_of(req, sent_us, times->sent_us ? now_us : sent_us),
    };
}

void tw_trace_answered(struct tw_req *req)
{
    struct tw_trace *trace = req->trace;
    trace->parts[TW_TRACE_SERIALISE] = part_of(req, trace->step_us, tw_now_us());
}

// ---- headers ------------------------------------------------------------------------------------

static uint32_t length_of(struct tw_trace_part part)
{
    return part.end_us - part.begin_us;
}

static void put_timing(char *out, size_t size, size_t *n, const char *name, uint64_t us)
{
    int more = snprintf(out + *n, size - *n, "%s%s;dur=%u.%03u", *n > 0 ? ", " : "", name,
                        (unsigned)(us / 1000), (unsigned)(us % 1000));
    *n += more > 0 && (size_t)more < size - *n ? (size_t)more : 0;
}

// In milliseconds, as the W3C's Server Timing has it. A part that was not reached is not named.
static void add_server_timing(struct tw_req *req)
{
    const struct tw_trace *trace = req->trace;
    char text[192];
    size_t n = 0;
    if (trace->parts[TW_TRACE_AUTH].end_us > 0)
        put_timing(text, sizeof(text), &n, "auth", length_of(trace->parts[TW_TRACE_AUTH]));
    if (trace->parts[TW_TRACE_LIMIT_PRINCIPAL].end_us > 0)
        put_timing(text, sizeof(text), &n, "limit",
                   length_of(trace->parts[TW_TRACE_LIMIT_ADDRESS]) +
                       length_of(trace->parts[TW_TRACE_LIMIT_PRINCIPAL]));
    if (req->n_statements > 0) {
        put_timing(text, sizeof(text), &n, "queue", req->queue_us);
        put_timing(text, sizeof(text), &n, "db", req->db_us);
    }
    put_timing(text, sizeof(text), &n, "total", tw_now_us() - req->started_us);
    tw_reply_header(req, TW_STR("server-timing"), (struct tw_str){text, n});
}

void tw_trace_headers(struct tw_req *req)
{
    char text[TW_TRACEPARENT_TEXT_LEN];
    if (req->trace->in_part || !req->route)
        req->trace->step_us = tw_now_us();
    if (req->config->http_server_timing)
        add_server_timing(req);
    if (!req->trace->is_sampled)
        return;
    tw_traceparent_format(&req->trace->context, text);
    tw_reply_header(req, TW_STR("traceresponse"), (struct tw_str){text, sizeof(text)});
}

// ---- the end ------------------------------------------------------------------------------------

static void put_texts(const struct tw_req *req, struct tw_trace_record *record)
{
    char client[TW_ADDRESS_TEXT_MAX];
    const h2o_req_t *h2o = req->h2o;
    const h2o_iovec_t method = h2o->input.method, host = h2o->input.authority;
    struct tw_str state = tw_req_header(req, TW_STR("tracestate"));
    tw_trace_record_put(record, TW_TRACE_METHOD, (struct tw_str){method.base, method.len}, 16);
    tw_trace_record_put(record, TW_TRACE_PATH, req->path, PATH_MAX_BYTES);
    tw_trace_record_put(record, TW_TRACE_HOST, (struct tw_str){host.base, host.len},
                        HOST_MAX_BYTES);
    tw_trace_record_put(record, TW_TRACE_CLIENT, tw_address_format(&req->client, client),
                        sizeof(client));
    tw_trace_record_put(record, TW_TRACE_REQUEST_ID, req->request_id, TW_REQUEST_ID_MAX);
    bool has_state = req->trace->has_parent && state.n <= STATE_MAX_BYTES;
    tw_trace_record_put(record, TW_TRACE_STATE, has_state ? state : TW_STR(""), STATE_MAX_BYTES);
}

static void fill(const struct tw_req *req, uint64_t duration_us, struct tw_trace_record *record)
{
    const struct tw_trace *trace = req->trace;
    int version = req->h2o->version;
    record->context = trace->context;
    memcpy(record->parent_id, trace->parent_id, sizeof(record->parent_id));
    record->has_parent = trace->has_parent;
    record->is_tls = req->conn->sock->ssl != NULL;
    record->has_principal = tw_request_log_principal(req, record->principal);
    record->http_version = (uint8_t)(version >= 0x200 ? 20 : version == 0x101 ? 11 : 10);
    record->row = (uint16_t)(req->route ? tw_req_route_index(req) + 1 : 0);
    record->status = (uint16_t)req->status;
    record->http_status = (uint16_t)req->http_status;
    record->n_statements = (uint16_t)trace->n_statements;
    record->total_us = since_begin(req, req->started_us + duration_us);
    record->begin_unix_us = tw_unix_us() - duration_us;
    record->bytes_sent = req->h2o->bytes_sent;
    memcpy(record->parts, trace->parts, sizeof(record->parts));
    memcpy(record->statements, trace->statements, sizeof(record->statements));
    put_texts(req, record);
}

void tw_trace_end(struct tw_req *req, uint64_t duration_us)
{
    if (!req->trace->is_sampled)
        return;
    struct tw_trace_record *record = tw_trace_ring_room(req->worker->trace_ring);
    if (!record) {
        tw_metric_add(req->page, TW_METRIC_TRACES_DROPPED, 1);
        return;
    }
    fill(req, duration_us, record);
    tw_trace_ring_commit(req->worker->trace_ring);
}
