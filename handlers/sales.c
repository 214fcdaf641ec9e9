// SPDX-License-Identifier: Apache-2.0
// sales: POST /v1/transactions: a basket becomes a recorded sale in one call of record_sales.
//
// The key that makes it safe to repeat is the Idempotency-Key header, else the till-made
// transactionId. What the key stands for is a fingerprint of the sale as parsed, so that white
// space or the order of fields does not turn a repetition into another sale. Runs in: worker.
#include <openssl/sha.h>

#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/idempotency.h"
#include "handlers/money.h"
#include "handlers/params.h"
#include "handlers/schema.h"
#include "handlers/transaction_json.h"

#define ITEMS_MAX    500
#define PAYMENTS_MAX 20

#define DEFAULT_REGISTER "1"

struct item {
    struct tw_optional_uuid product_id;
    struct tw_number quantity, discount;
};

struct payment {
    struct tw_str method, reference;
    struct tw_number amount;
};

struct sale {
    struct tw_optional_uuid transaction_id;
    struct tw_str timestamp, register_id, store_id, payment_method;
    struct tw_list items, payments;
    struct tw_number total;
};

#define FIELD(of, json_name, field, kind, is_required, least, most, ...)                  \
    {                                                                                     \
        .name = json_name, .type = TW_FIELD_##kind, .offset = offsetof(struct of, field), \
        .required = is_required, .min = least, .max = most, __VA_ARGS__                   \
    }
#define READ_ONLY(json_name)                          \
    {                                                 \
        .name = json_name, .type = TW_FIELD_READ_ONLY \
    }

static const struct tw_field item_fields[] = {
    FIELD(item, "productId", product_id, UUID, true, 0, 0),
    FIELD(item, "quantity", quantity, QUANTITY, true, 1, INT64_C(1000000000)),
    FIELD(item, "discount", discount, MONEY, false, 0, TW_DECIMAL_MAX),
    READ_ONLY("name"),
    READ_ONLY("unitPrice"),
    READ_ONLY("taxRate"),
    READ_ONLY("tax"),
    READ_ONLY("lineTotal"),
};
static const struct tw_schema item_schema = {item_fields, TW_COUNT(item_fields),
                                             sizeof(struct item)};

static const struct tw_field payment_fields[] = {
    FIELD(payment, "method", method, TOKEN, true, 1, 32),
    FIELD(payment, "amount", amount, MONEY, true, 0, TW_DECIMAL_MAX),
    FIELD(payment, "reference", reference, TEXT, false, 1, 200),
};
static const struct tw_schema payment_schema = {payment_fields, TW_COUNT(payment_fields),
                                                sizeof(struct payment)};

static const struct tw_field sale_fields[] = {
    FIELD(sale, "transactionId", transaction_id, UUID, false, 0, 0),
    FIELD(sale, "timestamp", timestamp, TEXT, false, 20, 30),
    FIELD(sale, "items", items, LIST, true, 1, ITEMS_MAX, .element = &item_schema),
    FIELD(sale, "payments", payments, LIST, false, 1, PAYMENTS_MAX, .element = &payment_schema),
    FIELD(sale, "paymentMethod", payment_method, TOKEN, false, 1, 32),
    FIELD(sale, "registerId", register_id, TOKEN, false, 1, 64),
    FIELD(sale, "storeId", store_id, TOKEN, false, 1, 64),
    FIELD(sale, "total", total, MONEY, false, 0, TW_DECIMAL_MAX),
    READ_ONLY("date"),
    READ_ONLY("subtotal"),
    READ_ONLY("discountTotal"),
    READ_ONLY("taxTotal"),
    READ_ONLY("currency"),
    READ_ONLY("cashierId"),
    READ_ONLY("change"),
    READ_ONLY("status"),
    READ_ONLY("receiptNumber"),
};
static const struct tw_schema sale_schema = {sale_fields, TW_COUNT(sale_fields),
                                             sizeof(struct sale)};

// ---- the answer ---------------------------------------------------------------------------------

// Columns of record_sales; those of the transaction follow.
enum { COL_INDEX, COL_VERDICT, COL_REFUSED_LINE, COL_TRANSACTION };

static struct tw_verdict reply_sale(struct tw_req *req, const struct tw_rows *rows, bool replayed)
{
    struct tw_uuid id = tw_row_uuid(rows, 0, COL_TRANSACTION);
    char location[17 + TW_UUID_TEXT_LEN];
    memcpy(location, "/v1/transactions/", 17);
    tw_uuid_format(&id, location + 17);
    tw_reply_header(req, TW_STR("location"), (struct tw_str){location, sizeof(location)});
    if (replayed)
        tw_reply_header(req, TW_STR("idempotency-replayed"), TW_STR("true"));
    tw_metric_add(req->page, replayed ? TW_METRIC_SALES_REPLAYED : TW_METRIC_SALES_RECORDED, 1);
    struct tw_json json = tw_reply_body(req);
    tw_json_transaction(&json, req->config, rows, 0, COL_TRANSACTION);
    return tw_reply_json(req, 201, &json);
}

