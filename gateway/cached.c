// SPDX-License-Identifier: Apache-2.0
#include "gateway/cached.h"

#include <stdlib.h>

#include "gateway/cache.h"
#include "gateway/db_listen.h"
#include "gateway/reply.h"
#include "gateway/worker.h"

struct tw_cached_reads {
    struct tw_cache_table *cache;
    struct tw_db *db;
    struct tw_worker_page *page;
    struct tw_db_listener *listener;
    bool is_trusted; // changes are heard
    uint64_t evictions_shown;
};

// A query under way, and who waits for it.
struct load {
    struct tw_cache_fill fill;
    struct tw_cached_reads *reads;
    const struct tw_cached_read *read;
    struct tw_db_query *query;
    uint64_t deadline_us; // of the query: that of whoever has the least time left
    h2o_linklist_t waiters;
};

// A request that waits; in its own memory.
struct tw_cached_wait {
    h2o_linklist_t link; // load->waiters, or a list of on_loaded
    struct tw_req *req;
    struct load *load; // NULL once that is over
    bool has_joined;   // somebody else had asked already
};

static const char *const fates[] = {"tillway; hit", "tillway; fwd=bypass", "tillway; fwd=miss",
                                    "tillway; fwd=miss; stored", "tillway; fwd=miss; collapsed"};
enum fate { HIT, BYPASS, MISS, STORED, COLLAPSED };

static void set_cache_status(struct tw_req *req, enum fate fate)
{
    h2o_add_header_by_str(&req->h2o->pool, &req->h2o->res.headers, H2O_STRLIT("cache-status"), 0,
                          NULL, fates[fate], strlen(fates[fate]));
}

static void count(struct tw_cached_reads *reads, enum tw_metric metric)
{
    tw_metric_add(reads->page, metric, 1);
}

// ---- a request ----------------------------------------------------------------------------------

static void load_leave(struct load *load);

void tw_cached_end(struct tw_req *req)
{
    struct tw_cached_wait *wait = req->cached_wait;
    tw_cache_unref(req->cached_entry);
    req->cached_entry = NULL;
    if (!wait)
        return;
    req->cached_wait = NULL;
    h2o_linklist_unlink(&wait->link);
    if (wait->load)
        load_leave(wait->load);
}

static struct tw_verdict reply_entry(struct tw_req *req, const struct tw_cached_read *read,
                                     struct tw_cache_entry *entry, enum fate fate)
{
    struct tw_cached found = {entry->body, entry->etag};
    req->cached_entry = tw_cache_ref(entry);
    set_cache_status(req, fate);
    return read->reply(req, &found);
}

static void wait_for(struct load *load, struct tw_req *req, bool has_joined)
{
    struct tw_cached_wait *wait = tw_req_alloc(req, sizeof(*wait));
    *wait = (struct tw_cached_wait){.req = req, .load = load, .has_joined = has_joined};
    h2o_linklist_insert(&load->waiters, &wait->link);
    req->cached_wait = wait;
}

// Takes the first one off the list. From here on it does not wait any more.
static struct tw_cached_wait *take_first(h2o_linklist_t *waiters)
{
    struct tw_cached_wait *wait = H2O_STRUCT_FROM_MEMBER(struct tw_cached_wait, link,
                                                         waiters->next);
    h2o_linklist_unlink(&wait->link);
    wait->req->cached_wait = NULL;
    return wait;
}

// ---- a load -------------------------------------------------------------------------------------

static void on_loaded(void *owner, const struct tw_db_result *result);

static enum tw_status load_submit(struct load *load)
{
    char buffer[64];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_array(&params, TW_ARRAY_UUID, 1);
    tw_param_uuid(&params, &load->fill.id);
    tw_param_array_end(&params);
    // From the primary: a replica may be behind the change that we have just heard of.
    struct tw_db_call call = {.stmt = load->read->stmt,
                              .params = &params,
                              .deadline_us = load->deadline_us,
                              .callback = on_loaded,
                              .owner = load,
                              .primary_only = true};
    enum tw_status status = tw_db_submit(load->reads->db, &call, &load->query);
    tw_params_free(&params);
    return status;
}

// Whoever was waiting and is still there, in the order in which they came. Answering one may end
// others, who then take themselves off the list.
static void load_free(struct load *load, h2o_linklist_t *waiters)
{
    h2o_linklist_init_anchor(waiters);
    h2o_linklist_insert_list(waiters, &load->waiters);
    for (h2o_linklist_t *link = waiters->next; link != waiters; link = link->next)
        H2O_STRUCT_FROM_MEMBER(struct tw_cached_wait, link, link)->load = NULL;
    tw_cache_fill_cancel(load->reads->cache, &load->fill);
    free(load);
}

// One of the waiters has gone.
static void load_leave(struct load *load)
{
    h2o_linklist_t nobody;
    if (!h2o_linklist_is_empty(&load->waiters))
        return;
    tw_db_detach(load->query);
    load_free(load, &nobody);
}

