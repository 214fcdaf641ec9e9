// SPDX-License-Identifier: Apache-2.0
// order_json: one order from its row (type order_detail, db/migrations/0009) to JSON. Runs in:
// worker.

#ifndef TW_ORDER_JSON_H
#define TW_ORDER_JSON_H

#include "gateway/json_out.h"
#include "gateway/request.h"

// `first` is the column of order_id.
void tw_json_order(struct tw_json *json, const struct tw_config *config, const struct tw_rows *rows,
                   int row, int first);

struct tw_uuid tw_order_id(const struct tw_rows *rows, int row, int first);
int64_t tw_order_version(const struct tw_rows *rows, int row, int first);

#endif
