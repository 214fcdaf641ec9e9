// SPDX-License-Identifier: Apache-2.0
#include "gateway/jwks_fetch.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "gateway/http_get.h"
#include "gateway/log.h"

#define BACKOFF_FIRST_MS   500u
#define BACKOFF_LONGEST_MS 30000u
#define STALE_LOG_US       3600000000u // one line an hour
#define DNS_REST_US        1000000u

// One issuer with a URI.
struct source {
    struct tw_jwks_fetch *owner;
    const struct tw_issuer *issuer;
    struct tw_jwks_stats *stats; // stats->issuer is its index
    struct event *timer;         // pending: the next fetch
    uint64_t due_us;             // when that will be
    bool due_for_kid;            // an unknown key id asked for it
    struct tw_http_get *get;     // in flight, or NULL
    char *text;                  // of the set that was published last; NULL: none yet
    size_t text_n;
    uint64_t backoff_ms;      // 0: the last fetch went well
    uint64_t last_kid_us;     // start of the last fetch that a key id caused; 0: none
    uint64_t fresh_us;        // of the last good fetch, or of the start
    uint64_t stale_logged_us; // 0: not stale
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

static uint64_t random_below(uint64_t n)
{
    uint64_t value;
    evutil_secure_rng_get_bytes(&value, sizeof(value));
    return n ? value % n : 0;
}

// Plans the next fetch for that moment, instead of the one that was planned.
static void plan(struct source *source, uint64_t due_us, bool for_kid)
{
    uint64_t now = tw_now_us();
    uint64_t wait_us = due_us > now ? due_us - now : 0;
    struct timeval delay = {.tv_sec = (time_t)(wait_us / 1000000),
                            .tv_usec = (suseconds_t)(wait_us % 1000000)};
    source->due_us = now + wait_us;
    source->due_for_kid = for_kid;
    if (evtimer_add(source->timer, &delay) != 0)
        tw_log(TW_LEVEL_ERROR, "keys_fetch_failed", "cannot plan the next fetch");
}

static void plan_in_ms(struct source *source, uint64_t ms)
{
    plan(source, tw_now_us() + ms * 1000, false);
}

// ±10 %, so that a fleet does not ask at the same moment.
static void plan_refresh(struct source *source, uint64_t max_age_s)
{
    const struct tw_config *config = source->owner->config;
    uint64_t ms = config->auth_jwks_refresh_ms;
    if (max_age_s < ms / 1000)
        ms = max_age_s * 1000;
    if (ms < config->auth_jwks_min_refetch_ms)
        ms = config->auth_jwks_min_refetch_ms;
    plan_in_ms(source, ms - ms / 10 + random_below(ms / 5 + 1));
}

static uint64_t plan_retry(struct source *source)
{
    uint64_t next = source->backoff_ms ? source->backoff_ms * 2 : BACKOFF_FIRST_MS;
    source->backoff_ms = next < BACKOFF_LONGEST_MS ? next : BACKOFF_LONGEST_MS;
    uint64_t ms = source->backoff_ms / 2 + random_below(source->backoff_ms / 2 + 1);
    plan_in_ms(source, ms);
    return ms;
}

// Whether workers would take this document; else *why.
static bool is_key_set(struct tw_str document, const char **why)
{
    struct tw_jwks_report report;
    struct tw_jwks *set = tw_jwks_parse(document, &report);
    *why = report.reason ? report.reason : report.key_reason;
    tw_jwks_free(set);
    return set != NULL;
}

// Publishes unless this is what workers have already. False with *why when it must not be.
static bool publish(struct source *source, struct tw_str document, const char **why)
{
    if (source->text && tw_str_eq(document, (struct tw_str){source->text, source->text_n}))
        return true;
    if (!is_key_set(document, why))
        return false;
    char *copy = malloc(document.n);
    *why = "it is too large";
    if (!copy || !tw_shared_keys_publish(source->owner->shared, source->stats->issuer, document)) {
        free(copy);
        return false;
    }
    memcpy(copy, document.p, document.n);
    free(source->text);
    source->text = copy;
    source->text_n = document.n;
    tw_log(TW_LEVEL_INFO, "keys_published", "new key set of %s: %zu bytes", source->issuer->issuer,
           document.n);
    return true;
}

static void log_stale(struct source *source)
{
    uint64_t now = tw_now_us(), age_us = now - source->fresh_us;
    if (age_us / 1000 < source->owner->config->auth_jwks_max_stale_ms ||
        (source->stale_logged_us != 0 && now - source->stale_logged_us < STALE_LOG_US))
        return;
    source->stale_logged_us = now;
    tw_log(TW_LEVEL_ERROR, "keys_stale", "no good fetch of the keys of %s for %" PRIu64 " s%s",
           source->issuer->issuer, age_us / 1000000, source->text ? "; the old ones serve on" : "");
}

static void fetch_failed(struct source *source, const char *why)
{
    source->stats->fetches_failed++;
    uint64_t ms = plan_retry(source);
    tw_log(TW_LEVEL_WARN, "keys_fetch_failed", "%s: %s; next try in %" PRIu64 " ms",
           source->issuer->jwks_uri, why, ms);
    log_stale(source);
}

static void on_answer(void *arg, const struct tw_http_get_answer *answer)
{
    struct source *source = arg;
    const char *why = answer->error;
    source->get = NULL;
    source->owner->dns_idle_us = tw_now_us();
    if (why || !publish(source, answer->body, &why)) {
        fetch_failed(source, why);
        return;
    }
    source->stats->fetches_ok++;
    source->stats->last_ok_us = source->fresh_us = tw_now_us();
    source->stale_logged_us = 0;
    source->backoff_ms = 0;
    plan_refresh(source, answer->max_age_s);
}

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

static void on_due(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct source *source = arg;
    struct tw_jwks_fetch *fetch = source->owner;
    if (source->due_for_kid)
        source->last_kid_us = tw_now_us();
    source->due_for_kid = false;
    struct tw_http_get_request request = {
        .uri = source->issuer->jwks_uri,
        .ca_file = fetch->config->auth_jwks_ca_file,
        .timeout_ms = fetch->config->auth_jwks_timeout_ms,
        .max_bytes = TW_KEYS_MAX_BYTES,
    };
    struct evdns_base *dns = resolver(fetch);
    source->get = tw_http_get_start(fetch->base, dns, &request, on_answer, source);
    if (!source->get)
        fetch_failed(source, "out of memory");
}

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

// Reads a whole file of at most TW_KEYS_MAX_BYTES; false with *why.
static bool read_file(const char *path, char *buffer, size_t *n, const char **why)
{
    FILE *file = fopen(path, "re");
    *why = NULL;
    if (!file) {
        *why = strerror(errno);
        return false;
    }
    *n = fread(buffer, 1, TW_KEYS_MAX_BYTES, file);
    if (ferror(file))
        *why = strerror(errno);
    else if (fgetc(file) != EOF)
        *why = "it is larger than 256 KiB";
    fclose(file);
    return *why == NULL;
}

static bool publish_file(struct tw_shared *shared, const struct tw_config *config, size_t issuer,
                         char *err, size_t err_size)
{
    const char *path = config->issuers[issuer].jwks_file, *why = NULL;
    char *buffer = malloc(TW_KEYS_MAX_BYTES);
    struct tw_str text = {buffer, 0};
    bool done = buffer && read_file(path, buffer, &text.n, &why) && is_key_set(text, &why) &&
                tw_shared_keys_publish(shared, issuer, text);
    if (!done)
        snprintf(err, err_size, "cannot use the keys in \"%s\" (auth.issuers[%zu].jwksFile): %s",
                 path, issuer, why ? why : "out of memory");
    free(buffer);
    return done;
}

// Files are published, URIs get a source whose first fetch is due at once.
static bool add_issuer(struct tw_jwks_fetch *fetch, size_t i, char *err, size_t err_size)
{
    const struct tw_issuer *issuer = &fetch->config->issuers[i];
    if (issuer->jwks_file)
        return publish_file(fetch->shared, fetch->config, i, err, err_size);
    struct source *source = &fetch->sources[fetch->n];
    *source = (struct source){
        .owner = fetch,
        .issuer = issuer,
        .stats = &fetch->stats[fetch->n],
        .fresh_us = tw_now_us(),
    };
    source->stats->issuer = i;
    fetch->n++;
    source->timer = evtimer_new(fetch->base, on_due, source);
    if (!source->timer) {
        snprintf(err, err_size, "cannot fetch keys: out of memory");
        return false;
    }
    plan_in_ms(source, 0);
    return true;
}

struct tw_jwks_fetch *tw_jwks_fetch_start(struct event_base *base, const struct tw_config *config,
                                          struct tw_shared *shared, char *err, size_t err_size)
{
    if (!tw_http_get_check_ca(config->auth_jwks_ca_file, err, err_size))
        return NULL;
    struct tw_jwks_fetch *fetch = calloc(1, sizeof(*fetch));
    if (!fetch) {
        snprintf(err, err_size, "cannot fetch keys: out of memory");
        return NULL;
    }
    fetch->base = base;
    fetch->config = config;
    fetch->shared = shared;
    fetch->sources = calloc(config->n_issuers, sizeof(fetch->sources[0]));
    fetch->stats = calloc(config->n_issuers, sizeof(fetch->stats[0]));
    bool ok = fetch->sources && fetch->stats;
    if (!ok)
        snprintf(err, err_size, "cannot fetch keys: out of memory");
    for (size_t i = 0; ok && i < config->n_issuers; i++)
        ok = add_issuer(fetch, i, err, err_size);
    if (ok)
        return fetch;
    tw_jwks_fetch_free(fetch);
    return NULL;
}

const struct tw_jwks_stats *tw_jwks_fetch_stats(const struct tw_jwks_fetch *fetch, size_t *n)
{
    *n = fetch->n;
    return fetch->stats;
}

void tw_jwks_fetch_free(struct tw_jwks_fetch *fetch)
{
    if (!fetch)
        return;
    bool settle = fetch->dns || any_in_flight(fetch);
    for (size_t i = 0; i < fetch->n; i++) {
        tw_http_get_cancel(fetch->sources[i].get);
        if (fetch->sources[i].timer)
            event_free(fetch->sources[i].timer);
        free(fetch->sources[i].text);
    }
    fetch->n = 0; // nobody may find a source in the turn that follows
    if (settle)
        (void)event_base_loop(fetch->base, EVLOOP_NONBLOCK);
    if (fetch->dns)
        evdns_base_free(fetch->dns, 0);
    free(fetch->sources);
    free(fetch->stats);
    free(fetch);
}
