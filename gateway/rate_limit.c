// SPDX-License-Identifier: Apache-2.0
#include "gateway/rate_limit.h"

#include "gateway/fleet.h"
#include "gateway/reply.h"
#include "gateway/worker.h"

// ---- judging ------------------------------------------------------------------------------------

static enum tw_rate_unmatched kind_of(const struct tw_req *req)
{
    bool reads = tw_str_eq(req->method, TW_STR("GET")) || tw_str_eq(req->method, TW_STR("HEAD")) ||
                 tw_str_eq(req->method, TW_STR("OPTIONS"));
    return req->is_preflight ? TW_RATE_PREFLIGHTS : reads ? TW_RATE_READS : TW_RATE_WRITES;
}

static const struct tw_rate_route *policies_of(const struct tw_req *req)
{
    const struct tw_rate_limits *limits = req->worker->rate_limits;
    return req->route ? &limits->routes[tw_req_route_index(req)]
                      : tw_rate_limits_unmatched(limits, kind_of(req));
}

// RFC 9457 with the member of the draft that names what was violated.
static bool refuse(struct tw_req *req)
{
    uint64_t wait_s = tw_rate_wait_s(req->limit_answers, req->n_limit_answers);
    req->retry_after_s = wait_s < UINT32_MAX ? (unsigned)wait_s : UINT32_MAX;
    tw_metric_add(req->page, TW_METRIC_REQUESTS_LIMITED, 1);
    struct tw_verdict verdict = tw_fail(req, TW_QUOTA_EXCEEDED,
                                        "Wait as Retry-After says, then send it again.");
    return verdict.kind != TW_VERDICT_ANSWERED;
}

static void begin_answers(struct tw_req *req, const struct tw_rate_route *route, size_t from,
                          size_t to)
{
    const struct tw_limit_table *table = req->worker->heritage->limits;
    char key[TW_RATE_KEY_MAX_BYTES];
    if (!req->limit_answers)
        req->limit_answers = tw_req_alloc(req, route->n * sizeof(*req->limit_answers));
    for (size_t i = from; i < to; i++) {
        struct tw_limit_answer *answer = &req->limit_answers[i];
        answer->policy = route->policies[i];
        size_t n = tw_rate_key(answer->policy, route, req->principal, &req->client, key);
        answer->hash = tw_limit_hash(table, answer->policy->id, (struct tw_str){key, n});
    }
    req->n_limit_answers = to;
}

static void tell_fleet(const struct tw_req *req, const struct tw_limit_answer *answer)
{
    const struct tw_rate_policy *policy = answer->policy;
    char key[TW_RATE_KEY_MAX_BYTES];
    size_t n = tw_rate_key(policy, policies_of(req), req->principal, &req->client, key);
    tw_fleet_used(req->worker->fleet, policy->id, answer->hash, (struct tw_str){key, n},
                  &policy->rule, policy->is->cost);
}

// All policies of a request count by the time at which it came.
static bool take(const struct tw_req *req, struct tw_limit_answer *answer)
{
    const struct tw_rate_policy *policy = answer->policy;
    tw_limit_take_hashed(req->worker->heritage->limits, policy->id, answer->hash, &policy->rule,
                         policy->is->cost, req->started_us, &answer->result);
    if (answer->result.allowed && policy->in_fleet)
        tell_fleet(req, answer);
    return answer->result.allowed;
}

static bool peek(const struct tw_req *req, struct tw_limit_answer *answer)
{
    const struct tw_rate_policy *policy = answer->policy;
    tw_limit_peek_hashed(req->worker->heritage->limits, policy->id, answer->hash, &policy->rule,
                         policy->is->cost, req->started_us, &answer->result);
    return answer->result.allowed;
}

// Without room under all, nothing is charged: what one policy refuses does not use up the others.
// The last one is charged at once instead of being looked at first.
static bool judge(const struct tw_req *req, size_t from, size_t last)
{
    bool allowed = true;
    for (size_t i = from; i < last; i++)
        allowed &= peek(req, &req->limit_answers[i]);
    if (!allowed) {
        (void)peek(req, &req->limit_answers[last]);
        return false;
    }
    if (!take(req, &req->limit_answers[last]))
        return false;
    for (size_t i = from; i < last; i++) // another worker may have used it up meanwhile
        allowed &= take(req, &req->limit_answers[i]);
    return allowed;
}

// After a refusal only those that refused are counted: the others have charged nothing.
static void count(const struct tw_req *req, size_t from, size_t to, bool allowed)
{
    for (size_t i = from; i < to; i++) {
        const struct tw_limit_answer *answer = &req->limit_answers[i];
        struct tw_limit_stats *stats = &req->page->limits[answer->policy->id];
        if (allowed)
            tw_cell_add(&stats->allowed, 1);
        else if (!answer->result.allowed)
            tw_cell_add(&stats->refused, 1);
    }
}