static const char *refusal_detail(enum tw_status status)
{
    switch (status) {
    case TW_IDEMPOTENCY_MISMATCH:
        return "This key belongs to another sale. Send the same sale again, or a new key.";
    case TW_UNKNOWN_PRODUCT:
        return "A line names a product that is not in the catalogue.";
    case TW_INSUFFICIENT_STOCK:
        return "A line asks for more than the store has.";
    case TW_TOTAL_MISMATCH:
        return "The total that was sent differs from the catalogue's.";
    case TW_PAYMENT_MISMATCH:
        return "Payments must cover the total; only cash may exceed it.";
    case TW_DISCOUNT_TOO_LARGE:
        return "A line's discount is larger than its price.";
    default:
        return NULL;
    }
}

static struct tw_verdict fail_sale(struct tw_req *req, const struct tw_rows *rows)
{
    enum tw_status status = tw_status_by_code(tw_row_str(rows, 0, COL_VERDICT));
    tw_metric_add(req->page, TW_METRIC_SALES_REFUSED, 1);
    if (tw_row_is_null(rows, 0, COL_REFUSED_LINE))
        return tw_fail(req, status, refusal_detail(status));
    char pointer[24];
    int n = snprintf(pointer, sizeof(pointer), "/items/%d", tw_row_i32(rows, 0, COL_REFUSED_LINE));
    struct tw_problem_error error = {.pointer = {pointer, (size_t)n},
                                     .code = tw_status_info(status)->code,
                                     .detail = tw_str_of(tw_status_info(status)->title)};
    return tw_fail_errors(req, status, refusal_detail(status), &error, 1);
}

