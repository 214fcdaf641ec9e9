// SPDX-License-Identifier: Apache-2.0
// order_checkout: POST /v1/orders/{orderId}/checkout: an open order becomes a recorded sale.
//
// The body is what POST /v1/transactions takes besides the basket; the basket is the order's. The
// answer is the sale's. Runs in: worker.
#include "gateway/reply.h"
#include "handlers/etag.h"
#include "handlers/handlers.h"
#include "handlers/idempotency.h"
#include "handlers/money.h"
#include "handlers/params.h"
#include "handlers/sale.h"

static const struct tw_field payment_fields[] = {
    TW_FIELD(tw_sale_payment, "method", method, TOKEN, true, 1, 32),
    TW_FIELD(tw_sale_payment, "amount", amount, MONEY, true, 0, TW_DECIMAL_MAX),
    TW_FIELD(tw_sale_payment, "reference", reference, TEXT, false, 1, 200),
};
static const struct tw_schema payment_schema = {payment_fields, TW_COUNT(payment_fields),
                                                sizeof(struct tw_sale_payment)};

static const struct tw_field checkout_fields[] = {
    TW_FIELD(tw_sale, "transactionId", transaction_id, UUID, false, 0, 0),
    TW_FIELD(tw_sale, "payments", payments, LIST, false, 1, 20, .element = &payment_schema),
    TW_FIELD(tw_sale, "paymentMethod", payment_method, TOKEN, false, 1, 32),
    TW_FIELD(tw_sale, "registerId", register_id, TOKEN, false, 1, 64),
    TW_FIELD(tw_sale, "cashierId", cashier_id, TEXT, false, 1, 128),
    TW_FIELD(tw_sale, "total", total, MONEY, false, 0, TW_DECIMAL_MAX),
};
static const struct tw_schema checkout_schema = {checkout_fields, TW_COUNT(checkout_fields),
                                                 sizeof(struct tw_sale)};

// The key stands for the checkout of this order in this way, whatever the order has become since.
static void set_fingerprint(const struct tw_uuid *order_id, struct tw_sale_record *record)
{
    unsigned char text[sizeof(order_id->bytes) + TW_SHA256_BYTES];
    memcpy(text, order_id->bytes, sizeof(order_id->bytes));
    memcpy(text + sizeof(order_id->bytes), record->fingerprint, TW_SHA256_BYTES);
    tw_sha256((struct tw_str){(const char *)text, sizeof(text)}, record->fingerprint);
}

static void put_payments(struct tw_params *params, const struct tw_list *list)
{
    const struct tw_sale_payment *payments = list->items;
    tw_param_array(params, TW_ARRAY_TEXT, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_str(params, payments[i].method);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I64, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_i64(params, payments[i].amount.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_TEXT, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_optional(params, payments[i].reference);
    tw_param_array_end(params);
}

static struct tw_verdict order_checkout_2_record(struct tw_req *req, const struct tw_uuid *order_id,
                                                 const struct tw_sale_record *record)
{
    const struct tw_config *config = req->config;
    const struct tw_sale *sale = &record->sale;
    char buffer[1024];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid(&params, order_id);
    tw_param_optional(&params, tw_req_store_scope(req));
    tw_param_optional(&params, tw_if_match(req));
    tw_param_uuid(&params, &record->transaction_id);
    tw_param_str(&params, req->principal->subject);
    tw_param_str(&params, record->key);
    tw_param_str(&params,
                 (struct tw_str){(const char *)record->fingerprint, sizeof(record->fingerprint)});
    tw_param_str(&params, record->register_id);
    tw_param_str(&params, record->cashier_id);
    tw_param_optional(&params, sale->payment_method);
    if (sale->total.present)
        tw_param_i64(&params, sale->total.value);
    else
        tw_param_null(&params);
    put_payments(&params, &sale->payments);
    tw_param_str(&params, tw_str_of(config->pos_currency));
    tw_param_bool(&params, config->pos_prices_include_tax);
    tw_param_str(&params, tw_str_of(config->pos_time_zone));
    tw_param_i32(&params, (int32_t)(config->pos_business_day_start_ms / 1000));
    return tw_await_db(req, TW_STMT_ORDER_CHECKOUT, &params, tw_sale_recorded);
}

struct tw_verdict tw_order_checkout(struct tw_req *req)
{
    struct tw_sale_record record = {0};
    struct tw_sale *sale = &record.sale;
    struct tw_uuid order_id;
    struct tw_faults faults;
    struct tw_verdict verdict;
    if (!tw_body_parse(req, &checkout_schema, sale, &verdict))
        return verdict;
    if (!tw_path_uuid(req, 0, &order_id))
        return tw_fail(req, TW_NOT_FOUND, "There is no such order.");
    if (!tw_idempotency_key(req, sale->transaction_id.present ? &sale->transaction_id.value : NULL,
                            "Send an Idempotency-Key header, or a transactionId made by the till.",
                            &record.key, &verdict))
        return verdict;
    if (!tw_sale_check(req, &record, &faults))
        return tw_fail_faults(req, &faults);
    set_fingerprint(&order_id, &record);
    return order_checkout_2_record(req, &order_id, &record);
}
