// SPDX-License-Identifier: Apache-2.0
#include "gateway/rate_policies.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/siphash.h"
#include "gateway/fleet.h"

#define NEEDS_PRINCIPAL   (TW_LIMIT_BY_PRINCIPAL | TW_LIMIT_BY_CLIENT | TW_LIMIT_BY_CLAIM)
#define NUMBER_MAX_DIGITS 20

// Parts of a key, in the order in which they follow its first word; the last one is a mark in it.
enum {
    BY_PRINCIPAL = 1,
    BY_CLIENT = 2,
    BY_CLAIM = 4,
    BY_ADDRESS = 8,
    BY_ROUTE = 16,
    IS_PREFLIGHT = 32
};

// ---- made once ----------------------------------------------------------------------------------

// Fixed, so that a key is the same in every process and on every machine. Names and routes are the
// operator's: nobody else can look for two that meet.
static uint64_t tag_of(const char *first, const char *second)
{
    static const unsigned char key[TW_SIPHASH_KEY_BYTES] = "limits by name";
    return tw_siphash(key, tw_str_of(first)) + 31 * tw_siphash(key, tw_str_of(second));
}

static bool make_policy(const struct tw_limit_policy *is, struct tw_limit_table *table,
                        struct tw_rate_policy *out)
{
    struct tw_str name = tw_str_of(is->name);
    size_t size = name.n + sizeof(", \"\";r=");
    char *text = calloc(1, size);
    if (!text)
        return false;
    snprintf(text, size, ", \"%s\";r=", is->name);
    *out = (struct tw_rate_policy){.is = is, .name = name, .quoted = tw_str_of(text)};
    out->tag = tag_of(is->name, "");
    out->id = table ? tw_limit_policy_id(table, name) : TW_LIMIT_POLICIES_FIXED;
    unsigned __int128 window_us = (unsigned __int128)is->burst * is->period_us;
    unsigned __int128 divisor = (unsigned __int128)is->rate * 1000000;
    out->window_s = (uint64_t)((window_us + divisor - 1) / divisor);
    return tw_limit_rule_make(is->rate, is->period_us, is->burst, &out->rule);
}

static void join_fleet(const struct tw_config *config, struct tw_rate_policy *policy)
{
    policy->in_fleet = config->fleet_redis[0] && policy->is->fleet;
    if (policy->in_fleet)
        tw_limit_rule_overdraw(&policy->rule, TW_FLEET_OVERDRAFT_BURSTS);
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

static bool needs_principal(const struct tw_rate_policy *policy)
{
    return policy->is->key & NEEDS_PRINCIPAL;
}

// Those that need no principal (`peer`), or the others, behind what the route has already.
static void add_policies(const struct tw_rate_limits *limits, const struct tw_route *route,
                         bool peer, struct tw_rate_route *out)
{
    for (size_t i = 0; i < limits->n; i++) {
        const struct tw_rate_policy *policy = &limits->policies[i];
        if (holds_for(policy->is, route) && needs_principal(policy) != peer)
            out->policies[out->n++] = policy;
    }
}

static void add_unmatched(const struct tw_rate_limits *limits, enum tw_rate_unmatched what,
                          struct tw_rate_route *out)
{
    unsigned kind = what == TW_RATE_WRITES ? TW_LIMIT_WRITES : TW_LIMIT_READS;
    out->mark = what == TW_RATE_PREFLIGHTS ? IS_PREFLIGHT : 0;
    for (size_t i = 0; i < limits->n; i++) {
        const struct tw_limit_policy *is = limits->policies[i].is;
        if (is->key == TW_LIMIT_BY_ADDRESS && is->routes.n == 0 && (is->methods & kind))
            out->policies[out->n++] = &limits->policies[i];
    }
    out->n_peer = out->n;
}

// What never changes of the headers.
static bool write_texts(struct tw_rate_route *route)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return false;
    for (size_t i = 0; i < route->n; i++) {
        const struct tw_rate_policy *policy = route->policies[i];
        (void)fprintf(out, "%s\"%s\";q=%" PRIu64 ";w=%" PRIu64, i > 0 ? ", " : "", policy->is->name,
                      policy->is->burst, policy->window_s);
        route->left_max_bytes += policy->quoted.n + strlen(";t=") + 2 * NUMBER_MAX_DIGITS;
    }
    bool done = fclose(out) == 0;
    route->line = (struct tw_str){text, size};
    return done && text;
}

