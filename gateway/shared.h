// SPDX-License-Identifier: Apache-2.0
// shared: the one mapped region that master and workers share: statistics, heartbeats, documents.
//
// Anonymous shared memory made by the master before it forks. Rules that keep it free of locks: a
// worker writes only its own `struct tw_worker_page`; only the master writes documents. A page
// outlives its worker: the next worker of that row goes on counting where the last one stopped.
// Pages are for ever, documents are of one configuration: a reload makes slots anew.
// Documents are what the master brings and workers parse: in slots 0 to n_issuers - 1 the issuers'
// key sets, in slot n_issuers the list of revoked tokens, then what tls_bundle.h says. Some hold
// secrets: the documents are left out of core dumps.
// Runs in: master (makes, reads, publishes documents), worker (writes its page, reads documents).

#ifndef TW_SHARED_H
#define TW_SHARED_H

#include "gateway/db_stats.h"
#include "gateway/limit.h"
#include "gateway/status.h"

enum tw_metric {
#define METRIC(name, kind, prometheus_name, labels, help) TW_METRIC_##name,
#include "gateway/metrics.def"
#undef METRIC
    TW_METRIC_COUNT
};

// Row 0 counts requests that matched no route; row i + 1 is route i of the table.
#define TW_STATS_ROUTES_MAX 96

struct tw_route_stats {
    _Atomic uint64_t by_class[6]; // [2] = answers 200 to 299; [0] = abandoned before an answer
    struct tw_histogram latency;
};

// What a worker says of itself; bits of tw_worker_page.ready.
#define TW_READY_SERVING  1u // accepts connections
#define TW_READY_DB_READ  2u // at least one connection of lane fast is ready
#define TW_READY_DB_WRITE 4u // lane write is ready, or was and reads are (db.h)
#define TW_READY_KEYS     8u // at least one issuer has keys
#define TW_READY_ALL      15u
#define TW_READY_CACHE    16u // reads are answered from memory, or never are: nice to have
#define TW_LACKS_ZONE     32u // PostgreSQL does not know pos.time_zone: no writes

// What a policy of limits said, by its id (limit.h).
struct tw_limit_stats {
    _Atomic uint64_t allowed, refused;
};

struct tw_worker_page {
    _Atomic uint64_t heartbeat_us; // tw_now_us of the last loop turn; 0 before the first
    _Atomic uint32_t ready;
    _Atomic uint64_t metrics[TW_METRIC_COUNT]; // gauges are two's complement int64
    struct tw_route_stats routes[TW_STATS_ROUTES_MAX];
    struct tw_statement_stats statements[TW_STMT_COUNT]; // by enum tw_stmt
    struct tw_histogram queue_waits[TW_LANE_COUNT];      // by enum tw_lane, of queries sent
    struct tw_limit_stats limits[TW_LIMIT_POLICIES_MAX];
    _Atomic uint64_t problems[TW_STATUS_COUNT]; // answered, by enum tw_status
} __attribute__((aligned(64)));

#define TW_DOCUMENT_MAX_BYTES (1024 * 1024)
#define TW_KEYS_MAX_BYTES     (256 * 1024) // of a key set, wherever it comes from

struct tw_shared;

// Zeroed; NULL when memory is refused. Pages are never freed: they live as long as the processes.
struct tw_shared *tw_shared_new(unsigned n_pages, size_t n_slots);

// The same pages, sales and words about the database, with slots of its own, which are empty: for
// another configuration. NULL when memory is refused.
TW_MUST_USE struct tw_shared *tw_shared_next(const struct tw_shared *before, size_t n_slots);

// Gives the slots back, not the pages. Workers that have mapped them keep them. NULL is fine.
void tw_shared_free(struct tw_shared *shared);

// What the workers share about the database (db_shared.h).
struct tw_db_shared;
struct tw_db_shared *tw_shared_db(struct tw_shared *shared);

// What the shops have sold (sales_stats.h); rows as the pages.
struct tw_sales_stats;
struct tw_sales_stats *tw_shared_sales(const struct tw_shared *shared);

// The pages stand one behind the other.
struct tw_worker_page *tw_shared_worker(struct tw_shared *shared, unsigned index);

static inline void tw_metric_add(struct tw_worker_page *page, enum tw_metric metric, int64_t n)
{
    tw_cell_add(&page->metrics[metric], (uint64_t)n);
}

static inline void tw_metric_set(struct tw_worker_page *page, enum tw_metric metric, int64_t n)
{
    atomic_store_explicit(&page->metrics[metric], (uint64_t)n, memory_order_relaxed);
}

// One finished request. `row` is 0 or route index + 1; http_status 0 = the client left.
void tw_stats_request(struct tw_worker_page *page, unsigned row, unsigned http_status,
                      uint64_t latency_us);

// Master: makes this text the slot's document, under the next generation (1, 2, …), also when the
// text has not changed. An empty text withdraws the one before. False when the text is longer than
// TW_DOCUMENT_MAX_BYTES.
TW_MUST_USE bool tw_shared_document_publish(struct tw_shared *shared, size_t slot,
                                            struct tw_str text);

// Master: wipes what the slot held before its current document. A worker that is reading that just
// now starts over.
void tw_shared_document_wipe_previous(struct tw_shared *shared, size_t slot);

// Master: whether this text is what the slot holds now; false while it holds none.
bool tw_shared_document_is(const struct tw_shared *shared, size_t slot, struct tw_str text);

// Master: the slot's document where it lies; empty while there is none.
struct tw_str tw_shared_document_now(const struct tw_shared *shared, size_t slot);

// Worker: generation of the slot's current document, 0 while there is none. One atomic load.
uint64_t tw_shared_document_generation(const struct tw_shared *shared, size_t slot);

// Worker: copies the current text out into `buffer` of TW_DOCUMENT_MAX_BYTES, of which only *size
// bytes are touched; false while there is none. Safe against a publish that happens meanwhile (it
// is read again).
TW_MUST_USE bool tw_shared_document_read(const struct tw_shared *shared, size_t slot, char *buffer,
                                         size_t *size, uint64_t *generation);

#endif
