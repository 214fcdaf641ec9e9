// SPDX-License-Identifier: Apache-2.0
#include "gateway/authenticate.h"

#include "gateway/limit.h"
#include "gateway/reply.h"
#include "gateway/worker.h"

// ---- refusals -----------------------------------------------------------------------------------

static const struct tw_access *access_of(const struct tw_req *req)
{
    return &req->worker->access[tw_req_route_index(req)];
}

static bool refuse(struct tw_req *req, enum tw_status status, const char *detail)
{
    struct tw_verdict verdict = tw_fail(req, status, detail);
    return verdict.kind != TW_VERDICT_ANSWERED;
}

// The texts with a space between each two, in the request's pool.
static const char *joined(struct tw_req *req, const struct tw_texts *texts)
{
    size_t size = 1;
    for (size_t i = 0; i < texts->n; i++)
        size += strlen(texts->items[i]) + 1;
    char *text = tw_req_alloc(req, size), *end = text;
    for (size_t i = 0; i < texts->n; i++)
        end += snprintf(end, size - (size_t)(end - text), i == 0 ? "%s" : " %s", texts->items[i]);
    return text;
}

// RFC 6750 §3. `scopes`: those of which one is needed; NULL or none: not said.
static void reply_challenge(struct tw_req *req, const char *error, const char *description,
                            const struct tw_texts *scopes)
{
    const char *scope = scopes && scopes->n > 0 ? joined(req, scopes) : NULL;
    size_t size = 128 + strlen(description) + (scope ? strlen(scope) : 0);
    char *text = tw_req_alloc(req, size);
    int n = snprintf(
        text, size, "Bearer realm=\"tillway\", error=\"%s\", error_description=\"%s\"%s%s%s", error,
        description, scope ? ", scope=\"" : "", scope ? scope : "", scope ? "\"" : "");
    tw_reply_header(req, TW_STR("www-authenticate"), (struct tw_str){text, (size_t)n});
}

// §3.1: no error when no token came.
static bool refuse_without_token(struct tw_req *req, const char *detail)
{
    tw_reply_header(req, TW_STR("www-authenticate"), TW_STR("Bearer realm=\"tillway\""));
    return refuse(req, TW_TOKEN_MISSING, detail);
}

static bool refuse_ambiguous(struct tw_req *req)
{
    reply_challenge(req, "invalid_request", "more than one Authorization header", NULL);
    return refuse(req, TW_BAD_REQUEST, "Send one Authorization header.");
}

static bool refuse_result(struct tw_req *req, const struct tw_auth_result *result)
{
    if (result->status == TW_TOKEN_INVALID || result->status == TW_TOKEN_EXPIRED)
        reply_challenge(req, "invalid_token", result->reason, NULL);
    else if (result->status == TW_INSUFFICIENT_SCOPE || result->status == TW_FORBIDDEN)
        reply_challenge(req, "insufficient_scope", result->reason, result->scopes);
    else
        return refuse(req, result->status, NULL);
    return refuse(req, result->status, result->reason);
}

// ---- bad tokens by address ----------------------------------------------------------------------

// The limit on bad tokens of the client's address: looked at before a token is, charged when it was
// bad. False when there is no room.
static bool has_room(struct tw_req *req, bool charge)
{
    struct tw_limit_result result = {0};
    const struct tw_worker *worker = req->worker;
    if (req->config->auth_failures_rate == 0)
        return true;
    (charge ? tw_limit_take : tw_limit_peek)(worker->heritage->limits, TW_LIMIT_TOKEN_FAILURES,
                                             tw_address_key(&req->client), &worker->failure_rule, 1,
                                             tw_now_us(), &result);
    req->retry_after_s = (unsigned)((result.retry_after_us + 999999) / 1000000);
    return result.allowed;
}

static bool refuse_limited(struct tw_req *req)
{
    tw_metric_add(req->page, TW_METRIC_TOKENS_LIMITED, 1);
    return refuse(req, TW_QUOTA_EXCEEDED, "Too many bad tokens from this address.");
}

// ---- authenticate -------------------------------------------------------------------------------

// The value of the only Authorization header; empty when there is none. False when there are more.
static bool find_authorization(const struct tw_req *req, struct tw_str *value)
{
    const h2o_headers_t *headers = &req->h2o->headers;
    ssize_t at = h2o_find_header(headers, H2O_TOKEN_AUTHORIZATION, -1);
    *value = (struct tw_str){NULL, 0};
    if (at < 0)
        return true;
    *value = (struct tw_str){headers->entries[at].value.base, headers->entries[at].value.len};
    return h2o_find_header(headers, H2O_TOKEN_AUTHORIZATION, at) < 0;
}