static struct tw_verdict sale_create_3_recorded(struct tw_req *req,
                                                const struct tw_db_result *result)
{
    if (result->status == TW_ALREADY_EXISTS) // two keys for one till-made id, at the same moment
        return tw_fail(req, TW_OVERLOADED, "This transactionId is being recorded. Send it again.");
    if (tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    struct tw_str verdict = tw_row_str(result->rows, 0, COL_VERDICT);
    if (tw_str_eq(verdict, TW_STR("recorded")))
        return reply_sale(req, result->rows, false);
    if (tw_str_eq(verdict, TW_STR("replayed")))
        return reply_sale(req, result->rows, true);
    return fail_sale(req, result->rows);
}

// ---- the call -----------------------------------------------------------------------------------

// One sale as record_sales wants it; the rest is in the request.
struct recorded {
    const struct sale *sale;
    struct tw_uuid transaction_id;
    struct tw_str key, store_id, register_id;
    bool has_sold_at;
    int64_t sold_at_unix_ms;
    unsigned char fingerprint[SHA256_DIGEST_LENGTH];
};

// What the idempotency key stands for: the sale as understood, written in one canonical way.
static void fingerprint(struct tw_req *req, struct recorded *recorded)
{
    const struct sale *sale = recorded->sale;
    const struct item *items = sale->items.items;
    const struct payment *payments = sale->payments.items;
    struct tw_json text = tw_reply_body(req);
    tw_json_array(&text);
    tw_json_str(&text, TW_STR("POST /v1/transactions"));
    tw_json_str(&text, recorded->store_id);
    tw_json_str(&text, recorded->register_id);
    tw_json_str(&text, sale->payment_method);
    tw_json_i64(&text, recorded->has_sold_at ? recorded->sold_at_unix_ms : -1);
    tw_json_i64(&text, sale->total.present ? sale->total.value : -1);
    if (sale->transaction_id.present)
        tw_json_uuid(&text, &sale->transaction_id.value);
    for (size_t i = 0; i < sale->items.n; i++) {
        tw_json_uuid(&text, &items[i].product_id.value);
        tw_json_i64(&text, items[i].quantity.value);
        tw_json_i64(&text, items[i].discount.value);
    }
    for (size_t i = 0; i < sale->payments.n; i++) {
        tw_json_str(&text, payments[i].method);
        tw_json_i64(&text, payments[i].amount.value);
        tw_json_str(&text, payments[i].reference);
    }
    tw_json_array_end(&text);
    SHA256((const unsigned char *)text.p, text.n, recorded->fingerprint);
}

static void param_str_array_of_one(struct tw_params *params, struct tw_str value)
{
    tw_param_array(params, TW_ARRAY_TEXT, 1);
    tw_param_optional(params, value);
    tw_param_array_end(params);
}

// $1 to $10: one element each, as this is a batch of one.
static void put_header_params(struct tw_params *params, const struct tw_req *req,
                              const struct recorded *recorded)
{
    const struct sale *sale = recorded->sale;
    tw_param_array(params, TW_ARRAY_UUID, 1);
    tw_param_uuid(params, &recorded->transaction_id);
    tw_param_array_end(params);
    param_str_array_of_one(params, req->principal->subject);
    param_str_array_of_one(params, recorded->key);
    tw_param_array(params, TW_ARRAY_BYTEA, 1);
    tw_param_str(params, (struct tw_str){(const char *)recorded->fingerprint,
                                         sizeof(recorded->fingerprint)});
    tw_param_array_end(params);
    param_str_array_of_one(params, recorded->store_id);
    param_str_array_of_one(params, recorded->register_id);
    param_str_array_of_one(params, req->principal->subject);
    tw_param_array(params, TW_ARRAY_TIME, 1);
    if (recorded->has_sold_at)
        tw_param_time(params, recorded->sold_at_unix_ms);
    else
        tw_param_null(params);
    tw_param_array_end(params);
    param_str_array_of_one(params, sale->payment_method);
    tw_param_array(params, TW_ARRAY_I64, 1);
    if (sale->total.present)
        tw_param_i64(params, sale->total.value);
    else
        tw_param_null(params);
    tw_param_array_end(params);
}

// $11 to $14
static void put_item_params(struct tw_params *params, const struct tw_list *list)
{
    const struct item *items = list->items;
    tw_param_array(params, TW_ARRAY_I32, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_i32(params, 1);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_UUID, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_uuid(params, &items[i].product_id.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I64, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_i64(params, items[i].quantity.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I64, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_i64(params, items[i].discount.value);
    tw_param_array_end(params);
}

// $15 to $18
static void put_payment_params(struct tw_params *params, const struct tw_list *list)
{
    const struct payment *payments = list->items;
    tw_param_array(params, TW_ARRAY_I32, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_i32(params, 1);
    tw_param_array_end(params);
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

static struct tw_verdict sale_create_2_record(struct tw_req *req, const struct recorded *recorded)
{
    const struct tw_config *config = req->config;
    char buffer[2048];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    put_header_params(&params, req, recorded);
    put_item_params(&params, &recorded->sale->items);
    put_payment_params(&params, &recorded->sale->payments);
    tw_param_str(&params, tw_str_of(config->pos_currency));
    tw_param_bool(&params, config->pos_prices_include_tax);
    tw_param_str(&params, tw_str_of(config->pos_time_zone));
    tw_param_i32(&params, (int32_t)(config->pos_business_day_start_ms / 1000));
    return tw_await_db(req, TW_STMT_RECORD_SALES, &params, sale_create_3_recorded);
}

// ---- the request --------------------------------------------------------------------------------

static struct tw_verdict fail_field(struct tw_req *req, struct tw_str pointer, const char *code,
                                    const char *detail)
{
    struct tw_problem_error error = {pointer, code, tw_str_of(detail)};
    return tw_fail_errors(req, TW_VALIDATION_FAILED, "See errors.", &error, 1);
}

struct tw_verdict tw_sale_create(struct tw_req *req)
{
    struct sale sale;
    struct tw_verdict verdict;
    if (!tw_body_parse(req, &sale_schema, &sale, &verdict))
        return verdict;
    struct recorded recorded = {
        .sale = &sale,
        .store_id = sale.store_id.p ? sale.store_id : req->store,
        .register_id = sale.register_id.p ? sale.register_id : TW_STR(DEFAULT_REGISTER),
        .has_sold_at = sale.timestamp.p != NULL,
    };
    if (!tw_idempotency_key(req, sale.transaction_id.present ? &sale.transaction_id.value : NULL,
                            "Send an Idempotency-Key header, or a transactionId made by the till.",
                            &recorded.key, &verdict))
        return verdict;
    if (recorded.has_sold_at && !tw_time_parse(sale.timestamp, &recorded.sold_at_unix_ms))
        return fail_field(req, TW_STR("/timestamp"), "format", "Must be an ISO 8601 time in UTC.");
    if (!sale.payment_method.p && sale.payments.n == 0)
        return fail_field(req, TW_STR("/paymentMethod"), "required", "Must be given.");
    struct tw_str scope = tw_req_store_scope(req);
    if (scope.p && !tw_str_eq(scope, recorded.store_id))
        return tw_fail(req, TW_FORBIDDEN, "The principal may not sell in that store.");
    recorded.transaction_id = sale.transaction_id.present ? sale.transaction_id.value
                                                          : tw_uuid_v7(req->received_unix_ms);
    fingerprint(req, &recorded);
    return sale_create_2_record(req, &recorded);
}
