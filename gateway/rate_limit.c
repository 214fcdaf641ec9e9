// SPDX-License-Identifier: Apache-2.0
#include "gateway/rate_limit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/siphash.h"
#include "gateway/limit.h"
#include "gateway/reply.h"
#include "gateway/worker.h"

#define NEEDS_PRINCIPAL (TW_LIMIT_BY_PRINCIPAL | TW_LIMIT_BY_CLIENT | TW_LIMIT_BY_CLAIM)

// Longest key: the issuer and subject, the client, a claim, an address, a route, and their marks.
#define KEY_MAX_BYTES (TW_CLAIM_ISS_MAX_BYTES + 4 * TW_CLAIM_TEXT_MAX_BYTES + 512)

struct policy {
    const struct tw_limit_policy *is;
    struct tw_limit_rule rule;
    unsigned id;       // in the table: the same for the same name, also after a reload
    uint64_t window_s; // in which the burst comes back
};

// The policies that hold for one route, those that need no principal first.
struct route_policies {
    const struct policy **policies;
    size_t n, n_peer;
    struct tw_str header; // RateLimit-Policy
};

struct tw_rate_limits {
    struct policy *policies;
    struct route_policies *routes; // by the table's rows
    size_t n, n_routes;
};

// What a policy said of a request.
struct tw_limit_answer {
    const struct policy *policy;
    struct tw_limit_result result;
};

// ---- made once ----------------------------------------------------------------------------------

// Folded from the name by a fixed key: two policies that meet share no bucket all the same, as the
// name is part of every key.
static unsigned id_of(const char *name)
{
    static const unsigned char key[TW_SIPHASH_KEY_BYTES] = "limits by name";
    const unsigned first = TW_LIMIT_TOKEN_FAILURES + 1;
    return first + (unsigned)(tw_siphash(key, tw_str_of(name)) % (TW_LIMIT_POLICIES_MAX - first));
}

static bool make_policy(const struct tw_limit_policy *is, struct policy *out)
{
    *out = (struct policy){.is = is, .id = id_of(is->name)};
    uint64_t window_us = (uint64_t)((double)is->burst / (double)is->rate * (double)is->period_us);
    out->window_s = window_us / 1000000 > 0 ? window_us / 1000000 : 1;
    return tw_limit_rule_make(is->rate, is->period_us, is->burst, &out->rule);
}

static bool names_route(const char *text, const struct tw_route *route)
{
    size_t n = strlen(tw_method_name(route->method));
    return strncmp(text, tw_method_name(route->method), n) == 0 && text[n] == ' ' &&
           strcmp(text + n + 1, route->pattern) == 0;
}

static bool holds_for(const struct tw_limit_policy *policy, const struct tw_route *route)
{
    bool holds = policy->routes.n == 0;
    unsigned kind = route->method == TW_GET ? TW_LIMIT_READS : TW_LIMIT_WRITES;
    for (size_t i = 0; i < policy->routes.n; i++)
        holds |= names_route(policy->routes.items[i], route);
    return holds && (policy->methods & kind);
}

// Those that need no principal (`peer`), or the others, behind what the route has already.
static void add_policies(const struct tw_rate_limits *limits, const struct tw_route *route,
                         bool peer, struct route_policies *out)
{
    for (size_t i = 0; i < limits->n; i++) {
        const struct policy *policy = &limits->policies[i];
        if (holds_for(policy->is, route) && !(policy->is->key & NEEDS_PRINCIPAL) == peer)
            out->policies[out->n++] = policy;
    }
}

static bool write_header(struct route_policies *route)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return false;
    for (size_t i = 0; i < route->n; i++) {
        const struct policy *policy = route->policies[i];
        (void)fprintf(out, "%s\"%s\";q=%" PRIu64 ";w=%" PRIu64, i > 0 ? ", " : "", policy->is->name,
                      policy->is->burst, policy->window_s);
    }
    bool done = fclose(out) == 0;
    route->header = (struct tw_str){text, size};
    return done && text;
}

