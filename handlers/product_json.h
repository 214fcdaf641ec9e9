// SPDX-License-Identifier: Apache-2.0
// product_json: one product from its row to JSON and to its entity tag; the row of product_get,
// product_list and the statements that change products. Runs in: worker.

#ifndef TW_PRODUCT_JSON_H
#define TW_PRODUCT_JSON_H

#include "gateway/json_out.h"
#include "gateway/request.h"

// Columns from the first of a product's on.
enum tw_product_column {
    TW_PRODUCT_ID,
    TW_PRODUCT_NAME,
    TW_PRODUCT_PRICE,
    TW_PRODUCT_DESCRIPTION,
    TW_PRODUCT_CATEGORY,
    TW_PRODUCT_IMAGE,
    TW_PRODUCT_SKU,
    TW_PRODUCT_BARCODE,
    TW_PRODUCT_TAX_RATE,
    TW_PRODUCT_CREATED_AT,
    TW_PRODUCT_UPDATED_AT,
    TW_PRODUCT_VERSION,
    TW_PRODUCT_COLUMNS
};

// `first` is the column of product_id.
void tw_json_product(struct tw_json *json, const struct tw_config *config,
                     const struct tw_rows *rows, int row, int first);

// A strong validator, quoted: the version counts every change of the row (RFC 9110 §8.8.3).
struct tw_str tw_product_etag(struct tw_req *req, const struct tw_rows *rows, int row, int first);

#endif
