// SPDX-License-Identifier: Apache-2.0
// transaction_json: one recorded sale from its row to JSON; the row of transaction_get, and of
// record_sales behind its three columns of verdict. Runs in: worker.

#ifndef TW_TRANSACTION_JSON_H
#define TW_TRANSACTION_JSON_H

#include "gateway/json_out.h"
#include "gateway/request.h"
#include "gateway/sales_stats.h"

// `first` is the column of transaction_id. Begin: the object stays open, and its member "refunds"
// is still to come; else that is empty, as it is when a sale is recorded.
void tw_json_transaction_begin(struct tw_json *json, const struct tw_config *config,
                               const struct tw_rows *rows, int row, int first);
bool tw_json_transaction_is_completed(const struct tw_rows *rows, int row, int first);
void tw_json_transaction(struct tw_json *json, const struct tw_config *config,
                         const struct tw_rows *rows, int row, int first);

// What the metrics of the business count of it.
struct tw_sales_event tw_transaction_sold(const struct tw_rows *rows, int row, int first);

#endif
