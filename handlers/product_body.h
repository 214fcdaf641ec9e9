// SPDX-License-Identifier: Apache-2.0
// product_body: a product as a client sends it: whole (POST, PUT, batch) or in part (PATCH).
// Runs in: worker.

#ifndef TW_PRODUCT_BODY_H
#define TW_PRODUCT_BODY_H

#include "handlers/schema.h"

struct tw_product_body {
    struct tw_optional_uuid product_id;
    struct tw_str name, description, category, image, sku, barcode;
    struct tw_number price, tax_rate;
    struct tw_product_nulls { // named with null: in a patch, what is to be removed
        bool description, category, image, sku, barcode, tax_rate;
    } nulls;
};

extern const struct tw_schema tw_product_whole_schema;
extern const struct tw_schema tw_product_patch_schema;

// The fields that a patch names, as patch_product (db/migrations/0005) wants them.
int32_t tw_product_patch_fields(const struct tw_product_body *patch);

#endif