static void fail_all(h2o_linklist_t *waiters, enum tw_status status)
{
    while (!h2o_linklist_is_empty(waiters)) {
        struct tw_verdict verdict = tw_fail(take_first(waiters)->req, status, NULL);
        (void)verdict; // it exists, so the request has been answered
    }
}

static void load_fail(struct load *load, enum tw_status status)
{
    h2o_linklist_t waiters;
    load_free(load, &waiters);
    fail_all(&waiters, status);
}

// The query had as much time as its first waiter. Those who came later have some left and ask
// again.
static void load_expire(struct load *load)
{
    uint64_t now_us = tw_now_us(), next_us = UINT64_MAX;
    h2o_linklist_t late;
    h2o_linklist_init_anchor(&late);
    for (h2o_linklist_t *link = load->waiters.next, *next; link != &load->waiters; link = next) {
        struct tw_cached_wait *wait = H2O_STRUCT_FROM_MEMBER(struct tw_cached_wait, link, link);
        uint64_t deadline_us = wait->req->deadline_us;
        next = link->next;
        if (deadline_us <= now_us) {
            h2o_linklist_unlink(link);
            h2o_linklist_insert(&late, link);
            wait->load = NULL;
        } else if (deadline_us < next_us) {
            next_us = deadline_us;
        }
    }
    load->deadline_us = next_us;
    enum tw_status status = next_us == UINT64_MAX ? TW_DEADLINE_EXCEEDED : load_submit(load);
    if (status != TW_OK)
        load_fail(load, status);
    fail_all(&late, TW_DEADLINE_EXCEEDED);
}

static struct tw_verdict reply_to(struct tw_cached_wait *wait, const struct tw_cached_read *read,
                                  struct tw_cache_entry *entry, bool stored)
{
    enum fate fate = wait->has_joined ? COLLAPSED : stored ? STORED : MISS;
    if (entry)
        return reply_entry(wait->req, read, entry, fate);
    set_cache_status(wait->req, wait->has_joined ? COLLAPSED : MISS);
    return read->reply(wait->req, NULL);
}

// `entry` is NULL when there is no such row.
static void load_answer(struct load *load, struct tw_cache_entry *entry, bool stored)
{
    const struct tw_cached_read *read = load->read;
    h2o_linklist_t waiters;
    load_free(load, &waiters);
    while (!h2o_linklist_is_empty(&waiters)) {
        struct tw_verdict verdict = reply_to(take_first(&waiters), read, entry, stored);
        (void)verdict; // it exists, so the request has been answered
    }
    tw_cache_unref(entry);
}

static void load_take_row(struct load *load, const struct tw_rows *rows)
{
    struct tw_cached_wait *first = H2O_STRUCT_FROM_MEMBER(struct tw_cached_wait, link,
                                                          load->waiters.next);
    struct tw_cached made = load->read->make(first->req, rows);
    bool stored;
    struct tw_cache_entry *entry = tw_cache_fill_end(load->reads->cache, &load->fill, made.body,
                                                     made.etag, &stored);
    if (entry)
        load_answer(load, entry, stored);
    else
        load_fail(load, TW_OVERLOADED);
}

// There is somebody who waits: the last one to leave takes the query with him.
static void on_loaded(void *owner, const struct tw_db_result *result)
{
    struct load *load = owner;
    load->query = NULL;
    if (result->may_be_old)
        tw_cache_fill_cancel(load->reads->cache, &load->fill);
    for (h2o_linklist_t *link = load->waiters.next; link != &load->waiters; link = link->next)
        tw_req_account(H2O_STRUCT_FROM_MEMBER(struct tw_cached_wait, link, link)->req, result);
    if (result->status == TW_DEADLINE_EXCEEDED && tw_now_us() >= load->deadline_us)
        load_expire(load);
    else if (result->status != TW_OK)
        load_fail(load, result->status);
    else if (tw_rows_count(result->rows) == 0)
        load_answer(load, NULL, false);
    else
        load_take_row(load, result->rows);
}

static struct tw_verdict load_begin(struct tw_cached_reads *reads, struct tw_req *req,
                                    const struct tw_cached_read *read, const struct tw_uuid *id)
{
    struct load *load = malloc(sizeof(*load));
    if (!load)
        return tw_fail(req, TW_OVERLOADED, NULL);
    load->reads = reads;
    load->read = read;
    load->deadline_us = req->deadline_us;
    h2o_linklist_init_anchor(&load->waiters);
    tw_cache_fill_begin(reads->cache, &load->fill, id);
    enum tw_status status = load_submit(load);
    if (status != TW_OK) {
        tw_cache_fill_cancel(reads->cache, &load->fill);
        free(load);
        return tw_fail(req, status, NULL);
    }
    wait_for(load, req, false);
    return (struct tw_verdict){TW_VERDICT_WAITING};
}

// ---- reading ------------------------------------------------------------------------------------

static struct tw_verdict uncached_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    const struct tw_cached_read *read = req->cached_read;
    if (req->worker->cached)
        set_cache_status(req, BYPASS);
    if (tw_rows_count(result->rows) == 0)
        return read->reply(req, NULL);
    struct tw_cached made = read->make(req, result->rows);
    return read->reply(req, &made);
}