static bool make_route(const struct tw_rate_limits *limits, const struct tw_route *route,
                       struct route_policies *out)
{
    out->policies = calloc(limits->n + 1, sizeof(out->policies[0]));
    if (!out->policies)
        return false;
    add_policies(limits, route, true, out);
    out->n_peer = out->n;
    add_policies(limits, route, false, out);
    return write_header(out);
}

static bool routes_exist(const struct tw_route_table *table, const struct tw_config *config,
                         char *err, size_t err_size)
{
    for (size_t i = 0; i < config->n_limits; i++)
        for (size_t j = 0; j < config->limits[i].routes.n; j++) {
            const char *text = config->limits[i].routes.items[j];
            size_t row = 0;
            while (row < table->n && !names_route(text, &table->rows[row]))
                row++;
            if (row < table->n)
                continue;
            snprintf(err, err_size,
                     "limits: policy \"%s\": \"%s\" is no route; tillway routes "
                     "lists them",
                     config->limits[i].name, text);
            return false;
        }
    return true;
}

static bool make_all(struct tw_rate_limits *limits, const struct tw_route_table *table,
                     const struct tw_config *config, char *err, size_t err_size)
{
    snprintf(err, err_size, "out of memory");
    limits->policies = calloc(config->n_limits + 1, sizeof(limits->policies[0]));
    limits->routes = calloc(table->n + 1, sizeof(limits->routes[0]));
    if (!limits->policies || !limits->routes)
        return false;
    for (; limits->n < config->n_limits; limits->n++)
        if (!make_policy(&config->limits[limits->n], &limits->policies[limits->n])) {
            snprintf(err, err_size, "limits: policy \"%s\": the burst takes years to come back",
                     config->limits[limits->n].name);
            return false;
        }
    for (; limits->n_routes < table->n; limits->n_routes++)
        if (!make_route(limits, &table->rows[limits->n_routes], &limits->routes[limits->n_routes]))
            return false;
    return routes_exist(table, config, err, err_size);
}

struct tw_rate_limits *tw_rate_limits_new(const struct tw_route_table *routes,
                                          const struct tw_config *config, char *err,
                                          size_t err_size)
{
    struct tw_rate_limits *limits = calloc(1, sizeof(*limits));
    if (limits && make_all(limits, routes, config, err, err_size))
        return limits;
    tw_rate_limits_free(limits);
    return NULL;
}

void tw_rate_limits_free(struct tw_rate_limits *limits)
{
    for (size_t i = 0; limits && limits->routes && i < limits->n_routes; i++) {
        free(limits->routes[i].policies);
        free((char *)(uintptr_t)limits->routes[i].header.p);
    }
    if (limits) {
        free(limits->policies);
        free(limits->routes);
    }
    free(limits);
}

// ---- keys ---------------------------------------------------------------------------------------

struct key {
    size_t n;
    char bytes[KEY_MAX_BYTES];
};

// Each part comes with its kind and length, so that no two keys are spelled alike.
static void add_part(struct key *key, char kind, struct tw_str part)
{
    uint16_t n = (uint16_t)part.n;
    if (key->n + 3 + part.n > sizeof(key->bytes))
        return; // never: every part is bounded
    key->bytes[key->n++] = kind;
    memcpy(key->bytes + key->n, &n, sizeof(n));
    key->n += sizeof(n);
    if (part.n > 0)
        memcpy(key->bytes + key->n, part.p, part.n);
    key->n += part.n;
}

