// SPDX-License-Identifier: Apache-2.0
// stock_watch: how many products are low in each store, asked of PostgreSQL once in a while for
// /metrics, which never asks it.
//
// The first worker of a generation asks for all of them, on lane slow with the lowest priority, and
// publishes in sales_stats.h. Without an answer the last one stands.
// Runs in: worker.

#ifndef TW_STOCK_WATCH_H
#define TW_STOCK_WATCH_H

#include "gateway/db.h"
#include "gateway/sales_stats.h"

struct tw_stock_watch {
    struct tw_db *db;
    struct tw_sales_stats *stats;
    uint64_t every_us; // 0: never
    uint64_t next_us;
    struct tw_db_query *query; // under way, or NULL
};

// Asks when it is time. To be called often.
void tw_stock_watch_tick(struct tw_stock_watch *watch);

// Asks no more.
void tw_stock_watch_stop(struct tw_stock_watch *watch);

#endif