// The token of "Bearer TOKEN"; empty when it is not of that form.
static struct tw_str bearer_token(struct tw_str value)
{
    if (value.n < 7 || !tw_str_ieq((struct tw_str){value.p, 7}, TW_STR("Bearer ")))
        return (struct tw_str){NULL, 0};
    return (struct tw_str){value.p + 7, value.n - 7};
}

static struct tw_auth_result verify(struct tw_req *req, struct tw_str token)
{
    struct tw_worker *worker = req->worker;
    int64_t now_unix_s = req->received_unix_ms / 1000;
    struct tw_auth_result result = tw_verifier_verify(worker->verifier, token, now_unix_s);
    bool keys_may_be_old = result.unknown_kid_issuer >= 0 || result.status == TW_KEYS_UNAVAILABLE;
    // Perhaps the master knows newer keys already, and only the tick has not come yet.
    if (keys_may_be_old && tw_worker_keys_update(worker))
        result = tw_verifier_verify(worker->verifier, token, now_unix_s);
    if (result.unknown_kid_issuer >= 0)
        tw_worker_keys_stale(worker, (size_t)result.unknown_kid_issuer);
    return result;
}

static bool take_principal(struct tw_req *req, struct tw_principal *principal)
{
    req->principal = principal;
    req->store = principal->store.n > 0 ? principal->store
                                        : tw_str_of(req->config->pos_default_store);
    return true;
}

static bool authenticate_by_token(struct tw_req *req, struct tw_str token)
{
    struct tw_principal *known = tw_verifier_recall(req->worker->verifier, token,
                                                    req->received_unix_ms / 1000);
    if (known) {
        tw_metric_add(req->page, TW_METRIC_TOKENS_HIT, 1);
        return take_principal(req, known);
    }
    if (!has_room(req, false))
        return refuse_limited(req);
    struct tw_auth_result result = verify(req, token);
    if (result.status == TW_OK) {
        tw_metric_add(req->page, TW_METRIC_TOKENS_VERIFIED, 1);
        return take_principal(req, result.principal);
    }
    bool bad = result.status == TW_TOKEN_INVALID || result.status == TW_TOKEN_EXPIRED;
    if (bad && !has_room(req, true)) // another worker has used it up meanwhile
        return refuse_limited(req);
    tw_metric_add(req->page, TW_METRIC_TOKENS_REFUSED, 1);
    return refuse_result(req, &result);
}

bool tw_stage_authenticate(struct tw_req *req)
{
    struct tw_str authorization;
    const struct tw_access *access = access_of(req);
    if (access->roles & TW_ROLE_PUBLIC)
        return take_principal(req, tw_principal_ref(req->worker->nobody));
    if (!find_authorization(req, &authorization))
        return refuse_ambiguous(req);
    struct tw_str token = bearer_token(authorization);
    if (token.n > 0)
        return authenticate_by_token(req, token);
    struct tw_principal *holder = tw_conn_certificate(req->conn, req->received_unix_ms / 1000);
    if (!holder && req->conn->certificate && !authorization.p)
        return refuse_without_token(req, "The client certificate has expired. Connect with a new "
                                         "one, or send Authorization: Bearer TOKEN.");
    if (!holder || authorization.p)
        return refuse_without_token(req, "Send Authorization: Bearer TOKEN.");
    if (tw_verifier_denies(req->worker->verifier, holder))
        return refuse(req, TW_FORBIDDEN, "The client certificate is revoked.");
    return take_principal(req, tw_principal_ref(holder));
}

// ---- authorize ----------------------------------------------------------------------------------

bool tw_stage_authorize(struct tw_req *req)
{
    const struct tw_access *access = access_of(req);
    if (access->roles & TW_ROLE_PUBLIC)
        return true;
    if (!tw_policy_allows(req->principal, access->roles)) {
        const char *reason = "the principal has none of the roles that this needs";
        reply_challenge(req, "insufficient_scope", reason, NULL);
        return refuse(req, TW_FORBIDDEN, "The principal has none of the roles that this needs.");
    }
    if (!tw_claims_has_scope(req->principal->scope, &access->scopes)) {
        reply_challenge(req, "insufficient_scope",
                        "the token has none of the scopes that this needs", &access->scopes);
        return refuse(req, TW_INSUFFICIENT_SCOPE, "The token has none of the scopes this needs.");
    }
    return true;
}
