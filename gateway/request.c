// SPDX-License-Identifier: Apache-2.0
#include "gateway/request.h"

#include <netinet/tcp.h>

#include "gateway/authenticate.h"
#include "gateway/cached.h"
#include "gateway/client_address.h"
#include "gateway/content.h"
#include "gateway/cors.h"
#include "gateway/reply.h"
#include "gateway/request_log.h"
#include "gateway/sales_stats.h"
#include "gateway/trace.h"
#include "gateway/worker.h"

struct handler {
    h2o_handler_t super;
    struct tw_worker *worker;
};

static struct tw_str str_of(h2o_iovec_t v)
{
    return (struct tw_str){v.base, v.len};
}

void *tw_req_alloc(struct tw_req *req, size_t n)
{
    return h2o_mem_alloc_pool(&req->h2o->pool, n);
}

// The next line of a header, or none: p is NULL. `*at` begins as -1.
static struct tw_str next_line(const struct tw_req *req, struct tw_str name, ssize_t *at)
{
    const h2o_headers_t *headers = &req->h2o->headers;
    *at = h2o_find_header_by_str(headers, name.p, name.n, *at);
    return *at < 0 ? (struct tw_str){NULL, 0} : str_of(headers->entries[*at].value);
}

struct tw_str tw_req_header(const struct tw_req *req, struct tw_str name)
{
    ssize_t at = -1;
    return next_line(req, name, &at);
}

bool tw_req_header_repeats(const struct tw_req *req, struct tw_str name)
{
    ssize_t at = -1;
    struct tw_str first = next_line(req, name, &at);
    return first.p && next_line(req, name, &at).p;
}

static char *append(char *end, struct tw_str text)
{
    memcpy(end, text.p, text.n);
    return end + text.n;
}

struct tw_str tw_req_header_list(struct tw_req *req, struct tw_str name)
{
    ssize_t at = -1;
    struct tw_str first = next_line(req, name, &at), line;
    size_t size = first.n;
    while (at >= 0 && (line = next_line(req, name, &at)).p)
        size += line.n + 1;
    if (size == first.n)
        return first;
    char *text = tw_req_alloc(req, size), *end = append(text, first);
    next_line(req, name, &at); // the first one again
    while ((line = next_line(req, name, &at)).p) {
        if (tw_str_eq(line, first))
            continue;
        *end++ = ',';
        end = append(end, line);
    }
    return (struct tw_str){text, (size_t)(end - text)};
}

void tw_req_sold(struct tw_req *req, const struct tw_sales_event *event)
{
    const struct tw_heritage *heritage = req->worker->heritage;
    tw_sales_add(tw_shared_sales(heritage->shared), heritage->row, event);
}

struct tw_str tw_req_store_scope(const struct tw_req *req)
{
    if (req->principal->roles & TW_ROLE_ADMIN)
        return (struct tw_str){NULL, 0};
    return req->store;
}

static struct tw_conn *conn_of(h2o_conn_t *h2o)
{
    struct tw_conn *conn = h2o->callbacks->get_socket(h2o)->on_close.data;
    if (conn->magic != TW_CONN_MAGIC)
        h2o_fatal("a request without its connection");
    return conn;
}

size_t tw_req_route_index(const struct tw_req *req)
{
    return (size_t)(req->route - req->worker->heritage->routes->rows);
}

// ---- birth and end ------------------------------------------------------------------------------

