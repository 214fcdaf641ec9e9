// SPDX-License-Identifier: Apache-2.0
#include "gateway/cors.h"

#include <inttypes.h>
#include <stdio.h>

#include "gateway/rate_limit.h"
#include "gateway/reply.h"
#include "gateway/worker.h"

// What a till's page may read beside the headers that Fetch always shows. X-RateLimit-* are
// sent by option.
#define EXPOSED_HEADERS                                                              \
    "ETag, Link, Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, " \
    "Idempotency-Replayed, WWW-Authenticate, Cache-Status, Server-Timing, traceresponse"
static const char exposed_headers[] = EXPOSED_HEADERS;
static const char exposed_with_legacy[] = EXPOSED_HEADERS
    ", X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset";

// What it may send. Authorization must be named: `*` would not include it.
static const char allowed_headers[] =
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id, "
    "traceparent, tracestate, Last-Event-ID, Prefer";

static const char preflight_vary[] =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

enum tw_cors tw_cors_judge(const struct tw_config *config, struct tw_str origin)
{
    const struct tw_texts known = config->cors_origins;
    if (known.n > 0 && strcmp(known.items[0], "*") == 0)
        return TW_CORS_ANY;
    for (size_t i = 0; i < known.n && origin.n > 0; i++)
        if (tw_str_eq(origin, tw_str_of(known.items[i])))
            return TW_CORS_ORIGIN;
    return TW_CORS_NOBODY;
}

static bool is_options(const struct tw_req *req)
{
    return tw_str_eq(req->method, TW_STR("OPTIONS"));
}

static struct tw_str origin_of(const struct tw_req *req)
{
    return tw_req_header(req, TW_STR("origin")); // h2o has no token for it
}

// Both texts must live as long as the answer.
static void add(struct tw_req *req, struct tw_str name, struct tw_str value)
{
    h2o_add_header_by_str(&req->h2o->pool, &req->h2o->res.headers, name.p, name.n, 0, NULL, value.p,
                          value.n);
}

// ---- every answer -------------------------------------------------------------------------------

bool tw_cors_varies(const struct tw_req *req)
{
    const struct tw_texts known = req->config->cors_origins;
    return known.n > 0 && strcmp(known.items[0], "*") != 0;
}

struct tw_str tw_cors_preflight_vary(const struct tw_req *req)
{
    bool preflight = req->config->cors_origins.n > 0 && is_options(req);
    return preflight ? TW_STR(preflight_vary) : TW_STR("");
}

void tw_cors_set_headers(struct tw_req *req)
{
    if (req->config->cors_origins.n == 0)
        return;
    h2o_mem_pool_t *pool = &req->h2o->pool;
    struct tw_str origin = origin_of(req);
    enum tw_cors cors = tw_cors_judge(req->config, origin);
    if (cors == TW_CORS_NOBODY)
        return;
    h2o_iovec_t to = cors == TW_CORS_ANY ? h2o_iovec_init(H2O_STRLIT("*"))
                                         : h2o_strdup(pool, origin.p, origin.n);
    h2o_add_header(pool, &req->h2o->res.headers, H2O_TOKEN_ACCESS_CONTROL_ALLOW_ORIGIN, NULL,
                   to.base, to.len);
    add(req, TW_STR("access-control-expose-headers"),
        req->config->rate_limits_legacy_headers ? TW_STR(exposed_with_legacy)
                                                : TW_STR(exposed_headers));
    if (req->config->cors_credentials)
        add(req, TW_STR("access-control-allow-credentials"), TW_STR("true"));
}

// ---- OPTIONS ------------------------------------------------------------------------------------

static bool is_preflight(const struct tw_req *req)
{
    struct tw_str origin = origin_of(req);
    return origin.p && tw_req_header(req, TW_STR("access-control-request-method")).p &&
           tw_cors_judge(req->config, origin) != TW_CORS_NOBODY;
}

static void set_preflight_headers(struct tw_req *req, struct tw_str methods)
{
    char seconds[24];
    int n = snprintf(seconds, sizeof(seconds), "%" PRIu64, req->config->cors_max_age_ms / 1000);
    tw_reply_header(req, TW_STR("access-control-allow-methods"), methods);
    add(req, TW_STR("access-control-allow-headers"), TW_STR(allowed_headers));
    tw_reply_header(req, TW_STR("access-control-max-age"), (struct tw_str){seconds, (size_t)n});
}

static struct tw_verdict answer_options(struct tw_req *req, unsigned allowed)
{
    char text[TW_METHODS_TEXT_MAX];
    struct tw_str methods = tw_router_methods(allowed, text);
    tw_reply_header(req, TW_STR("allow"), methods);
    if (req->is_preflight)
        set_preflight_headers(req, methods);
    return tw_reply_empty(req, 204);
}

bool tw_cors_answers(struct tw_req *req)
{
    if (!is_options(req))
        return false;
    struct tw_match match;
    enum tw_status status = tw_router_match(req->worker->heritage->routes, req->method, req->path,
                                            &match);
    req->is_preflight = status != TW_NOT_FOUND && is_preflight(req);
    if (!tw_stage_limit_peer(req))
        return true;
    struct tw_verdict verdict = status == TW_NOT_FOUND ? tw_fail(req, status, NULL)
                                                       : answer_options(req, match.allowed);
    return verdict.kind == TW_VERDICT_ANSWERED;
}
