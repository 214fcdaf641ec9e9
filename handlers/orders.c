// SPDX-License-Identifier: Apache-2.0
// orders: baskets that wait: opened, read, listed, changed, parked, cancelled. Checking one out is
// in order_checkout.c. Runs in: worker.
#include "gateway/reply.h"
#include "handlers/etag.h"
#include "handlers/handlers.h"
#include "handlers/idempotency.h"
#include "handlers/money.h"
#include "handlers/order_json.h"
#include "handlers/page.h"
#include "handlers/params.h"
#include "handlers/sale.h"
#include "handlers/store.h"

#define USER_MAX  128
#define ITEMS_MAX 500

static struct tw_verdict fail_unknown(struct tw_req *req)
{
    return tw_fail(req, TW_NOT_FOUND, "There is no such order.");
}

static struct tw_verdict reply_order(struct tw_req *req, unsigned http_status,
                                     const struct tw_rows *rows, int first)
{
    tw_reply_header(req, TW_STR("etag"), tw_etag_of_version(req, tw_order_version(rows, 0, first)));
    struct tw_json json = tw_reply_body(req);
    tw_json_order(&json, req->config, rows, 0, first);
    return tw_reply_json(req, http_status, &json);
}

// ---- GET /v1/orders/{orderId} -------------------------------------------------------------------

static struct tw_verdict order_get_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) == 0)
        return fail_unknown(req);
    return reply_order(req, 200, result->rows, 0);
}

struct tw_verdict tw_order_get(struct tw_req *req)
{
    struct tw_uuid id;
    char buffer[256];
    struct tw_params params;
    if (!tw_path_uuid(req, 0, &id))
        return fail_unknown(req);
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid(&params, &id);
    tw_param_optional(&params, tw_req_store_scope(req));
    tw_param_bool(&params, req->config->pos_prices_include_tax);
    return tw_await_db(req, TW_STMT_ORDER_GET, &params, order_get_2_read);
}

// ---- GET /v1/orders -----------------------------------------------------------------------------

enum { PARAM_STATUS, PARAM_USER, PARAM_STORE, PARAM_LIMIT, PARAM_AFTER, PARAM_COUNT };

static const struct tw_param_spec list_params[PARAM_COUNT] = {
    [PARAM_STATUS] = {"status", 16},
    [PARAM_USER] = {"userId", USER_MAX},
    [PARAM_STORE] = {"storeId", TW_STORE_MAX},
    [PARAM_LIMIT] = {"limit", 3},
    [PARAM_AFTER] = {"after", TW_UUID_TEXT_LEN},
};

struct list_state {
    int32_t limit;
};

static struct tw_verdict order_list_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    const struct list_state *state = req->state;
    int n = tw_rows_count(result->rows);
    struct tw_json json = tw_page_body(req, result->rows);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("items"));
    tw_json_array(&json);
    for (int row = 0; row < n && row < state->limit; row++)
        tw_json_order(&json, req->config, result->rows, row, 0);
    tw_json_array_end(&json);
    struct tw_uuid last = {0};
    if (n > state->limit)
        last = tw_order_id(result->rows, state->limit - 1, 0);
    tw_page_next(req, &json, n > state->limit ? &last : NULL);
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}

static bool is_status(struct tw_str text)
{
    return tw_str_eq(text, TW_STR("open")) || tw_str_eq(text, TW_STR("paid")) ||
           tw_str_eq(text, TW_STR("cancelled"));
}

struct tw_verdict tw_order_list(struct tw_req *req)
{
    struct tw_str values[PARAM_COUNT], store;
    struct tw_verdict verdict;
    if (!tw_query_parse(req, list_params, PARAM_COUNT, values, &verdict) ||
        !tw_store_choose(req, values[PARAM_STORE], &store, &verdict))
        return verdict;
    struct list_state *state = req->state = tw_req_alloc(req, sizeof(*state));
    struct tw_uuid after;
    if (values[PARAM_STATUS].p && !is_status(values[PARAM_STATUS]))
        return tw_fail(req, TW_INVALID_PARAMETER, "status must be open, paid or cancelled.");
    if (!tw_list_limit(values[PARAM_LIMIT], &state->limit))
        return tw_fail(req, TW_INVALID_PARAMETER, "limit must be from 1 to 500.");
    if (values[PARAM_AFTER].p && !tw_uuid_parse(values[PARAM_AFTER], &after))
        return tw_fail(req, TW_INVALID_PARAMETER, "after must be the `next` of the page before.");
    char buffer[512];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, store);
    tw_param_optional(&params, values[PARAM_STATUS]);
    tw_param_optional(&params, values[PARAM_USER]);
    if (values[PARAM_AFTER].p)
        tw_param_uuid(&params, &after);
    else
        tw_param_null(&params);
    tw_param_i32(&params, state->limit + 1);
    tw_param_bool(&params, req->config->pos_prices_include_tax);
    return tw_await_db(req, TW_STMT_ORDER_LIST, &params, order_list_2_read);
}

// ---- POST and PATCH -----------------------------------------------------------------------------