// A principal is known by its issuer and subject; without one the address stands for it (H7).
static void add_principal_parts(struct key *key, const struct tw_req *req,
                                const struct tw_limit_policy *policy)
{
    const struct tw_principal *principal = req->principal;
    if (principal->subject.n == 0) {
        add_part(key, 'a', tw_address_key(&req->client));
        return;
    }
    add_part(key, 'i', principal->issuer);
    if (policy->key & TW_LIMIT_BY_PRINCIPAL)
        add_part(key, 's', principal->subject);
    if (policy->key & TW_LIMIT_BY_CLIENT)
        add_part(key, 'c', principal->client_id);
    if (policy->key & TW_LIMIT_BY_CLAIM)
        add_part(key, 'x', principal->extra[policy->claim]);
}

static void make_key(struct key *key, const struct tw_req *req,
                     const struct tw_limit_policy *policy)
{
    key->n = 0;
    add_part(key, 'n', tw_str_of(policy->name));
    if (policy->key & NEEDS_PRINCIPAL)
        add_principal_parts(key, req, policy);
    if (policy->key & TW_LIMIT_BY_ADDRESS)
        add_part(key, 'a', tw_address_key(&req->client));
    if (policy->key & TW_LIMIT_BY_ROUTE) {
        add_part(key, 'm', tw_str_of(tw_method_name(req->route->method)));
        add_part(key, 'r', tw_str_of(req->route->pattern));
    }
}

// ---- judging ------------------------------------------------------------------------------------

static const struct route_policies *policies_of(const struct tw_req *req)
{
    return &req->worker->rate_limits->routes[tw_req_route_index(req)];
}

// RFC 9457 with the member of the draft that names what was violated.
static bool refuse(struct tw_req *req)
{
    uint64_t wait_us = 0;
    for (size_t i = 0; i < req->n_limit_answers; i++) {
        const struct tw_limit_result *result = &req->limit_answers[i].result;
        if (!result->allowed && result->retry_after_us > wait_us)
            wait_us = result->retry_after_us;
    }
    req->retry_after_s = (unsigned)((wait_us + 999999) / 1000000);
    tw_metric_add(req->page, TW_METRIC_REQUESTS_LIMITED, 1);
    struct tw_verdict verdict = tw_fail(req, TW_QUOTA_EXCEEDED,
                                        "Wait as Retry-After says, then send it again.");
    return verdict.kind != TW_VERDICT_ANSWERED;
}

// Judges policies [from, to) of the route. Without room for all, nothing is charged: a request that
// one policy refuses does not use up the others.
static bool judge(struct tw_req *req, size_t from, size_t to, bool charge)
{
    const struct route_policies *route = policies_of(req);
    struct tw_limit_table *table = req->worker->heritage->limits;
    uint64_t now_us = tw_now_us();
    bool allowed = true;
    for (size_t i = from; i < to; i++) {
        const struct policy *policy = route->policies[i];
        struct tw_limit_result *result = &req->limit_answers[i].result;
        struct key key;
        make_key(&key, req, policy->is);
        (charge ? tw_limit_take : tw_limit_peek)(table, policy->id,
                                                 (struct tw_str){key.bytes, key.n}, &policy->rule,
                                                 policy->is->cost, now_us, result);
        req->limit_answers[i].policy = policy;
        allowed &= result->allowed;
    }
    req->n_limit_answers = to;
    return allowed;
}

static bool stage(struct tw_req *req, size_t from, size_t to)
{
    bool several = to - from > 1;
    if (from == to)
        return true;
    if (!req->limit_answers)
        req->limit_answers = tw_req_alloc(req, policies_of(req)->n * sizeof(*req->limit_answers));
    if ((!several || judge(req, from, to, false)) && judge(req, from, to, true))
        return true;
    return refuse(req);
}

bool tw_stage_limit_peer(struct tw_req *req)
{
    return stage(req, 0, policies_of(req)->n_peer);
}

// ---- requests in progress -----------------------------------------------------------------------

static void make_principal_key(struct key *key, const struct tw_req *req)
{
    static const struct tw_limit_policy by_principal = {.key = TW_LIMIT_BY_PRINCIPAL};
    key->n = 0;
    add_principal_parts(key, req, &by_principal);
}

