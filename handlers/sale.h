// SPDX-License-Identifier: Apache-2.0
// sale: what a till says that it sold: its fields, its checks, and the arrays of record_sales.
//
// Three endpoints sell: POST /v1/transactions (sales.c), its batch (sales_batch.c), and the
// checkout of an order. What they have in common is here; judging and recording is PostgreSQL's
// (db/migrations 0003 and 0018). Runs in: worker.

#ifndef TW_SALE_H
#define TW_SALE_H

#include "gateway/digest.h"
#include "handlers/schema.h"

struct tw_sale_item {
    struct tw_optional_uuid product_id;
    struct tw_number quantity, discount;
    struct tw_number unit_price, tax_rate; // of a sale that was made offline; else not looked at
};

struct tw_sale_payment {
    struct tw_str method, reference;
    struct tw_number amount;
};

// As parsed by tw_sale_schema.
struct tw_sale {
    struct tw_optional_uuid transaction_id, customer_id;
    struct tw_str timestamp, register_id, store_id, cashier_id, payment_method, currency;
    struct tw_list items, payments; // of struct tw_sale_item, struct tw_sale_payment
    struct tw_number discount, total;
    struct tw_optional_bool offline, prices_include_tax;
};

extern const struct tw_schema tw_sale_schema;
extern const struct tw_schema tw_batched_sale_schema; // the same, but transactionId is required

// A sale that may be recorded as far as it can be told without the database.
struct tw_sale_record {
    struct tw_sale sale;
    struct tw_uuid transaction_id;
    struct tw_str key, store_id, register_id, cashier_id;
    bool has_sold_at, is_offline;
    int64_t sold_at_unix_ms;
    unsigned char fingerprint[TW_SHA256_BYTES]; // what the key stands for
};

// Completes a record whose `sale` was parsed, and whose `key` and `is_offline` are set: who sold
// it, where and when. False: `*faults` says what is wrong with it (validation-failed, or
// forbidden).
TW_MUST_USE bool tw_sale_check(struct tw_req *req, struct tw_sale_record *record,
                               struct tw_faults *faults);

// Writes all parameters of record_sales for `n` records, in their order. `params` was just begun.
void tw_sale_params(const struct tw_req *req, struct tw_params *params,
                    struct tw_sale_record *const *records, size_t n);

// The last step of a request that sold one basket: answers with the row of record_sales.
TW_MUST_USE struct tw_verdict tw_sale_recorded(struct tw_req *req,
                                               const struct tw_db_result *result); // sales.c

// What a refusal of record_sales means, for people; NULL: its title says all.
const char *tw_sale_refusal_detail(enum tw_status status);

// The fault that names the line of a refusal, counted from 0.
struct tw_problem_error tw_sale_refused_line(struct tw_req *req, enum tw_status status, int line);

#endif