struct order {
    struct tw_optional_uuid order_id, customer_id;
    struct tw_str store_id, label, note;
    struct tw_optional_bool parked;
    struct tw_number discount;
    struct tw_list items; // of struct tw_sale_item
    bool customer_is_null, label_is_null, note_is_null, discount_is_null;
};

static const struct tw_field item_fields[] = {
    TW_FIELD(tw_sale_item, "productId", product_id, UUID, true, 0, 0),
    TW_FIELD(tw_sale_item, "quantity", quantity, QUANTITY, true, 1, INT64_C(1000000000)),
    TW_FIELD(tw_sale_item, "discount", discount, MONEY, false, 0, TW_DECIMAL_MAX),
    TW_READ_ONLY("name"),
    TW_READ_ONLY("unitPrice"),
    TW_READ_ONLY("taxRate"),
    TW_READ_ONLY("tax"),
    TW_READ_ONLY("lineTotal"),
};
static const struct tw_schema item_schema = {item_fields, TW_COUNT(item_fields),
                                             sizeof(struct tw_sale_item)};

#define WHAT_IT_COSTS                                                                  \
    TW_READ_ONLY("subtotal"), TW_READ_ONLY("discountTotal"), TW_READ_ONLY("taxTotal"), \
        TW_READ_ONLY("total"), TW_READ_ONLY("currency")

static const struct tw_field new_fields[] = {
    TW_FIELD(order, "orderId", order_id, UUID, false, 0, 0),
    TW_FIELD(order, "storeId", store_id, TOKEN, false, 1, TW_STORE_MAX),
    TW_FIELD(order, "customerId", customer_id, UUID, false, 0, 0),
    TW_FIELD(order, "parked", parked, BOOL, false, 0, 0),
    TW_FIELD(order, "label", label, TEXT, false, 1, 100),
    TW_FIELD(order, "note", note, TEXT, false, 1, 1000),
    TW_FIELD(order, "discount", discount, MONEY, false, 0, TW_DECIMAL_MAX),
    TW_FIELD(order, "items", items, LIST, true, 1, ITEMS_MAX, .element = &item_schema),
    WHAT_IT_COSTS,
};
static const struct tw_schema new_schema = {new_fields, TW_COUNT(new_fields), sizeof(struct order)};

// A merge patch (RFC 7396): null removes, and items are replaced as a whole; an order is never
// without them.
static const struct tw_field patch_fields[] = {
    TW_FIELD(order, "customerId", customer_id, UUID, false, 0, 0,
             .null_at = offsetof(struct order, customer_is_null)),
    TW_FIELD(order, "parked", parked, BOOL, false, 0, 0, .not_null = true),
    TW_FIELD(order, "label", label, TEXT, false, 1, 100,
             .null_at = offsetof(struct order, label_is_null)),
    TW_FIELD(order, "note", note, TEXT, false, 1, 1000,
             .null_at = offsetof(struct order, note_is_null)),
    TW_FIELD(order, "discount", discount, MONEY, false, 0, TW_DECIMAL_MAX,
             .null_at = offsetof(struct order, discount_is_null)),
    TW_FIELD(order, "items", items, LIST, false, 1, ITEMS_MAX, .element = &item_schema,
             .not_null = true),
    WHAT_IT_COSTS,
    TW_READ_ONLY("orderId"),
    TW_READ_ONLY("storeId"),
    TW_READ_ONLY("userId"),
    TW_READ_ONLY("status"),
    TW_READ_ONLY("transactionId"),
    TW_READ_ONLY("createdAt"),
    TW_READ_ONLY("updatedAt"),
    TW_READ_ONLY("version"),
};
static const struct tw_schema patch_schema = {patch_fields, TW_COUNT(patch_fields),
                                              sizeof(struct order)};

// No discount is NULL, as is one of nothing.
static void put_discount(struct tw_params *params, const struct tw_number *discount)
{
    if (discount->value > 0)
        tw_param_i64(params, discount->value);
    else
        tw_param_null(params);
}

