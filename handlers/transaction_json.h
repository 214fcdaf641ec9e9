// SPDX-License-Identifier: Apache-2.0
// transaction_json: one recorded sale from its row to JSON; the row of transaction_get, and of
// record_sales behind its three columns of verdict. Runs in: worker.

#ifndef TW_TRANSACTION_JSON_H
#define TW_TRANSACTION_JSON_H

#include "gateway/json_out.h"
#include "gateway/request.h"

// `first` is the column of transaction_id.
void tw_json_transaction(struct tw_json *json, const struct tw_config *config,
                         const struct tw_rows *rows, int row, int first);

#endif