static struct tw_verdict uncached(struct tw_req *req, const struct tw_cached_read *read,
                                  const struct tw_uuid *id)
{
    char buffer[64];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_array(&params, TW_ARRAY_UUID, 1);
    tw_param_uuid(&params, id);
    tw_param_array_end(&params);
    req->cached_read = read;
    return tw_await_db(req, read->stmt, &params, uncached_2_read);
}

struct tw_verdict tw_await_cached(struct tw_req *req, const struct tw_cached_read *read,
                                  const struct tw_uuid *id)
{
    struct tw_cached_reads *reads = req->worker->cached;
    if (!reads)
        return uncached(req, read, id);
    if (!reads->is_trusted) {
        count(reads, TW_METRIC_CACHE_BYPASSED);
        return uncached(req, read, id);
    }
    struct tw_cache_entry *entry = tw_cache_find(reads->cache, id);
    if (entry) {
        count(reads, TW_METRIC_CACHE_HITS);
        return reply_entry(req, read, entry, HIT);
    }
    struct tw_cache_fill *fill = tw_cache_fill_find(reads->cache, id);
    if (fill) {
        count(reads, TW_METRIC_CACHE_COLLAPSED);
        wait_for(H2O_STRUCT_FROM_MEMBER(struct load, fill, fill), req, true);
        return (struct tw_verdict){TW_VERDICT_WAITING};
    }
    count(reads, TW_METRIC_CACHE_MISSES);
    return load_begin(reads, req, read, id);
}

// ---- forgetting ---------------------------------------------------------------------------------

static void forget(struct tw_cached_reads *reads, const struct tw_uuid *id)
{
    if (tw_cache_forget(reads->cache, id))
        count(reads, TW_METRIC_CACHE_INVALIDATIONS);
}

void tw_cache_forget_product(struct tw_req *req, const uint8_t product_id[16])
{
    struct tw_uuid id;
    memcpy(id.bytes, product_id, sizeof(id.bytes));
    if (req->worker->cached)
        forget(req->worker->cached, &id);
}

// A product's id; "*", or whatever we do not understand, is all of them.
static void on_message(void *owner, struct tw_str payload)
{
    struct tw_cached_reads *reads = owner;
    struct tw_uuid id;
    if (tw_uuid_parse(payload, &id)) {
        forget(reads, &id);
        return;
    }
    tw_cache_clear(reads->cache);
    count(reads, TW_METRIC_CACHE_INVALIDATIONS);
}

static void on_hearing(void *owner, bool hears)
{
    struct tw_cached_reads *reads = owner;
    tw_cache_clear(reads->cache);
    reads->is_trusted = hears;
    tw_metric_set(reads->page, TW_METRIC_CACHE_LISTENING, hears);
}

// ---- for the worker -----------------------------------------------------------------------------

static const struct tw_db_listen_events events = {on_hearing, on_message};

void tw_cached_reads_tick(struct tw_cached_reads *reads)
{
    if (!reads)
        return;
    tw_cache_sweep(reads->cache);
    struct tw_cache_stats stats = tw_cache_stats(reads->cache);
    tw_metric_set(reads->page, TW_METRIC_CACHE_ENTRIES, (int64_t)stats.entries);
    tw_metric_set(reads->page, TW_METRIC_CACHE_BYTES, (int64_t)stats.bytes);
    tw_metric_add(reads->page, TW_METRIC_CACHE_EVICTIONS,
                  (int64_t)(stats.evictions - reads->evictions_shown));
    reads->evictions_shown = stats.evictions;
}

struct tw_cached_reads *tw_cached_reads_new(struct st_h2o_context_t *ctx,
                                            const struct tw_config *config, struct tw_db *db,
                                            struct tw_worker_page *page)
{
    unsigned char hash_key[TW_SIPHASH_KEY_BYTES];
    struct tw_cached_reads *reads = calloc(1, sizeof(*reads));
    if (!reads)
        return NULL;
    tw_random(hash_key, sizeof(hash_key));
    reads->db = db;
    reads->page = page;
    reads->cache = tw_cache_new(config->cache_size_bytes, hash_key);
    reads->listener = tw_db_listener_new(ctx, db, &events, reads);
    if (!reads->cache || !reads->listener) {
        tw_cached_reads_free(reads);
        return NULL;
    }
    tw_metric_set(page, TW_METRIC_CACHE_LISTENING, 0); // the worker before us may have left a 1
    tw_cached_reads_tick(reads);
    return reads;
}

bool tw_cached_reads_are_warm(const struct tw_cached_reads *reads)
{
    return !reads || reads->is_trusted;
}

void tw_cached_reads_release(struct tw_cached_reads *reads)
{
    if (!reads || !reads->listener)
        return;
    tw_db_listener_free(reads->listener);
    reads->listener = NULL;
    on_hearing(reads, false);
}

void tw_cached_reads_free(struct tw_cached_reads *reads)
{
    if (!reads)
        return;
    tw_db_listener_free(reads->listener);
    tw_cache_free(reads->cache);
    free(reads);
}
