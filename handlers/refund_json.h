// SPDX-License-Identifier: Apache-2.0
// refund_json: one refund or void from its row to JSON; the row of refund_list, and of refund_sale
// behind its two columns of verdict. Runs in: worker.

#ifndef TW_REFUND_JSON_H
#define TW_REFUND_JSON_H

#include "gateway/json_out.h"
#include "gateway/request.h"
#include "gateway/sales_stats.h"

// `first` is the column of refund_id.
void tw_json_refund(struct tw_json *json, const struct tw_config *config,
                    const struct tw_rows *rows, int row, int first);

// What the metrics of the business count of it.
struct tw_sales_event tw_refund_given(const struct tw_rows *rows, int row, int first);

#endif
