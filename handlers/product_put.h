// SPDX-License-Identifier: Apache-2.0
// product_put: whole products as parameters of product_put, and what they share when one is
// refused. Runs in: worker.

#ifndef TW_PRODUCT_PUT_H
#define TW_PRODUCT_PUT_H

#include "gateway/reply.h"
#include "handlers/product_body.h"

struct tw_product_put {
    const struct tw_product_body *product;
    struct tw_uuid product_id;
    bool by_sku; // the product that has this sku, if there is one, whatever its id
};

// $4 to $13 of product_put.
void tw_param_product_puts(struct tw_params *params, const struct tw_product_put *puts, size_t n);

// The fields of one product as arrays of one: $3 to $10 of product_create.
void tw_param_product_fields(struct tw_params *params, const struct tw_product_body *product);

// The fault of a product whose `field` (sku or barcode, as the statement has it) another one has.
struct tw_problem_error tw_product_taken(struct tw_str field);

#endif