static bool make_route(const struct tw_rate_limits *limits, const struct tw_route_table *table,
                       size_t i, struct tw_rate_route *out)
{
    out->policies = calloc(limits->n + 1, sizeof(const struct tw_rate_policy *));
    if (!out->policies)
        return false;
    if (i >= table->n) {
        add_unmatched(limits, (enum tw_rate_unmatched)(i - table->n), out);
        return write_texts(out);
    }
    const struct tw_route *route = &table->rows[i];
    out->tag = tag_of(tw_method_name(route->method), route->pattern);
    add_policies(limits, route, true, out);
    out->n_peer = out->n;
    add_policies(limits, route, false, out);
    return write_texts(out);
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

static bool make_all(struct tw_rate_limits *limits, const struct tw_route_table *routes,
                     const struct tw_config *config, struct tw_limit_table *table, char *err,
                     size_t err_size)
{
    size_t n_routes = routes->n + TW_RATE_UNMATCHED_KINDS;
    snprintf(err, err_size, "out of memory");
    limits->policies = calloc(config->n_limits + 1, sizeof(limits->policies[0]));
    limits->routes = calloc(n_routes, sizeof(limits->routes[0]));
    if (!limits->policies || !limits->routes)
        return false;
    while (limits->n < config->n_limits) {
        const struct tw_limit_policy *is = &config->limits[limits->n];
        struct tw_rate_policy *policy = &limits->policies[limits->n++];
        if (make_policy(is, table, policy)) {
            join_fleet(config, policy);
            continue;
        }
        if (policy->quoted.p)
            snprintf(err, err_size, "limits: policy \"%s\": the burst takes years to come back",
                     is->name);
        return false;
    }
    while (limits->n_routes < n_routes) {
        size_t i = limits->n_routes++; // one that fails is freed as well
        if (!make_route(limits, routes, i, &limits->routes[i]))
            return false;
    }
    return routes_exist(routes, config, err, err_size);
}

struct tw_rate_limits *tw_rate_limits_new(const struct tw_route_table *routes,
                                          const struct tw_config *config,
                                          struct tw_limit_table *table, char *err, size_t err_size)
{
    struct tw_rate_limits *limits = calloc(1, sizeof(*limits));
    if (limits && make_all(limits, routes, config, table, err, err_size))
        return limits;
    tw_rate_limits_free(limits);
    return NULL;
}

static void free_text(struct tw_str text)
{
    free((char *)(uintptr_t)text.p);
}

void tw_rate_limits_free(struct tw_rate_limits *limits)
{
    if (!limits)
        return;
    for (size_t i = 0; limits->routes && i < limits->n_routes; i++) {
        free(limits->routes[i].policies);
        free_text(limits->routes[i].line);
    }
    for (size_t i = 0; limits->policies && i < limits->n; i++)
        free_text(limits->policies[i].quoted);
    free(limits->policies);
    free(limits->routes);
    free(limits);
}

const struct tw_rate_route *tw_rate_limits_unmatched(const struct tw_rate_limits *limits,
                                                     enum tw_rate_unmatched kind)
{
    return &limits->routes[limits->n_routes - TW_RATE_UNMATCHED_KINDS + kind];
}

// ---- keys ---------------------------------------------------------------------------------------

static unsigned parts_of(const struct tw_limit_policy *policy, const struct tw_principal *principal)
{
    unsigned parts = policy->key & TW_LIMIT_BY_ADDRESS ? BY_ADDRESS : 0;
    if (policy->key & TW_LIMIT_BY_ROUTE)
        parts |= BY_ROUTE;
    if (!(policy->key & NEEDS_PRINCIPAL))
        return parts;
    if (!principal || principal->subject.n == 0)
        return parts | BY_ADDRESS;
    if (policy->key & TW_LIMIT_BY_PRINCIPAL)
        parts |= BY_PRINCIPAL;
    if (policy->key & TW_LIMIT_BY_CLIENT)
        parts |= principal->client_id.n > 0 ? BY_CLIENT : BY_PRINCIPAL;
    if (policy->key & TW_LIMIT_BY_CLAIM)
        parts |= principal->extra[policy->claim].n > 0 ? BY_CLAIM : BY_PRINCIPAL;
    return parts;
}

static char *put(char *at, const void *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

// With its length, so that what follows cannot be taken for a part of it.
static char *put_text(char *at, struct tw_str text)
{
    uint16_t n = (uint16_t)(text.n < TW_CLAIM_TEXT_MAX_BYTES ? text.n : TW_CLAIM_TEXT_MAX_BYTES);
    return put(put(at, &n, sizeof(n)), text.p, n);
}

size_t tw_rate_key(const struct tw_rate_policy *policy, const struct tw_rate_route *route,
                   const struct tw_principal *principal, const struct tw_address *client,
                   char out[TW_RATE_KEY_MAX_BYTES])
{
    unsigned parts = parts_of(policy->is, principal);
    uint64_t first = policy->tag << 8 | parts | route->mark;
    char *at = put(out, &first, sizeof(first));
    if (parts & BY_PRINCIPAL)
        at = put(at, principal->tag, sizeof(principal->tag));
    if (parts & (BY_CLIENT | BY_CLAIM))
        at = put(at, principal->issuer_tag, sizeof(principal->issuer_tag));
    if (parts & BY_CLIENT)
        at = put_text(at, principal->client_id);
    if (parts & BY_CLAIM)
        at = put_text(at, principal->extra[policy->is->claim]);
    if (parts & BY_ADDRESS)
        at = put_text(at, tw_address_key(client));
    if (parts & BY_ROUTE)
        at = put(at, &route->tag, sizeof(route->tag));
    return (size_t)(at - out);
}

// ---- texts --------------------------------------------------------------------------------------

char *tw_rate_number(uint64_t value, char *end)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    for (; value >= 100; value /= 100)
        memcpy(end -= 2, pairs + 2 * (value % 100), 2);
    if (value >= 10)
        return memcpy(end - 2, pairs + 2 * value, 2);
    *--end = (char)('0' + value);
    return end;
}

static uint64_t seconds(uint64_t us)
{
    return us / 1000000 + (us % 1000000 > 0);
}

static uint64_t wait_s(const struct tw_limit_result *result)
{
    bool ever = result->retry_after_us != TW_LIMIT_NEVER;
    return seconds(ever ? result->retry_after_us : result->reset_us);
}

uint64_t tw_rate_wait_s(const struct tw_limit_answer *answers, size_t n)
{
    uint64_t longest = 0;
    for (size_t i = 0; i < n; i++)
        if (!answers[i].result.allowed && wait_s(&answers[i].result) > longest)
            longest = wait_s(&answers[i].result);
    return longest;
}

// `t` of a policy with room is the time until all of its burst is there again, so that r / t is a
// pace that it bears (§8.5). Of one that refuses it is what Retry-After says (§6: not earlier than
// the end of the effective window).
static char *put_answer(const struct tw_limit_answer *answer, char *end)
{
    const struct tw_limit_result *result = &answer->result;
    struct tw_str name = answer->policy->quoted;
    end = tw_rate_number(result->allowed ? seconds(result->reset_us) : wait_s(result), end);
    end = memcpy(end - 3, ";t=", 3);
    end = tw_rate_number(result->remaining, end);
    return memcpy(end - name.n, name.p, name.n);
}

// From its end to its beginning, as numbers come out of a division.
struct tw_str tw_rate_left(const struct tw_limit_answer *answers, size_t n, char *out, size_t size)
{
    char *at = out + size;
    for (size_t i = n; i > 0; i--)
        at = put_answer(&answers[i - 1], at);
    size_t comma = n > 0 ? 2 : 0; // of the first one
    return (struct tw_str){at + comma, (size_t)(out + size - at) - comma};
}
