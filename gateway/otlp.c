// SPDX-License-Identifier: Apache-2.0
#include "gateway/otlp.h"

#include <inttypes.h>
#include <stdio.h>

#include "gateway/db_statement.h"
#include "gateway/status.h"
#include "gateway/version.h"

// Of a span (opentelemetry/proto/trace/v1).
enum kind { INTERNAL = 1, SERVER = 2, CLIENT = 3 };
enum { STATUS_ERROR = 2 };

// ---- attributes ---------------------------------------------------------------------------------

static void attribute_begin(struct tw_json *json, const char *key, const char *type)
{
    tw_json_object(json);
    TW_JSON_STR(json, "key", tw_str_of(key));
    tw_json_key(json, TW_STR("value"));
    tw_json_object(json);
    tw_json_key(json, tw_str_of(type));
}

static void attribute_end(struct tw_json *json)
{
    tw_json_object_end(json);
    tw_json_object_end(json);
}

// An empty one is left out.
static void put_text(struct tw_json *json, const char *key, struct tw_str value)
{
    if (value.n == 0)
        return;
    attribute_begin(json, key, "stringValue");
    tw_json_str_untrusted(json, value);
    attribute_end(json);
}

// 64-bit integers are texts in JSON (proto3).
static void put_integer(struct tw_json *json, const char *key, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRId64, value);
    attribute_begin(json, key, "intValue");
    tw_json_str(json, tw_str_of(text));
    attribute_end(json);
}

// ---- spans --------------------------------------------------------------------------------------

static void put_hex(struct tw_json *json, struct tw_str key, const unsigned char *bytes, size_t n)
{
    char text[2 * TW_TRACE_ID_BYTES];
    tw_hex(bytes, n, text);
    tw_json_key(json, key);
    tw_json_str(json, (struct tw_str){text, 2 * n});
}

static void put_time(struct tw_json *json, struct tw_str key, uint64_t unix_us)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRIu64 "000", unix_us);
    tw_json_key(json, key);
    tw_json_str(json, tw_str_of(text));
}

static void put_failed(struct tw_json *json)
{
    tw_json_key(json, TW_STR("status"));
    tw_json_object(json);
    TW_JSON_I64(json, "code", STATUS_ERROR);
    tw_json_object_end(json);
}

static void span_begin(struct tw_json *json, const struct tw_trace_record *record,
                       const unsigned char span_id[TW_SPAN_ID_BYTES], const unsigned char *parent)
{
    tw_json_object(json);
    put_hex(json, TW_STR("traceId"), record->context.trace_id, TW_TRACE_ID_BYTES);
    put_hex(json, TW_STR("spanId"), span_id, TW_SPAN_ID_BYTES);
    if (parent)
        put_hex(json, TW_STR("parentSpanId"), parent, TW_SPAN_ID_BYTES);
}

static void put_name_and_times(struct tw_json *json, const char *name, enum kind kind,
                               const struct tw_trace_record *record, struct tw_trace_part part)
{
    TW_JSON_STR(json, "name", tw_str_of(name));
    TW_JSON_I64(json, "kind", kind);
    put_time(json, TW_STR("startTimeUnixNano"), record->begin_unix_us + part.begin_us);
    put_time(json, TW_STR("endTimeUnixNano"), record->begin_unix_us + part.end_us);
}

// The n-th child's id follows from its parent's, so that a batch sent twice has the same spans.
static void child_id(const struct tw_trace_record *record, uint64_t n,
                     unsigned char out[TW_SPAN_ID_BYTES])
{
    uint64_t z;
    memcpy(&z, record->context.span_id, sizeof(z));
    z += (n + 1) * UINT64_C(0x9e3779b97f4a7c15); // S. Vigna's splitmix64
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    z = z ? z : 1;
    memcpy(out, &z, sizeof(z));
}

static void child_begin(struct tw_json *json, const struct tw_trace_record *record, uint64_t n,
                        const char *name, enum kind kind, struct tw_trace_part part)
{
    unsigned char id[TW_SPAN_ID_BYTES];
    child_id(record, n, id);
    span_begin(json, record, id, record->context.span_id);
    put_name_and_times(json, name, kind, record, part);
    tw_json_key(json, TW_STR("attributes"));
    tw_json_array(json);
}

