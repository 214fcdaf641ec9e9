// SPDX-License-Identifier: Apache-2.0
#include "gateway/reply.h"

#include "gateway/cors.h"
#include "gateway/worker.h"

#define BODY_FIRST_BYTES 1024

// Marks an answer as ours: whatever has another generator was made by the library.
static h2o_generator_t our_generator = {NULL, NULL};

static bool grow_in_pool(struct tw_json *json, size_t cap)
{
    struct tw_req *req = json->owner;
    if (cap < json->cap * 2)
        cap = json->cap * 2;
    char *p = tw_req_alloc(req, cap);
    memcpy(p, json->p, json->n);
    json->p = p;
    json->cap = cap;
    return true;
}

struct tw_json tw_reply_body(struct tw_req *req)
{
    struct tw_json json = tw_json_fixed(tw_req_alloc(req, BODY_FIRST_BYTES), BODY_FIRST_BYTES);
    json.grow = grow_in_pool;
    json.owner = req;
    return json;
}

void tw_reply_header(struct tw_req *req, struct tw_str name, struct tw_str value)
{
    h2o_mem_pool_t *pool = &req->h2o->pool;
    h2o_iovec_t copy = h2o_strdup(pool, value.p, value.n);
    h2o_add_header_by_str(pool, &req->h2o->res.headers, name.p, name.n, 1, NULL, copy.base,
                          copy.len);
}

static const char *reason_phrase(unsigned http_status)
{
    static const struct {
        unsigned http_status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < TW_COUNT(phrases); i++)
        if (phrases[i].http_status == http_status)
            return phrases[i].phrase;
    return "Unknown";
}

static void set_head(struct tw_req *req, unsigned http_status, size_t content_length)
{
    h2o_res_t *res = &req->h2o->res;
    req->http_status = http_status;
    res->status = (int)http_status;
    res->reason = reason_phrase(http_status);
    res->content_length = content_length;
    if (req->worker->draining) // HTTP/1: "Connection: close" instead of a close out of the blue
        req->h2o->http1_is_persistent = 0;
    h2o_add_header_by_str(&req->h2o->pool, &res->headers, H2O_STRLIT("x-request-id"), 0, NULL,
                          req->request_id.p, req->request_id.n);
    tw_cors_set_headers(req);
}

static void set_type(struct tw_req *req, const char *type, size_t n)
{
    h2o_add_header(&req->h2o->pool, &req->h2o->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, n);
}

static struct tw_verdict answer(struct tw_req *req, struct tw_str body)
{
    h2o_iovec_t buf = {(char *)(uintptr_t)body.p, body.n};
    bool has_body = body.n > 0 && !tw_str_eq(req->method, TW_STR("HEAD"));
    h2o_start_response(req->h2o, &our_generator);
    h2o_send(req->h2o, &buf, has_body ? 1 : 0, H2O_SEND_STATE_FINAL);
    return (struct tw_verdict){TW_VERDICT_ANSWERED};
}

struct tw_verdict tw_reply_json(struct tw_req *req, unsigned http_status,
                                const struct tw_json *body)
{
    set_head(req, http_status, body->n);
    set_type(req, H2O_STRLIT("application/json"));
    return answer(req, (struct tw_str){body->p, body->n});
}

struct tw_verdict tw_reply_empty(struct tw_req *req, unsigned http_status)
{
    // 204 and 304 have no content, and no Content-Length either (RFC 9110 §8.6).
    set_head(req, http_status, SIZE_MAX);
    return answer(req, TW_STR(""));
}

// ---- problems -----------------------------------------------------------------------------------

