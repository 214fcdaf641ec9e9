// SPDX-License-Identifier: Apache-2.0
#include "gateway/jwks_fetch.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>

#include "gateway/discovery.h"
#include "gateway/http_get.h"
#include "gateway/key_set.h"
#include "gateway/log.h"

#define BACKOFF_FIRST_MS   500u
#define BACKOFF_LONGEST_MS 30000u
#define DNS_REST_US        1000000u

// One issuer whose keys are fetched.
struct source {
    struct tw_jwks_fetch *owner;
    const struct tw_issuer *issuer;
    struct tw_jwks_stats *stats; // stats->issuer is its index
    struct event *timer;         // pending: the next fetch
    uint64_t due_us;             // when that will be
    bool due_for_kid;            // an unknown key id asked for it

    struct tw_http_get *get; // in flight, or NULL
    const char *asked_uri;   // the one in flight, or the last
    uint64_t deadline_us;    // of the whole fetch, discovery included

    char *found_uri;       // where discovery says the keys are; NULL: not known
    bool found_fails;      // no keys came from there
    uint64_t discovery_us; // when to ask again whether it is still true

    uint64_t backoff_ms;       // 0: the last fetch went well
    uint64_t last_kid_us;      // start of the last fetch that a key id caused; 0: none
    struct event *stale_timer; // pending: keys in use are withdrawn
    uint64_t stale_us;         // when that will be; 0: workers have no keys
};

