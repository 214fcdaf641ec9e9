// SPDX-License-Identifier: Apache-2.0
#include "gateway/content.h"

#include <stdio.h>

#include "gateway/negotiate.h"
#include "gateway/reply.h"
#include "gateway/worker.h"

static bool refuse(struct tw_req *req, enum tw_status status, const char *detail)
{
    struct tw_verdict verdict = tw_fail(req, status, detail);
    return verdict.kind != TW_VERDICT_ANSWERED;
}

// The next line of a header, or none: p is NULL. `*at` begins as -1.
static struct tw_str next_line(const struct tw_req *req, const h2o_token_t *name, ssize_t *at)
{
    const h2o_headers_t *headers = &req->h2o->headers;
    *at = h2o_find_header(headers, name, *at);
    if (*at < 0)
        return (struct tw_str){NULL, 0};
    return (struct tw_str){headers->entries[*at].value.base, headers->entries[*at].value.len};
}

// ---- the answer's form --------------------------------------------------------------------------

bool tw_stage_accept(struct tw_req *req)
{
    struct tw_accept accept = TW_ACCEPT_NONE;
    struct tw_str line;
    ssize_t at = -1;
    while ((line = next_line(req, H2O_TOKEN_ACCEPT, &at)).p)
        tw_accept_add_media(&accept, line);
    return tw_accept_takes_json(&accept) ||
           refuse(req, TW_NOT_ACCEPTABLE, "Answers are application/json: let Accept take it.");
}

bool tw_req_takes_gzip(const struct tw_req *req)
{
    struct tw_accept accept = TW_ACCEPT_NONE;
    struct tw_str line;
    ssize_t at = -1;
    if (req->config->http_gzip_min_bytes == 0)
        return false;
    while ((line = next_line(req, H2O_TOKEN_ACCEPT_ENCODING, &at)).p)
        tw_accept_add_coding(&accept, line);
    return tw_accept_takes_gzip(&accept);
}

// ---- the body -----------------------------------------------------------------------------------

// One Content-Type, and one that the route takes. Two would leave open which of them was meant.
static bool is_type_taken(const struct tw_req *req)
{
    ssize_t at = -1;
    struct tw_str type = next_line(req, H2O_TOKEN_CONTENT_TYPE, &at);
    return type.p && tw_media_type_in(type, tw_str_of(req->route->takes)) &&
           !next_line(req, H2O_TOKEN_CONTENT_TYPE, &at).p;
}

static bool is_plain(const struct tw_req *req)
{
    struct tw_str line;
    ssize_t at = -1;
    while ((line = next_line(req, H2O_TOKEN_CONTENT_ENCODING, &at)).p)
        if (!tw_coding_is_identity(line))
            return false;
    return true;
}

static bool refuse_type(struct tw_req *req)
{
    char detail[160];
    (void)snprintf(detail, sizeof(detail), "Send Content-Type: %s, in UTF-8.", req->route->takes);
    tw_reply_header(req, TW_STR("accept"), tw_str_of(req->route->takes));
    return refuse(req, TW_UNSUPPORTED_MEDIA_TYPE, detail);
}

static bool refuse_coding(struct tw_req *req)
{
    tw_reply_header(req, TW_STR("accept-encoding"), TW_STR("identity"));
    return refuse(req, TW_UNSUPPORTED_MEDIA_TYPE, "Send the body without a content coding.");
}

bool tw_stage_body_form(struct tw_req *req)
{
    if (!req->route->takes)
        return refuse(req, TW_BODY_UNEXPECTED, "Send this request without a body.");
    if (!is_type_taken(req))
        return refuse_type(req);
    return is_plain(req) || refuse_coding(req);
}

bool tw_stage_body(struct tw_req *req)
{
    if (req->body.n > req->config->http_body_max_bytes)
        return refuse(req, TW_PAYLOAD_TOO_LARGE, NULL);
    if (req->body.n > 0)
        return tw_stage_body_form(req);
    return !req->route->takes || req->route->takes == tw_json_or_nothing ||
           refuse(req, TW_BODY_MISSING, "Send a body.");
}
