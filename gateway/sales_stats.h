// SPDX-License-Identifier: Apache-2.0
// sales_stats: what the shops have sold and given back since the start, by store, currency and
// payment method; and how many of their products are low.
//
// Stores and methods are named by data, so there is room for a fixed number of names: first come,
// first served, for the life of the master; what comes later is counted under "other". The names
// are known to all workers: a slot is claimed once, by one atomic word. The cells are each worker's
// own. What is counted is what this gateway has recorded; the books are PostgreSQL's, and a sale
// whose answer was lost is found there only.
// Memory shared by all processes, made by the master, never freed.
// Runs in: worker (adds), master (makes, sums).

#ifndef TW_SALES_STATS_H
#define TW_SALES_STATS_H

#include "gateway/base.h"

#define TW_SALES_STORES     128
#define TW_SALES_METHODS    8
#define TW_SALES_CURRENCIES 3
#define TW_SALES_NAME_MAX   64 // bytes; what has a longer name is "other"

struct tw_sales_stats;

enum tw_sales_kind { TW_SALES_SALE, TW_SALES_REFUND, TW_SALES_VOID, TW_SALES_KINDS };

// One sale, refund or void that was recorded now: where, how it was paid, how much.
struct tw_sales_event {
    enum tw_sales_kind kind;
    struct tw_str store, currency, payment_method;
    int64_t total_minor; // taxes included, in minor units of the currency; not negative
};

// Sums over all workers. The names live as long as the statistics.
struct tw_sales_sum {
    const char *store, *currency, *payment_method;
    uint64_t n[TW_SALES_KINDS];
    uint64_t total_minor[TW_SALES_KINDS];
};

// Room for so many workers; pages are taken from the system when first used. NULL when memory or
// random bytes are refused.
TW_MUST_USE struct tw_sales_stats *tw_sales_stats_new(unsigned n_rows);

// Adds to the cells of this worker's row.
void tw_sales_add(struct tw_sales_stats *stats, unsigned row, const struct tw_sales_event *event);

// All combinations of names of which something was recorded, in an order that stays; to be freed.
// NULL with *n == 0 when there are none, or memory is refused.
TW_MUST_USE struct tw_sales_sum *tw_sales_sums(struct tw_sales_stats *stats, unsigned n_rows,
                                               size_t *n);

// The store's index, up to TW_SALES_STORES, which stands for "other"; claims one if need be.
unsigned tw_sales_store(struct tw_sales_stats *stats, struct tw_str store);

// What stock_watch.h has counted, for each index. Replaces what was said before.
void tw_sales_low_stock_set(struct tw_sales_stats *stats, const uint64_t n_low[]);

// False: there is no such store, or nothing was counted yet. `store` lives as long as the
// statistics.
bool tw_sales_low_stock(struct tw_sales_stats *stats, unsigned store_index, const char **store,
                        uint64_t *n_low);

#endif