struct tw_jwks_fetch {
    struct event_base *base;
    const struct tw_config *config;
    struct tw_shared *shared;
    struct source *sources;
    struct tw_jwks_stats *stats;
    size_t n;
    struct evdns_base *dns; // made when it is needed
    uint64_t dns_idle_us;   // since when nothing is in flight
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t random_below(uint64_t n)
{
    uint64_t value;
    evutil_secure_rng_get_bytes(&value, sizeof(value));
    return n ? value % n : 0;
}

static void set_timer(struct event *timer, uint64_t wait_us)
{
    struct timeval delay = {.tv_sec = (time_t)(wait_us / 1000000),
                            .tv_usec = (suseconds_t)(wait_us % 1000000)};
    if (evtimer_add(timer, &delay) != 0)
        tw_log(TW_LEVEL_ERROR, "keys_fetch_failed", "cannot plan the next fetch");
}

// ---- when ---------------------------------------------------------------------------------------

// Keys in use get a last try before they are withdrawn, however long the pause is otherwise.
static uint64_t before_stale(const struct source *source, uint64_t now_us, uint64_t due_us)
{
    const struct tw_config *config = source->owner->config;
    uint64_t margin_ms = min_u64(config->auth_jwks_timeout_ms, config->auth_jwks_max_stale_ms / 10);
    uint64_t last_us = source->stale_us - margin_ms * 1000;
    return source->stale_us != 0 && now_us < last_us ? min_u64(due_us, last_us) : due_us;
}

// Plans the next fetch for that moment, instead of the one that was planned.
static void plan(struct source *source, uint64_t due_us, bool for_kid)
{
    uint64_t now_us = tw_now_us();
    due_us = before_stale(source, now_us, due_us);
    source->due_us = due_us > now_us ? due_us : now_us;
    source->due_for_kid = for_kid;
    set_timer(source->timer, source->due_us - now_us);
}

// Up to 10 % off, so that a fleet does not ask at the same moment, but within the two bounds.
static void plan_refresh(struct source *source, uint64_t fresh_s)
{
    const struct tw_config *config = source->owner->config;
    uint64_t longest_ms = config->auth_jwks_refresh_ms, now_us = tw_now_us();
    if (source->issuer->discovery_uri) // unknown key ids must not put off the question for ever
        longest_ms = min_u64(
            longest_ms, source->discovery_us > now_us ? (source->discovery_us - now_us) / 1000 : 0);
    uint64_t ms = fresh_s < longest_ms / 1000 ? fresh_s * 1000 : longest_ms;
    uint64_t low_ms = ms - ms / 10, high_ms = min_u64(ms + ms / 10, longest_ms);
    if (low_ms < config->auth_jwks_min_refetch_ms) {
        low_ms = config->auth_jwks_min_refetch_ms;
        high_ms = min_u64(low_ms + low_ms / 10, config->auth_jwks_refresh_ms);
    }
    ms = low_ms + random_below(high_ms - low_ms + 1);
    plan(source, now_us + ms * 1000, false);
}

static uint64_t plan_retry(struct source *source)
{
    uint64_t next = source->backoff_ms ? source->backoff_ms * 2 : BACKOFF_FIRST_MS;
    source->backoff_ms = min_u64(next, BACKOFF_LONGEST_MS);
    uint64_t ms = source->backoff_ms / 2 + random_below(source->backoff_ms / 2 + 1);
    plan(source, tw_now_us() + ms * 1000, false);
    return (source->due_us - tw_now_us()) / 1000;
}

// ---- ageing -------------------------------------------------------------------------------------

static void on_stale(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct source *source = arg;
    const struct tw_jwks_fetch *fetch = source->owner;
    source->stale_us = 0;
    if (!tw_shared_document_publish(fetch->shared, source->stats->issuer, TW_STR("")))
        return; // never: it is not too long
    tw_log(TW_LEVEL_ERROR, "keys_withdrawn",
           "no good fetch of the keys of %s for %" PRIu64 " s: its tokens are answered 503",
           source->issuer->issuer, fetch->config->auth_jwks_max_stale_ms / 1000);
}

static void stay_fresh(struct source *source)
{
    uint64_t max_stale_us = source->owner->config->auth_jwks_max_stale_ms * 1000;
    source->stats->last_ok_us = tw_now_us();
    source->stale_us = source->stats->last_ok_us + max_stale_us;
    set_timer(source->stale_timer, max_stale_us);
}

// ---- one fetch ----------------------------------------------------------------------------------

static bool any_in_flight(const struct tw_jwks_fetch *fetch)
{
    for (size_t i = 0; i < fetch->n; i++)
        if (fetch->sources[i].get)
            return true;
    return false;
}

// The resolver reads resolv.conf only when it is made, so it is made anew for a fetch after a rest;
// requests that just ended may still be known to the old one.
static struct evdns_base *resolver(struct tw_jwks_fetch *fetch)
{
    if (fetch->dns && !any_in_flight(fetch) && tw_now_us() - fetch->dns_idle_us > DNS_REST_US) {
        evdns_base_free(fetch->dns, 0);
        fetch->dns = NULL;
    }
    if (!fetch->dns)
        fetch->dns = evdns_base_new(fetch->base, EVDNS_BASE_INITIALIZE_NAMESERVERS);
    return fetch->dns;
}

static void fetch_failed(struct source *source, const char *why)
{
    source->stats->fetches_failed++;
    uint64_t ms = plan_retry(source);
    tw_log(TW_LEVEL_WARN, "keys_fetch_failed", "%s: %s; next try in %" PRIu64 " ms",
           source->asked_uri, why, ms);
}

static void get(struct source *source, const char *uri, tw_http_get_done *done)
{
    struct tw_jwks_fetch *fetch = source->owner;
    uint64_t now_us = tw_now_us();
    struct tw_http_get_request request = {
        .uri = uri,
        .ca_file = fetch->config->auth_jwks_ca_file,
        .timeout_ms = source->deadline_us > now_us ? (source->deadline_us - now_us) / 1000 : 0,
        .max_bytes = TW_KEYS_MAX_BYTES,
    };
    source->asked_uri = uri;
    source->get = tw_http_get_start(fetch->base, resolver(fetch), &request, done, source);
    if (!source->get)
        fetch_failed(source, "out of memory");
}

static void on_keys(void *arg, const struct tw_http_get_answer *answer)
{
    struct source *source = arg;
    struct tw_jwks_fetch *fetch = source->owner;
    char why[256];
    source->get = NULL;
    fetch->dns_idle_us = tw_now_us();
    source->found_fails = answer->error ||
                          !tw_key_set_publish(fetch->shared, fetch->config, source->stats->issuer,
                                              answer->body, why, sizeof(why));
    if (source->found_fails) {
        fetch_failed(source, answer->error ? answer->error : why);
        return;
    }
    source->stats->fetches_ok++;
    source->backoff_ms = 0;
    stay_fresh(source);
    plan_refresh(source, answer->fresh_s);
}

static void take_found_uri(struct source *source, char *uri)
{
    if (!source->found_uri || strcmp(uri, source->found_uri) != 0)
        tw_log(TW_LEVEL_INFO, "keys_discovered", "the keys of %s are at %s", source->issuer->issuer,
               uri);
    free(source->found_uri);
    source->found_uri = uri;
    source->discovery_us = tw_now_us() + source->owner->config->auth_jwks_refresh_ms * 1000;
}

static void on_discovery(void *arg, const struct tw_http_get_answer *answer)
{
    struct source *source = arg;
    char why[256];
    char *uri = NULL;
    source->get = NULL;
    source->owner->dns_idle_us = tw_now_us();
    if (!answer->error)
        uri = tw_discovery_jwks_uri(answer->body, source->issuer->issuer, why, sizeof(why));
    if (!uri) {
        fetch_failed(source, answer->error ? answer->error : why);
        return;
    }
    take_found_uri(source, uri);
    get(source, uri, on_keys);
}

// A key id is answered fastest where the keys were the last time, unless that was too long ago: a
// flood of unknown key ids must not put the question off for ever. With the discovery document
// failing they take turns.
static bool needs_discovery(const struct source *source, bool for_kid, uint64_t now_us)
{
    if (!source->issuer->discovery_uri)
        return false;
    bool known = source->found_uri && !source->found_fails;
    return !for_kid || !known || (now_us >= source->discovery_us && source->backoff_ms == 0);
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct source *source = arg;
    const struct tw_issuer *issuer = source->issuer;
    uint64_t now_us = tw_now_us();
    bool for_kid = source->due_for_kid;
    source->due_for_kid = false;
    if (for_kid)
        source->last_kid_us = now_us;
    source->deadline_us = now_us + source->owner->config->auth_jwks_timeout_ms * 1000;
    if (needs_discovery(source, for_kid, now_us))
        get(source, issuer->discovery_uri, on_discovery);
    else
        get(source, issuer->jwks_uri ? issuer->jwks_uri : source->found_uri, on_keys);
}

// ---- all of them --------------------------------------------------------------------------------

static struct source *source_of(struct tw_jwks_fetch *fetch, size_t issuer)
{
    for (size_t i = 0; i < fetch->n; i++)
        if (fetch->sources[i].stats->issuer == issuer)
            return &fetch->sources[i];
    return NULL; // a file
}

void tw_jwks_fetch_unknown_kid(struct tw_jwks_fetch *fetch, size_t issuer)
{
    struct source *source = source_of(fetch, issuer);
    if (!source || source->get || source->due_for_kid)
        return; // single flight: the answer that is on its way is for all
    uint64_t due = tw_now_us();
    uint64_t window_us = fetch->config->auth_jwks_min_refetch_ms * 1000;
    if (source->last_kid_us != 0 && due - source->last_kid_us < window_us)
        due = source->last_kid_us + window_us;
    if (due < source->due_us)
        plan(source, due, true);
}

// Its first fetch is due at once. False without memory.
static bool add_source(struct tw_jwks_fetch *fetch, size_t issuer)
{
    struct source *source = &fetch->sources[fetch->n];
    *source = (struct source){
        .owner = fetch,
        .issuer = &fetch->config->issuers[issuer],
        .stats = &fetch->stats[fetch->n],
    };
    source->stats->issuer = issuer;
    fetch->n++;
    source->timer = evtimer_new(fetch->base, on_due, source);
    source->stale_timer = evtimer_new(fetch->base, on_stale, source);
    if (!source->timer || !source->stale_timer)
        return false;
    plan(source, tw_now_us(), false);
    return true;
}

static bool add_sources(struct tw_jwks_fetch *fetch)
{
    const struct tw_config *config = fetch->config;
    fetch->sources = calloc(config->n_issuers, sizeof(fetch->sources[0]));
    fetch->stats = calloc(config->n_issuers, sizeof(fetch->stats[0]));
    if (!fetch->sources || !fetch->stats)
        return false;
    for (size_t i = 0; i < config->n_issuers; i++)
        if (!config->issuers[i].jwks_file && !add_source(fetch, i))
            return false;
    return true;
}

struct tw_jwks_fetch *tw_jwks_fetch_start(struct event_base *base, const struct tw_config *config,
                                          struct tw_shared *shared, char *err, size_t err_size)
{
    if (!tw_http_get_check_ca(config->auth_jwks_ca_file, err, err_size))
        return NULL;
    struct tw_jwks_fetch *fetch = calloc(1, sizeof(*fetch));
    if (fetch) {
        fetch->base = base;
        fetch->config = config;
        fetch->shared = shared;
        if (add_sources(fetch))
            return fetch;
    }
    snprintf(err, err_size, "cannot fetch keys: out of memory");
    tw_jwks_fetch_free(fetch);
    return NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_place(const struct tw_issuer *a, const struct tw_issuer *b)
{
    return strcmp(a->issuer, b->issuer) == 0 && same_text(a->jwks_uri, b->jwks_uri) &&
           same_text(a->discovery_uri, b->discovery_uri);
}

static void follow(struct source *source, const struct source *before,
                   const struct tw_shared *before_shared)
{
    struct tw_jwks_fetch *fetch = source->owner;
    struct tw_str keys = tw_shared_document_now(before_shared, before->stats->issuer);
    uint64_t now_us = tw_now_us();
    char why[256];
    source->stats->fetches_ok = before->stats->fetches_ok;
    source->stats->fetches_failed = before->stats->fetches_failed;
    source->last_kid_us = before->last_kid_us;
    if (before->stale_us == 0 || !tw_key_set_publish(fetch->shared, fetch->config,
                                                     source->stats->issuer, keys, why, sizeof(why)))
        return; // its first fetch is due now
    uint64_t stale_us = before->stats->last_ok_us + fetch->config->auth_jwks_max_stale_ms * 1000;
    source->stats->last_ok_us = before->stats->last_ok_us;
    source->stale_us = stale_us > now_us ? stale_us : now_us;
    set_timer(source->stale_timer, source->stale_us - now_us);
    source->backoff_ms = before->backoff_ms;
    source->discovery_us = before->discovery_us;
    source->found_fails = before->found_fails;
    source->found_uri = before->found_uri ? strdup(before->found_uri) : NULL;
    if (!before->get) // what is in flight there is asked for again
        plan(source, min_u64(before->due_us, now_us + fetch->config->auth_jwks_refresh_ms * 1000),
             false);
}

void tw_jwks_fetch_follow(struct tw_jwks_fetch *fetch, const struct tw_jwks_fetch *before,
                          const struct tw_shared *before_shared)
{
    for (size_t i = 0; i < fetch->n; i++)
        for (size_t j = 0; j < before->n; j++)
            if (same_place(fetch->sources[i].issuer, before->sources[j].issuer)) {
                follow(&fetch->sources[i], &before->sources[j], before_shared);
                break;
            }
}

const struct tw_jwks_stats *tw_jwks_fetch_stats(const struct tw_jwks_fetch *fetch, size_t *n)
{
    *n = fetch->n;
    return fetch->stats;
}

static void end_source(struct source *source)
{
    tw_http_get_cancel(source->get);
    if (source->timer)
        event_free(source->timer);
    if (source->stale_timer)
        event_free(source->stale_timer);
    free(source->found_uri);
}

void tw_jwks_fetch_free(struct tw_jwks_fetch *fetch)
{
    if (!fetch)
        return;
    bool settle = fetch->dns || any_in_flight(fetch);
    for (size_t i = 0; i < fetch->n; i++)
        end_source(&fetch->sources[i]);
    fetch->n = 0; // nobody may find a source in the turn that follows
    if (settle)
        (void)event_base_loop(fetch->base, EVLOOP_NONBLOCK);
    if (fetch->dns)
        evdns_base_free(fetch->dns, 0);
    free(fetch->sources);
    free(fetch->stats);
    free(fetch);
}
