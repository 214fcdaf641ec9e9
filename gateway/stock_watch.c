// SPDX-License-Identifier: Apache-2.0
#include "gateway/stock_watch.h"

#define ANSWER_MAX_US 10000000

static void on_counted(void *owner, const struct tw_db_result *result)
{
    struct tw_stock_watch *watch = owner;
    uint64_t n_low[TW_SALES_STORES + 1] = {0};
    watch->query = NULL;
    if (result->status != TW_OK)
        return;
    for (int row = 0; row < tw_rows_count(result->rows); row++) {
        unsigned store = tw_sales_store(watch->stats, tw_row_str(result->rows, row, 0));
        n_low[store] += (uint64_t)tw_row_i64(result->rows, row, 1);
    }
    tw_sales_low_stock_set(watch->stats, n_low);
}

void tw_stock_watch_tick(struct tw_stock_watch *watch)
{
    uint64_t now_us = tw_now_us();
    if (watch->every_us == 0 || watch->query || now_us < watch->next_us)
        return;
    char nothing[1];
    struct tw_params params;
    tw_params_init(&params, nothing, sizeof(nothing));
    const struct tw_db_call call = {.stmt = TW_STMT_LOW_STOCK_COUNT,
                                    .params = &params,
                                    .deadline_us = now_us + ANSWER_MAX_US,
                                    .callback = on_counted,
                                    .owner = watch};
    watch->next_us = now_us + watch->every_us;
    if (tw_db_submit(watch->db, &call, &watch->query) != TW_OK)
        watch->query = NULL; // there is a next time
    tw_params_free(&params);
}

void tw_stock_watch_stop(struct tw_stock_watch *watch)
{
    watch->every_us = 0;
    if (watch->query)
        tw_db_detach(watch->query);
    watch->query = NULL;
}