static void child_end(struct tw_json *json, bool has_failed)
{
    tw_json_array_end(json);
    if (has_failed)
        put_failed(json);
    tw_json_object_end(json);
}

static void put_parts(struct tw_json *json, const struct tw_trace_record *record)
{
    static const struct {
        const char *name, *by;
    } parts[] = {
        [TW_TRACE_LIMIT_ADDRESS] = {"limit", "address"},
        [TW_TRACE_AUTH] = {"auth", NULL},
        [TW_TRACE_LIMIT_PRINCIPAL] = {"limit", "principal"},
        [TW_TRACE_SERIALISE] = {"serialise", NULL},
    };
    for (unsigned i = 0; i < TW_COUNT(parts); i++) {
        if (record->parts[i].end_us == 0)
            continue;
        child_begin(json, record, i, parts[i].name, INTERNAL, record->parts[i]);
        put_text(json, "tillway.limit.by", tw_str_of(parts[i].by));
        child_end(json, false);
    }
}

static const char *lane_name(enum tw_stmt stmt)
{
    static const char *const names[TW_LANE_COUNT] = {"fast", "write", "slow"};
    enum tw_lane lane = tw_statements[stmt].lane;
    return lane < TW_LANE_COUNT ? names[lane] : "";
}

static void put_statement(struct tw_json *json, const struct tw_trace_record *record, unsigned i)
{
    const struct tw_trace_statement *statement = &record->statements[i];
    if (statement->stmt >= TW_STMT_COUNT || statement->status >= TW_STATUS_COUNT)
        return;
    enum tw_stmt stmt = (enum tw_stmt)statement->stmt;
    struct tw_str name = tw_str_of(tw_statements[stmt].name), lane = tw_str_of(lane_name(stmt));
    enum tw_status status = (enum tw_status)statement->status;
    bool has_failed = status != TW_OK && status != TW_ALREADY_EXISTS;
    child_begin(json, record, TW_TRACE_PARTS + 2 * i, "queue", INTERNAL, statement->queue);
    put_text(json, "tillway.lane", lane);
    child_end(json, has_failed && statement->server.end_us == statement->server.begin_us);
    if (statement->server.end_us == statement->server.begin_us && has_failed)
        return; // it was never sent
    child_begin(json, record, TW_TRACE_PARTS + 2 * i + 1, tw_statements[stmt].name, CLIENT,
                statement->server);
    put_text(json, "db.system.name", TW_STR("postgresql"));
    put_text(json, "db.operation.name", name);
    put_text(json, "db.query.summary", name);
    put_text(json, "tillway.lane", lane);
    if (status != TW_OK)
        put_text(json, "error.type", tw_str_of(tw_status_info(status)->code));
    child_end(json, has_failed);
}

// ---- the request --------------------------------------------------------------------------------

// The methods that the conventions know.
static bool is_known_method(struct tw_str method)
{
    static const char *const known[] = {"GET",    "HEAD",    "POST",    "PUT",  "PATCH",
                                        "DELETE", "OPTIONS", "CONNECT", "TRACE"};
    for (size_t i = 0; i < TW_COUNT(known); i++)
        if (tw_str_eq(method, tw_str_of(known[i])))
            return true;
    return false;
}

// "till.example.com:8443", "[::1]:80".
static void put_server(struct tw_json *json, struct tw_str host)
{
    size_t end = host.n;
    int64_t port;
    while (end > 0 && host.p[end - 1] >= '0' && host.p[end - 1] <= '9')
        end--;
    bool has_port = end > 0 && end < host.n && host.p[end - 1] == ':' &&
                    tw_str_to_i64((struct tw_str){host.p + end, host.n - end}, 1, 65535, &port);
    put_text(json, "server.address", (struct tw_str){host.p, has_port ? end - 1 : host.n});
    if (has_port)
        put_integer(json, "server.port", port);
}