static void put_items(struct tw_params *params, const struct tw_list *list)
{
    const struct tw_sale_item *items = list->items;
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

// Columns of order_open, order_patch and order_cancel.
enum { COL_VERDICT, COL_REFUSED_LINE, COL_ORDER };

static struct tw_verdict fail_change(struct tw_req *req, const struct tw_rows *rows)
{
    enum tw_status status = tw_status_by_code(tw_row_str(rows, 0, COL_VERDICT));
    struct tw_problem_error error = {.code = tw_status_info(status)->code,
                                     .detail = tw_str_of(tw_status_info(status)->title)};
    switch (status) {
    case TW_NOT_FOUND:
        return fail_unknown(req);
    case TW_UNKNOWN_PRODUCT:
        error = tw_sale_refused_line(req, status, tw_row_i32(rows, 0, COL_REFUSED_LINE));
        break;
    case TW_UNKNOWN_CUSTOMER:
        error.pointer = TW_STR("/customerId");
        break;
    case TW_ALREADY_EXISTS:
        error.pointer = TW_STR("/orderId");
        break;
    case TW_IDEMPOTENCY_MISMATCH:
        return tw_fail(req, status, TW_KEY_IS_USED);
    default:
        return tw_fail(req, status, "Read the order again.");
    }
    return tw_fail_errors(req, status, tw_sale_refusal_detail(status), &error, 1);
}

static bool is_verdict(const struct tw_rows *rows, struct tw_str verdict)
{
    return tw_str_eq(tw_row_str(rows, 0, COL_VERDICT), verdict);
}

static struct tw_verdict order_open_2_written(struct tw_req *req, const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    bool is_replay = is_verdict(result->rows, TW_STR("replayed"));
    if (!is_replay && !is_verdict(result->rows, TW_STR("opened")))
        return fail_change(req, result->rows);
    if (is_replay)
        tw_reply_header(req, TW_STR("idempotency-replayed"), TW_STR("true"));
    struct tw_uuid id = tw_order_id(result->rows, 0, COL_ORDER);
    char location[11 + TW_UUID_TEXT_LEN];
    memcpy(location, "/v1/orders/", 11);
    tw_uuid_format(&id, location + 11);
    tw_reply_header(req, TW_STR("location"), (struct tw_str){location, sizeof(location)});
    return reply_order(req, 201, result->rows, COL_ORDER);
}

struct tw_verdict tw_order_open(struct tw_req *req)
{
    struct order order;
    struct tw_str store, key;
    struct tw_verdict verdict;
    if (!tw_body_parse(req, &new_schema, &order, &verdict) ||
        !tw_store_choose(req, order.store_id, &store, &verdict) ||
        !tw_idempotency_key_if_any(req, &key, &verdict))
        return verdict;
    char buffer[2048];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid_if(&params, order.order_id.present, &order.order_id.value);
    tw_param_str(&params, store);
    tw_param_str(&params, req->principal->subject);
    tw_param_uuid_if(&params, order.customer_id.present, &order.customer_id.value);
    tw_param_bool(&params, order.parked.value);
    tw_param_optional(&params, order.label);
    tw_param_optional(&params, order.note);
    put_discount(&params, &order.discount);
    put_items(&params, &order.items);
    tw_param_bool(&params, req->config->pos_prices_include_tax);
    tw_param_creation(req, TW_STR("POST /v1/orders"), key, &params);
    return tw_await_db(req, TW_STMT_ORDER_OPEN, &params, order_open_2_written);
}

static struct tw_verdict order_patch_2_written(struct tw_req *req,
                                               const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    if (!is_verdict(result->rows, TW_STR("updated")))
        return fail_change(req, result->rows);
    return reply_order(req, 200, result->rows, COL_ORDER);
}

struct tw_verdict tw_order_patch(struct tw_req *req)
{
    struct order order;
    struct tw_uuid id;
    struct tw_verdict verdict;
    if (!tw_body_parse(req, &patch_schema, &order, &verdict))
        return verdict;
    if (!tw_path_uuid(req, 0, &id))
        return fail_unknown(req);
    char buffer[2048];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid(&params, &id);
    tw_param_optional(&params, tw_req_store_scope(req));
    tw_param_optional(&params, tw_if_match(req));
    if (order.parked.present)
        tw_param_bool(&params, order.parked.value);
    else
        tw_param_null(&params);
    tw_param_bool(&params, order.customer_id.present || order.customer_is_null);
    tw_param_uuid_if(&params, order.customer_id.present, &order.customer_id.value);
    tw_param_bool(&params, order.label.p || order.label_is_null);
    tw_param_optional(&params, order.label);
    tw_param_bool(&params, order.note.p || order.note_is_null);
    tw_param_optional(&params, order.note);
    tw_param_bool(&params, order.discount.present || order.discount_is_null);
    put_discount(&params, &order.discount);
    tw_param_bool(&params, order.items.n > 0);
    put_items(&params, &order.items);
    tw_param_bool(&params, req->config->pos_prices_include_tax);
    tw_param_str(&params, req->principal->subject);
    return tw_await_db(req, TW_STMT_ORDER_PATCH, &params, order_patch_2_written);
}

// ---- POST /v1/orders/{orderId}/cancel -----------------------------------------------------------

static struct tw_verdict order_cancel_2_written(struct tw_req *req,
                                                const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    if (!is_verdict(result->rows, TW_STR("cancelled")))
        return fail_change(req, result->rows);
    return reply_order(req, 200, result->rows, COL_ORDER);
}

struct tw_verdict tw_order_cancel(struct tw_req *req)
{
    struct tw_uuid id;
    char buffer[512];
    struct tw_params params;
    if (!tw_path_uuid(req, 0, &id))
        return fail_unknown(req);
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, req->principal->subject);
    tw_param_uuid(&params, &id);
    tw_param_optional(&params, tw_req_store_scope(req));
    tw_param_optional(&params, tw_if_match(req));
    tw_param_bool(&params, req->config->pos_prices_include_tax);
    return tw_await_db(req, TW_STMT_ORDER_CANCEL, &params, order_cancel_2_written);
}