static bool begin_progress(struct tw_req *req)
{
    const struct tw_heritage *heritage = req->worker->heritage;
    unsigned most = req->config->rate_limits_concurrency;
    struct key key;
    if (most == 0)
        return true;
    make_principal_key(&key, req);
    req->is_in_progress = true;
    if (tw_count_table_add(heritage->in_progress, heritage->worker_index,
                           (struct tw_str){key.bytes, key.n}) <= most)
        return true;
    tw_metric_add(req->page, TW_METRIC_REQUESTS_LIMITED, 1);
    struct tw_verdict verdict = tw_fail(req, TW_TOO_MANY_IN_PROGRESS, NULL);
    return verdict.kind != TW_VERDICT_ANSWERED;
}

void tw_rate_limit_end(struct tw_req *req)
{
    const struct tw_heritage *heritage = req->worker->heritage;
    struct key key;
    if (!req->is_in_progress)
        return;
    make_principal_key(&key, req);
    tw_count_table_remove(heritage->in_progress, heritage->worker_index,
                          (struct tw_str){key.bytes, key.n});
}

bool tw_stage_limit_principal(struct tw_req *req)
{
    const struct route_policies *route = policies_of(req);
    return begin_progress(req) && stage(req, route->n_peer, route->n);
}

// ---- headers ------------------------------------------------------------------------------------

static uint64_t seconds(uint64_t us)
{
    return (us + 999999) / 1000000;
}

// The policy with the least left speaks for all in the headers that know only one.
static void set_legacy_headers(struct tw_req *req)
{
    const struct tw_limit_answer *least = &req->limit_answers[0];
    char text[24];
    for (size_t i = 1; i < req->n_limit_answers; i++)
        if (req->limit_answers[i].result.remaining < least->result.remaining)
            least = &req->limit_answers[i];
    int n = snprintf(text, sizeof(text), "%" PRIu64, least->policy->is->burst);
    tw_reply_header(req, TW_STR("x-ratelimit-limit"), (struct tw_str){text, (size_t)n});
    n = snprintf(text, sizeof(text), "%" PRIu64, least->result.remaining);
    tw_reply_header(req, TW_STR("x-ratelimit-remaining"), (struct tw_str){text, (size_t)n});
    n = snprintf(text, sizeof(text), "%" PRIu64, seconds(least->result.reset_us));
    tw_reply_header(req, TW_STR("x-ratelimit-reset"), (struct tw_str){text, (size_t)n});
}

void tw_rate_limit_headers(struct tw_req *req)
{
    if (req->n_limit_answers == 0)
        return;
    size_t size = req->n_limit_answers * 160, n = 0;
    char *text = tw_req_alloc(req, size);
    for (size_t i = 0; i < req->n_limit_answers; i++) {
        const struct tw_limit_answer *answer = &req->limit_answers[i];
        n += (size_t)snprintf(text + n, size - n, "%s\"%s\";r=%" PRIu64 ";t=%" PRIu64,
                              i > 0 ? ", " : "", answer->policy->is->name, answer->result.remaining,
                              seconds(answer->result.reset_us));
    }
    tw_reply_header(req, TW_STR("ratelimit-policy"), policies_of(req)->header);
    tw_reply_header(req, TW_STR("ratelimit"), (struct tw_str){text, n});
    if (req->config->rate_limits_legacy_headers)
        set_legacy_headers(req);
}

void tw_rate_limit_problem(const struct tw_req *req, struct tw_json *json)
{
    tw_json_key(json, TW_STR("violated-policies"));
    tw_json_array(json);
    for (size_t i = 0; i < req->n_limit_answers; i++)
        if (!req->limit_answers[i].result.allowed)
            tw_json_str(json, tw_str_of(req->limit_answers[i].policy->is->name));
    tw_json_array_end(json);
}
