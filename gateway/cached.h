// SPDX-License-Identifier: Apache-2.0
// cached: reads that are answered from the worker's memory when it holds the answer.
//
// A miss is one query, however many ask at the same time; each of them has his own deadline and may
// leave. What was read is kept in cache.h until it changes: this worker's own writes are forgotten
// at once (tw_cache_forget_product), everybody else's when PostgreSQL tells of them (db_listen.h).
// While nothing would be told, nothing is answered from memory and every read is a query. What a
// read may return is stated in docs/cache.md. Cache-Status (RFC 9211) says what has happened.
//
// Products only, so far: an id means the same to everybody who may ask. What differs by store or by
// principal has no place here.
//
// Runs in: worker. Off when cache.size is 0: then tw_await_cached is tw_await_db.

#ifndef TW_CACHED_H
#define TW_CACHED_H

#include "gateway/request.h"

// A finished answer: its JSON, and its entity tag with the quotes.
struct tw_cached {
    struct tw_str body, etag;
};

// How one resource is read. Const data of its handler.
struct tw_cached_read {
    enum tw_stmt stmt; // its one parameter is the id
    // Makes the answer from the one row, in memory of `req`, who need not be the one it is for: it
    // must not depend on who asks.
    struct tw_cached (*make)(struct tw_req *req, const struct tw_rows *rows);
    // Answers; `found` is NULL when there is no row.
    struct tw_verdict (*reply)(struct tw_req *req, const struct tw_cached *found);
};

// Replies from memory, or waits as tw_await_db does. `read` must be static.
TW_MUST_USE struct tw_verdict tw_await_cached(struct tw_req *req, const struct tw_cached_read *read,
                                              const struct tw_uuid *id);

// This worker has changed or deleted the product: to be called when the write is known to have
// happened and before it is answered. `product_id` is in network order, as in struct tw_uuid.
void tw_cache_forget_product(struct tw_req *req, const uint8_t product_id[16]);

// ---- for the worker -----------------------------------------------------------------------------

struct tw_cached_reads;

// NULL when memory is short; not to be called when cache.size is 0. `db` is borrowed.
struct tw_cached_reads *tw_cached_reads_new(struct st_h2o_context_t *ctx,
                                            const struct tw_config *config, struct tw_db *db,
                                            struct tw_worker_page *page);

// NULL is allowed. Before tw_db_free; requests that still wait are not answered any more.
void tw_cached_reads_free(struct tw_cached_reads *reads);

// Publishes gauges; to be called now and then. NULL is allowed.
void tw_cached_reads_tick(struct tw_cached_reads *reads);

// Whether reads are answered from memory, as far as they ever will be. NULL (no cache): true.
bool tw_cached_reads_are_warm(const struct tw_cached_reads *reads);

// The worker drains: its successor is to have the connection on which changes are heard. Reads are
// queries from here on. NULL is allowed.
void tw_cached_reads_release(struct tw_cached_reads *reads);

// The request ends: gives back what it holds of the cache and waits no more.
void tw_cached_end(struct tw_req *req);

#endif
