// SPDX-License-Identifier: Apache-2.0
#include "gateway/reply_head.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/cors.h"
#include "gateway/trace.h"
#include "gateway/worker.h"

// ---- lines that never change --------------------------------------------------------------------

// nosniff: JSON with markup in it is not taken for a page. The policy: should a browser show an
// answer as a page all the same, then nothing in it runs or loads, and no site frames it.
// Cross-Origin-Resource-Policy is same-origin whatever cors.origins says: Fetch asks it only of
// requests without CORS (<img>, <script>), by which nobody has a reason to load JSON.
static const struct {
    const char *name, *value;
} constant_lines[] = {
    {"x-content-type-options", "nosniff"},
    {"content-security-policy", "default-src 'none'; frame-ancestors 'none'"},
    {"referrer-policy", "no-referrer"},
    {"cross-origin-resource-policy", "same-origin"},
};

#define LINES_MAX (TW_COUNT(constant_lines) + 1)

struct tw_reply_head {
    h2o_iovec_t names[TW_COUNT(constant_lines)];
    h2o_header_t lines[LINES_MAX]; // the last one is for TLS alone
    size_t n;                      // without TLS
    size_t n_tls;
    char hsts[32];
};

// RFC 6797 §7.2: over plain HTTP it must not be sent, and says nothing. No includeSubDomains:
// what else is served under the host's name is not ours to decide.
static void add_hsts(struct tw_reply_head *head, uint64_t max_age_ms)
{
    if (max_age_ms == 0)
        return;
    int n = snprintf(head->hsts, sizeof(head->hsts), "max-age=%" PRIu64, max_age_ms / 1000);
    h2o_iovec_t *name = (h2o_iovec_t *)&H2O_TOKEN_STRICT_TRANSPORT_SECURITY->buf;
    head->lines[head->n_tls++] = (h2o_header_t){name, NULL, h2o_iovec_init(head->hsts, (size_t)n)};
}

struct tw_reply_head *tw_reply_head_new(const struct tw_config *config)
{
    struct tw_reply_head *head = calloc(1, sizeof(*head));
    if (!head)
        return NULL;
    for (size_t i = 0; i < TW_COUNT(constant_lines); i++) {
        const char *name = constant_lines[i].name, *value = constant_lines[i].value;
        head->names[i] = h2o_iovec_init(name, strlen(name));
        head->lines[head->n++] = (h2o_header_t){&head->names[i], NULL,
                                                h2o_iovec_init(value, strlen(value))};
    }
    head->n_tls = head->n;
    add_hsts(head, config->http_hsts_ms);
    return head;
}

static void set_constant_lines(struct tw_req *req)
{
    const struct tw_reply_head *head = req->worker->reply_head;
    h2o_headers_t *headers = &req->h2o->res.headers;
    size_t n = req->conn->sock->ssl ? head->n_tls : head->n;
    h2o_vector_reserve(&req->h2o->pool, headers, headers->size + n);
    memcpy(headers->entries + headers->size, head->lines, n * sizeof(head->lines[0]));
    headers->size += n;
}

// ---- caching ------------------------------------------------------------------------------------

// 200 and 304 of a route whose row says so; whatever else is kept by nobody.
static bool is_kept(const struct tw_req *req, unsigned http_status)
{
    return req->route && req->route->cache == TW_CACHE_REVALIDATE &&
           (http_status == 200 || http_status == 304);
}

static bool is_public(const struct tw_req *req)
{
    return req->worker->access[tw_req_route_index(req)].roles & TW_ROLE_PUBLIC;
}

static struct tw_str cache_control(const struct tw_req *req, bool kept)
{
    return !kept            ? TW_STR("no-store")
           : is_public(req) ? TW_STR("no-cache")
                            : TW_STR("private, no-cache");
}

// One line for all that a cache must tell apart. Authorization: a copy that one cashier's browser
// has kept is not shown to the next one at the same till.
static struct tw_str vary(const struct tw_req *req, bool kept, enum tw_reply_form form)
{
    static const char *const texts[] = {
        "",
        "Origin",
        "Accept-Encoding",
        "Accept-Encoding, Origin",
        "Authorization",
        "Authorization, Origin",
        "Authorization, Accept-Encoding",
        "Authorization, Accept-Encoding, Origin",
    };
    struct tw_str preflight = tw_cors_preflight_vary(req);
    if (preflight.n > 0)
        return preflight;
    unsigned origin = tw_cors_varies(req) ? 1 : 0;
    unsigned coding = form == TW_FORM_CODED && req->config->http_gzip_min_bytes > 0 ? 2 : 0;
    unsigned authorization = kept && !is_public(req) ? 4 : 0;
    return tw_str_of(texts[origin | coding | authorization]);
}

static void set_caching(struct tw_req *req, unsigned http_status, enum tw_reply_form form)
{
    h2o_mem_pool_t *pool = &req->h2o->pool;
    h2o_headers_t *headers = &req->h2o->res.headers;
    bool kept = is_kept(req, http_status);
    struct tw_str cache = cache_control(req, kept), on = vary(req, kept, form);
    h2o_add_header(pool, headers, H2O_TOKEN_CACHE_CONTROL, NULL, cache.p, cache.n);
    if (on.n > 0)
        h2o_add_header(pool, headers, H2O_TOKEN_VARY, NULL, on.p, on.n);
}

// ---- the head -----------------------------------------------------------------------------------

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
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
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
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < TW_COUNT(phrases); i++)
        if (phrases[i].http_status == http_status)
            return phrases[i].phrase;
    return "Unknown";
}

void tw_reply_head_set(struct tw_req *req, unsigned http_status, size_t content_length,
                       enum tw_reply_form form)
{
    h2o_res_t *res = &req->h2o->res;
    req->http_status = http_status;
    res->status = (int)http_status;
    res->reason = reason_phrase(http_status);
    res->content_length = content_length;
    if (req->worker->draining ||
        tw_conn_is_old(
            req->conn,
            req->started_us)) // HTTP/1: "Connection: close" instead of a close out of the blue
        req->h2o->http1_is_persistent = 0;
    h2o_add_header_by_str(&req->h2o->pool, &res->headers, H2O_STRLIT("x-request-id"), 0, NULL,
                          req->request_id.p, req->request_id.n);
    set_constant_lines(req);
    set_caching(req, http_status, form);
    tw_cors_set_headers(req);
    tw_rate_limit_headers(req);
    if (req->trace)
        tw_trace_headers(req);
}