static void put_errors(struct tw_json *json, const struct tw_problem_error *errors, size_t n)
{
    if (n == 0)
        return;
    tw_json_key(json, TW_STR("errors"));
    tw_json_array(json);
    for (size_t i = 0; i < n; i++) {
        tw_json_object(json);
        TW_JSON_STR(json, "pointer", errors[i].pointer);
        TW_JSON_STR(json, "code", tw_str_of(errors[i].code));
        TW_JSON_STR(json, "detail", errors[i].detail);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static struct tw_json problem_body(struct tw_req *req, enum tw_status status, const char *detail,
                                   const struct tw_problem_error *errors, size_t n)
{
    const struct tw_status_info *info = tw_status_info(status);
    struct tw_json json = tw_reply_body(req);
    tw_json_object(&json);
    TW_JSON_STR(&json, "type", TW_STR("about:blank"));
    TW_JSON_STR(&json, "title", tw_str_of(info->title));
    TW_JSON_I64(&json, "status", info->http);
    if (detail)
        TW_JSON_STR(&json, "detail", tw_str_of(detail));
    TW_JSON_STR(&json, "code", tw_str_of(info->code));
    TW_JSON_STR(&json, "requestId", req->request_id);
    put_errors(&json, errors, n);
    tw_json_object_end(&json);
    return json;
}

static void reply_retry_after(struct tw_req *req)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%u", req->retry_after_s ? req->retry_after_s : 1);
    tw_reply_header(req, TW_STR("retry-after"), (struct tw_str){text, (size_t)n});
}

// What every problem's head has, whoever sends its body.
static void set_problem_head(struct tw_req *req, enum tw_status status, size_t content_length)
{
    unsigned http_status = tw_status_info(status)->http;
    req->status = status;
    if (http_status == 503 || http_status == 429)
        reply_retry_after(req);
    set_head(req, http_status, content_length);
    set_type(req, H2O_STRLIT("application/problem+json"));
}

struct tw_verdict tw_fail_errors(struct tw_req *req, enum tw_status status, const char *detail,
                                 const struct tw_problem_error *errors, size_t n)
{
    struct tw_json json = problem_body(req, status, detail, errors, n);
    set_problem_head(req, status, json.n);
    return answer(req, (struct tw_str){json.p, json.n});
}

struct tw_verdict tw_fail(struct tw_req *req, enum tw_status status, const char *detail)
{
    return tw_fail_errors(req, status, detail, NULL, 0);
}

// ---- what the library answers by itself ---------------------------------------------------------

struct filter {
    h2o_filter_t super;
    struct tw_worker *worker;
};

struct replacement {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

static enum tw_status library_status(int http_status)
{
    switch (http_status) {
    case 413:
        return TW_PAYLOAD_TOO_LARGE;
    case 417:
        return TW_EXPECTATION_FAILED;
    case 400:
        return TW_BAD_REQUEST;
    default:
        return TW_INTERNAL;
    }
}

static void send_replacement(h2o_ostream_t *self, h2o_req_t *h2o, h2o_iovec_t *bufs, size_t n,
                             h2o_send_state_t state)
{
    struct replacement *replacement = (struct replacement *)self;
    (void)bufs;
    h2o_ostream_send_next(self, h2o, &replacement->body, n > 0 ? 1 : 0, state);
}

static void on_setup_ostream(h2o_filter_t *self, h2o_req_t *h2o, h2o_ostream_t **slot)
{
    struct filter *filter = (struct filter *)self;
    if (h2o->_generator != &our_generator) {
        struct tw_req *req = tw_req_adopt(filter->worker, h2o);
        enum tw_status status = library_status(h2o->res.status);
        memset(&h2o->res.headers, 0, sizeof(h2o->res.headers));
        struct tw_json json = problem_body(req, status, NULL, NULL, 0);
        set_problem_head(req, status, json.n);
        struct replacement *replacement = (struct replacement *)h2o_add_ostream(
            h2o, sizeof(*replacement), slot);
        replacement->super.do_send = send_replacement;
        replacement->body = h2o_iovec_init(json.p, json.n);
        slot = &replacement->super.next;
    }
    h2o_setup_next_ostream(h2o, slot);
}

void tw_reply_install(struct tw_worker *worker, h2o_pathconf_t *path)
{
    struct filter *filter = (struct filter *)h2o_create_filter(path, sizeof(*filter));
    filter->super.on_setup_ostream = on_setup_ostream;
    filter->worker = worker;
}