static void put_attributes(struct tw_json *json, const struct tw_trace_record *record,
                           const char *route, struct tw_str method)
{
    enum tw_status status = record->status < TW_STATUS_COUNT ? (enum tw_status)record->status
                                                             : TW_INTERNAL;
    struct tw_str code = status != TW_OK ? tw_str_of(tw_status_info(status)->code) : TW_STR("");
    bool is_known = is_known_method(method);
    tw_json_key(json, TW_STR("attributes"));
    tw_json_array(json);
    put_text(json, "http.request.method", is_known ? method : TW_STR("_OTHER"));
    if (!is_known)
        put_text(json, "http.request.method_original", method);
    put_text(json, "url.path", tw_trace_record_text(record, TW_TRACE_PATH));
    put_text(json, "url.scheme", record->is_tls ? TW_STR("https") : TW_STR("http"));
    put_text(json, "http.route", tw_str_of(route));
    if (record->http_status > 0)
        put_integer(json, "http.response.status_code", record->http_status);
    if (record->http_status >= 500)
        put_text(json, "error.type", code);
    put_text(json, "network.protocol.version",
             record->http_version == 20   ? TW_STR("2")
             : record->http_version == 11 ? TW_STR("1.1")
                                          : TW_STR("1.0"));
    put_server(json, tw_trace_record_text(record, TW_TRACE_HOST));
    put_text(json, "client.address", tw_trace_record_text(record, TW_TRACE_CLIENT));
    if (record->has_principal)
        put_text(json, "enduser.pseudo.id",
                 (struct tw_str){record->principal, sizeof(record->principal)});
    put_text(json, "tillway.request_id", tw_trace_record_text(record, TW_TRACE_REQUEST_ID));
    put_text(json, "tillway.code", code);
    tw_json_array_end(json);
}

static void put_request(struct tw_json *json, const struct tw_otlp_source *source,
                        const struct tw_trace_record *record)
{
    const struct tw_route_table *routes = source->routes;
    const char *route = record->row > 0 && record->row <= routes->n
                            ? routes->rows[record->row - 1].pattern
                            : NULL;
    struct tw_str method = tw_trace_record_text(record, TW_TRACE_METHOD);
    struct tw_str state = tw_trace_record_text(record, TW_TRACE_STATE);
    char name[128];
    (void)snprintf(name, sizeof(name), "%.*s%s%s", is_known_method(method) ? (int)method.n : 4,
                   is_known_method(method) ? method.p : "HTTP", route ? " " : "",
                   route ? route : "");
    span_begin(json, record, record->context.span_id,
               record->has_parent ? record->parent_id : NULL);
    if (state.n > 0) {
        tw_json_key(json, TW_STR("traceState"));
        tw_json_str_untrusted(json, state);
    }
    put_name_and_times(json, name, SERVER, record, (struct tw_trace_part){0, record->total_us});
    put_attributes(json, record, route, method);
    if (record->http_status >= 500)
        put_failed(json);
    tw_json_object_end(json);
}

static void put_resource(struct tw_json *json, const struct tw_otlp_source *source)
{
    tw_json_key(json, TW_STR("resource"));
    tw_json_object(json);
    tw_json_key(json, TW_STR("attributes"));
    tw_json_array(json);
    put_text(json, "service.name", tw_str_of(source->service_name));
    put_text(json, "service.version", TW_STR(TW_VERSION));
    put_text(json, "host.name", tw_str_of(source->host_name));
    put_integer(json, "process.pid", source->pid);
    tw_json_array_end(json);
    tw_json_object_end(json);
}

static void put_scope(struct tw_json *json)
{
    tw_json_key(json, TW_STR("scope"));
    tw_json_object(json);
    TW_JSON_STR(json, "name", TW_STR("tillway"));
    TW_JSON_STR(json, "version", TW_STR(TW_VERSION));
    tw_json_object_end(json);
}

void tw_otlp_write(struct tw_json *json, const struct tw_otlp_source *source,
                   const struct tw_trace_record *records, size_t n)
{
    tw_json_object(json);
    tw_json_key(json, TW_STR("resourceSpans"));
    tw_json_array(json);
    tw_json_object(json);
    put_resource(json, source);
    tw_json_key(json, TW_STR("scopeSpans"));
    tw_json_array(json);
    tw_json_object(json);
    put_scope(json);
    tw_json_key(json, TW_STR("spans"));
    tw_json_array(json);
    for (size_t i = 0; i < n; i++) {
        put_request(json, source, &records[i]);
        put_parts(json, &records[i]);
        for (unsigned j = 0; j < records[i].n_statements && j < TW_TRACE_STATEMENTS_MAX; j++)
            put_statement(json, &records[i], j);
    }
    tw_json_array_end(json);
    tw_json_object_end(json);
    tw_json_array_end(json);
    tw_json_object_end(json);
    tw_json_array_end(json);
    tw_json_object_end(json);
}