static bool is_request_id(struct tw_str id)
{
    if (!id.p || id.n == 0 || id.n > TW_REQUEST_ID_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

static void take_request_id(struct tw_req *req)
{
    struct tw_str id = tw_req_header(req, TW_STR("x-request-id"));
    if (id.p && is_request_id(id)) {
        memcpy(req->request_id_text, id.p, id.n);
        req->request_id = (struct tw_str){req->request_id_text, id.n};
    } else {
        struct tw_uuid uuid = tw_uuid_v7(req->received_unix_ms);
        tw_uuid_format(&uuid, req->request_id_text);
        req->request_id = (struct tw_str){req->request_id_text, TW_UUID_TEXT_LEN};
    }
}

// Does nothing when it is not awaited, or no longer.
static void forget_awaited(struct tw_req *req)
{
    struct tw_req **at = &req->conn->awaited;
    while (*at && *at != req)
        at = &(*at)->next_awaited;
    if (*at)
        *at = req->next_awaited;
}

// The request's memory goes: its answer has been sent, or its client has left.
static void on_dispose(void *p)
{
    struct tw_req *req = p;
    uint64_t duration_us = tw_now_us() - req->started_us;
    if (req->waiting_for)
        tw_db_detach(req->waiting_for);
    tw_cached_end(req);
    req->conn->requests_in_flight--;
    if (req->head_has_passed)
        forget_awaited(req);
    tw_metric_add(req->page, TW_METRIC_REQUESTS_IN_FLIGHT, -1);
    if (req->http_status == 0)
        tw_metric_add(req->page, TW_METRIC_REQUESTS_ABANDONED, 1);
    size_t row = req->route ? tw_req_route_index(req) + 1 : 0;
    tw_stats_request(req->page, (unsigned)row, req->http_status, duration_us);
    tw_request_log_end(req, duration_us);
    if (req->trace)
        tw_trace_end(req, duration_us);
    tw_rate_limit_end(req);
    tw_principal_unref(req->principal);
}

// The header lines of that name, from the last one on, as they were put on from left to right.
static void walk_forwarded(struct tw_req *req, struct tw_str name,
                           bool (*walk)(struct tw_str value, const struct tw_network *trusted,
                                        size_t n, struct tw_address *client))
{
    const h2o_headers_t *headers = &req->h2o->headers;
    for (size_t i = headers->size; i > 0; i--) {
        const h2o_header_t *header = &headers->entries[i - 1];
        if (tw_str_eq(str_of(*header->name), name) &&
            !walk(str_of(header->value), req->config->trusted_proxies,
                  req->config->n_trusted_proxies, &req->client))
            return;
    }
}

static void set_client(struct tw_req *req)
{
    req->client = req->conn->client;
    if (!req->conn->client_is_proxy)
        return;
    if (strcmp(req->config->http_forwarded_header, "x-forwarded-for") == 0)
        walk_forwarded(req, TW_STR("x-forwarded-for"), tw_forwarded_for);
    else if (strcmp(req->config->http_forwarded_header, "forwarded") == 0)
        walk_forwarded(req, TW_STR("forwarded"), tw_forwarded);
}

// The request of which only the body was to come, now that it has, or will not. NULL: another one.
static struct tw_req *resume(struct tw_conn *conn, const h2o_req_t *h2o)
{
    struct tw_req *req = conn->awaited;
    while (req && req->h2o != h2o)
        req = req->next_awaited;
    if (!req)
        return NULL;
    forget_awaited(req);
    req->body = str_of(h2o->entity);
    req->deadline_us = tw_now_us() + req->config->http_deadline_ms * 1000;
    return req;
}

struct tw_req *tw_req_adopt(struct tw_worker *worker, h2o_req_t *h2o)
{
    struct tw_req *awaited = resume(conn_of(h2o->conn), h2o);
    if (awaited)
        return awaited;
    struct tw_req *req = h2o_mem_alloc_shared(&h2o->pool, sizeof(*req), on_dispose);
    memset(req, 0, offsetof(struct tw_req, request_id_text));
    req->h2o = h2o;
    req->worker = worker;
    req->conn = conn_of(h2o->conn);
    req->config = worker->config;
    req->page = worker->page;
    req->method = str_of(h2o->input.method);
    req->body = str_of(h2o->entity);
    req->started_us = tw_now_us();
    req->received_unix_ms = tw_worker_unix_ms(worker, req->started_us);
    req->deadline_us = req->started_us + req->config->http_deadline_ms * 1000;
    take_request_id(req);
    set_client(req);
    req->conn->requests++;
    req->conn->requests_in_flight++;
    tw_metric_add(req->page, TW_METRIC_REQUESTS_IN_FLIGHT, 1);
    if (worker->traces)
        tw_trace_begin(req);
    return req;
}

// ---- waiting ------------------------------------------------------------------------------------

void tw_req_account(struct tw_req *req, const struct tw_db_result *result)
{
    req->n_statements++;
    req->queue_us += result->times.queue_us;
    req->db_us += result->times.server_us;
    if (req->trace)
        tw_trace_statement(req, result);
}

static void on_db_result(void *owner, const struct tw_db_result *result)
{
    struct tw_req *req = owner;
    req->waiting_for = NULL;
    tw_req_account(req, result);
    bool is_for_step = req->step_judges || result->status == TW_OK ||
                       result->status == TW_ALREADY_EXISTS;
    struct tw_verdict verdict = is_for_step ? req->next_step(req, result)
                                            : tw_fail(req, result->status, NULL);
    (void)verdict; // it exists, so the request waits again or has been answered
}

// The library does not listen to an HTTP/1 client while it waits for its answer; the kernel knows.
// One that has closed its side is taken to have left, as other proxies do.
static bool has_left(void *owner)
{
    const struct tw_req *req = owner;
    struct tcp_info info;
    socklen_t n = sizeof(info);
    return getsockopt(h2o_socket_get_fd(req->conn->sock), IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
           info.tcpi_state != TCP_ESTABLISHED;
}

// Hands the statement over, or says why not.
static enum tw_status submit(struct tw_req *req, enum tw_stmt stmt, struct tw_params *params,
                             tw_db_step step)
{
    req->next_step = step;
    uint64_t reader = 0;
    if (req->principal)
        memcpy(&reader, req->principal->tag, sizeof(reader));
    struct tw_db_call call = {.stmt = stmt,
                              .reader = reader,
                              .params = params,
                              .deadline_us = req->deadline_us,
                              .callback = on_db_result,
                              .owner = req,
                              .has_left = has_left,
                              .request_id = req->request_id};
    enum tw_status status = tw_db_submit(req->worker->db, &call, &req->waiting_for);
    tw_params_free(params);
    return status;
}

struct tw_verdict tw_await_db(struct tw_req *req, enum tw_stmt stmt, struct tw_params *params,
                              tw_db_step step)
{
    req->step_judges = false;
    enum tw_status status = submit(req, stmt, params, step);
    if (status != TW_OK)
        return tw_fail(req, status, NULL);
    return (struct tw_verdict){TW_VERDICT_WAITING};
}

struct tw_verdict tw_await_db_judged(struct tw_req *req, enum tw_stmt stmt,
                                     struct tw_params *params, tw_db_step step)
{
    req->step_judges = true;
    struct tw_db_result result = {.status = submit(req, stmt, params, step)};
    if (result.status != TW_OK)
        return step(req, &result);
    return (struct tw_verdict){TW_VERDICT_WAITING};
}

// ---- the stages, in the order of DESIGN §3 ------------------------------------------------------

// A stage lets the request pass (true) or answers it (false).
static bool refuse(struct tw_req *req, enum tw_status status, const char *detail)
{
    struct tw_verdict verdict = tw_fail(req, status, detail);
    return verdict.kind != TW_VERDICT_ANSWERED;
}

// Who looks for what is not there is limited by his address all the same.
static bool refuse_unmatched(struct tw_req *req, enum tw_status status, const char *detail)
{
    return tw_stage_limit_peer(req) && refuse(req, status, detail);
}

static bool stage_target(struct tw_req *req)
{
    struct tw_str target = str_of(req->h2o->input.path);
    if (target.n > req->config->http_url_max_bytes)
        return refuse_unmatched(req, TW_URI_TOO_LONG, NULL);
    enum tw_status status = tw_router_target(target, &req->path, &req->query);
    return status == TW_OK ||
           refuse_unmatched(req, status, "Use the path as documented, without encoding.");
}

static void reply_allow(struct tw_req *req, unsigned allowed)
{
    char text[TW_METHODS_TEXT_MAX];
    tw_reply_header(req, TW_STR("allow"), tw_router_methods(allowed, text));
}

static bool stage_route(struct tw_req *req)
{
    struct tw_match match;
    enum tw_status status = tw_router_match(req->worker->heritage->routes, req->method, req->path,
                                            &match);
    if (status == TW_METHOD_NOT_ALLOWED)
        reply_allow(req, match.allowed);
    if (status != TW_OK)
        return refuse_unmatched(req, status, NULL);
    req->route = match.route;
    memcpy(req->params, match.params, sizeof(req->params));
    return true;
}

static bool stage_auth(struct tw_req *req)
{
    return tw_stage_authenticate(req) && tw_stage_authorize(req);
}

// A stage that a trace has a part for.
static bool timed(struct tw_req *req, enum tw_trace_part_kind kind,
                  bool (*stage)(struct tw_req *req))
{
    if (!req->trace)
        return stage(req);
    uint64_t begin_us = tw_now_us();
    req->trace->in_part = true;
    bool passed = stage(req);
    req->trace->in_part = false;
    tw_trace_part(req, kind, begin_us);
    return passed;
}

// What the head alone decides.
static bool pass_head(struct tw_req *req)
{
    return stage_target(req) && !tw_cors_answers(req) && stage_route(req) &&
           timed(req, TW_TRACE_LIMIT_ADDRESS, tw_stage_limit_peer) &&
           timed(req, TW_TRACE_AUTH, stage_auth) &&
           timed(req, TW_TRACE_LIMIT_PRINCIPAL, tw_stage_limit_principal) && tw_stage_accept(req);
}

static void run(struct tw_req *req)
{
    if ((req->head_has_passed || pass_head(req)) && tw_stage_body(req)) {
        if (req->trace)
            req->trace->step_us = tw_now_us();
        struct tw_verdict verdict = req->route->handler(req);
        (void)verdict; // it exists, so the request waits or has been answered
    }
}

static int on_req(h2o_handler_t *self, h2o_req_t *h2o)
{
    struct handler *handler = (struct handler *)self;
    run(tw_req_adopt(handler->worker, h2o));
    return 0;
}

static void await_body(struct tw_req *req)
{
    req->head_has_passed = true;
    req->next_awaited = req->conn->awaited;
    req->conn->awaited = req;
}

// An HTTP/1 client asks before it sends the body: it is not told to when its head is answered.
static int on_expect(h2o_req_t *h2o)
{
    struct tw_req *req = tw_req_adopt(conn_of(h2o->conn)->worker, h2o);
    if (!pass_head(req))
        return 1;
    await_body(req);
    return 0;
}

// An HTTP/2 client has begun to send the body: nothing of it is kept when its head is answered.
static int on_body(h2o_req_t *h2o)
{
    struct tw_req *req = tw_req_adopt(conn_of(h2o->conn)->worker, h2o);
    if (!pass_head(req) || !tw_stage_body_form(req))
        return 1;
    await_body(req);
    return 0;
}

bool tw_request_install(struct tw_worker *worker, h2o_hostconf_t *host)
{
    struct handler *handler = (struct handler *)h2o_create_handler(&host->fallback_path,
                                                                   sizeof(*handler));
    handler->super.on_req = on_req;
    handler->worker = worker;
    worker->globalconf.http1.on_expect = on_expect;
    worker->globalconf.http2.on_body = on_body;
    return tw_reply_install(worker, &host->fallback_path);
}