// Policies [from, to) of the route.
static bool stage(struct tw_req *req, const struct tw_rate_route *route, size_t from, size_t to)
{
    if (from == to)
        return true;
    begin_answers(req, route, from, to);
    bool allowed = judge(req, from, to - 1);
    count(req, from, to, allowed);
    return allowed || refuse(req);
}

bool tw_stage_limit_peer(struct tw_req *req)
{
    const struct tw_rate_route *route = policies_of(req);
    return stage(req, route, 0, route->n_peer);
}

// ---- requests in progress -----------------------------------------------------------------------

// Who is counted: the principal, else the address.
static struct tw_str in_progress_key(const struct tw_req *req)
{
    const struct tw_principal *principal = req->principal;
    if (principal->subject.n == 0)
        return tw_address_key(&req->client);
    return (struct tw_str){(const char *)principal->tag, sizeof(principal->tag)};
}

static bool refuse_in_progress(struct tw_req *req)
{
    tw_rate_limit_end(req); // a refused one is over, however slowly its client reads
    tw_metric_add(req->page, TW_METRIC_REQUESTS_LIMITED, 1);
    struct tw_verdict verdict = tw_fail(req, TW_TOO_MANY_IN_PROGRESS, NULL);
    return verdict.kind != TW_VERDICT_ANSWERED;
}

static bool begin_progress(struct tw_req *req)
{
    const struct tw_heritage *heritage = req->worker->heritage;
    unsigned most = req->config->rate_limits_concurrency;
    if (most == 0)
        return true;
    req->is_in_progress = true;
    return tw_count_table_add(heritage->in_progress, heritage->row, in_progress_key(req)) <= most ||
           refuse_in_progress(req);
}

void tw_rate_limit_end(struct tw_req *req)
{
    const struct tw_heritage *heritage = req->worker->heritage;
    if (!req->is_in_progress)
        return;
    req->is_in_progress = false;
    tw_count_table_remove(heritage->in_progress, heritage->row, in_progress_key(req));
}

bool tw_stage_limit_principal(struct tw_req *req)
{
    const struct tw_rate_route *route = policies_of(req);
    return begin_progress(req) && stage(req, route, route->n_peer, route->n);
}

// ---- headers ------------------------------------------------------------------------------------

// Both must live as long as the answer.
static void add_line(struct tw_req *req, h2o_iovec_t *name, struct tw_str value)
{
    h2o_headers_t *headers = &req->h2o->res.headers;
    h2o_vector_reserve(&req->h2o->pool, headers, headers->size + 1);
    headers->entries[headers->size++] = (h2o_header_t){name, NULL,
                                                       h2o_iovec_init(value.p, value.n)};
}

static void set_number(struct tw_req *req, struct tw_str name, uint64_t value)
{
    char text[20], *end = text + sizeof(text), *begin = tw_rate_number(value, end);
    tw_reply_header(req, name, (struct tw_str){begin, (size_t)(end - begin)});
}

// The policy with the least left speaks for all in the headers that know only one.
static void set_legacy_headers(struct tw_req *req)
{
    const struct tw_limit_answer *least = &req->limit_answers[0];
    for (size_t i = 1; i < req->n_limit_answers; i++)
        if (req->limit_answers[i].result.remaining < least->result.remaining)
            least = &req->limit_answers[i];
    set_number(req, TW_STR("x-ratelimit-limit"), least->policy->is->burst);
    set_number(req, TW_STR("x-ratelimit-remaining"), least->result.remaining);
    set_number(req, TW_STR("x-ratelimit-reset"), (least->result.reset_us + 999999) / 1000000);
}

void tw_rate_limit_headers(struct tw_req *req)
{
    static char policy_text[] = "ratelimit-policy", left_text[] = "ratelimit";
    static h2o_iovec_t policy_name = {policy_text, sizeof(policy_text) - 1};
    static h2o_iovec_t left_name = {left_text, sizeof(left_text) - 1};
    if (req->n_limit_answers == 0)
        return;
    const struct tw_rate_route *route = policies_of(req);
    char *text = tw_req_alloc(req, route->left_max_bytes);
    add_line(req, &policy_name, route->line);
    add_line(req, &left_name,
             tw_rate_left(req->limit_answers, req->n_limit_answers, text, route->left_max_bytes));
    if (req->config->rate_limits_legacy_headers)
        set_legacy_headers(req);
}

void tw_rate_limit_problem(const struct tw_req *req, struct tw_json *json)
{
    tw_json_key(json, TW_STR("violated-policies"));
    tw_json_array(json);
    for (size_t i = 0; i < req->n_limit_answers; i++)
        if (!req->limit_answers[i].result.allowed)
            tw_json_str(json, req->limit_answers[i].policy->name);
    tw_json_array_end(json);
}
