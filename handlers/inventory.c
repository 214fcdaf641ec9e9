// SPDX-License-Identifier: Apache-2.0
// inventory: levels of stock, read and set. What moves between levels is in inventory_movements.c,
// what is sold in sales.c. Runs in: worker.
#include "gateway/reply.h"
#include "handlers/etag.h"
#include "handlers/handlers.h"
#include "handlers/page.h"
#include "handlers/params.h"
#include "handlers/schema.h"
#include "handlers/store.h"

#define QUANTITY_MAX INT64_C(1000000000)

// Result columns of inventory_get and inventory_list; inventory_set has the verdict before them.
enum {
    COL_STORE,
    COL_PRODUCT,
    COL_NAME,
    COL_SKU,
    COL_BARCODE,
    COL_STOCK,
    COL_LOW_STOCK_AT,
    COL_UPDATED_AT,
    COL_TAG,
};

static void put_text(struct tw_json *json, struct tw_str key, struct tw_str value)
{
    tw_json_key(json, key);
    if (value.p)
        tw_json_str(json, value);
    else
        tw_json_null(json);
}

static void put_level(struct tw_json *json, const struct tw_rows *rows, int row, int first)
{
    struct tw_uuid product = tw_row_uuid(rows, row, first + COL_PRODUCT);
    int64_t stock = tw_row_i64(rows, row, first + COL_STOCK);
    int64_t low_at = tw_row_i64(rows, row, first + COL_LOW_STOCK_AT);
    bool has_mark = !tw_row_is_null(rows, row, first + COL_LOW_STOCK_AT);
    tw_json_object(json);
    TW_JSON_STR(json, "storeId", tw_row_str(rows, row, first + COL_STORE));
    tw_json_key(json, TW_STR("productId"));
    tw_json_uuid(json, &product);
    TW_JSON_STR(json, "name", tw_row_str(rows, row, first + COL_NAME));
    put_text(json, TW_STR("sku"), tw_row_str(rows, row, first + COL_SKU));
    put_text(json, TW_STR("barcode"), tw_row_str(rows, row, first + COL_BARCODE));
    tw_json_key(json, TW_STR("stock"));
    tw_json_decimal_short(json, stock, 3);
    tw_json_key(json, TW_STR("lowStockAt"));
    if (has_mark)
        tw_json_decimal_short(json, low_at, 3);
    else
        tw_json_null(json);
    tw_json_key(json, TW_STR("low"));
    tw_json_bool(json, has_mark && stock <= low_at);
    tw_json_key(json, TW_STR("updatedAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, first + COL_UPDATED_AT));
    tw_json_object_end(json);
}

static struct tw_verdict fail_unknown(struct tw_req *req)
{
    return tw_fail(req, TW_NOT_FOUND, "There is no such product in this store's inventory.");
}

// ---- GET /v1/inventory/{productId} --------------------------------------------------------------

static const struct tw_param_spec get_params[] = {{"storeId", TW_STORE_MAX}};

static struct tw_verdict inventory_get_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) == 0)
        return fail_unknown(req);
    if (tw_reply_etag(req, tw_etag(req, tw_row_str(result->rows, 0, COL_TAG))))
        return tw_reply_empty(req, 304);
    struct tw_json json = tw_reply_body(req);
    put_level(&json, result->rows, 0, 0);
    return tw_reply_json(req, 200, &json);
}

struct tw_verdict tw_inventory_get(struct tw_req *req)
{
    struct tw_str asked, store;
    struct tw_uuid product;
    struct tw_verdict verdict;
    if (!tw_query_parse(req, get_params, TW_COUNT(get_params), &asked, &verdict) ||
        !tw_store_choose(req, asked, &store, &verdict))
        return verdict;
    if (!tw_path_uuid(req, 0, &product))
        return fail_unknown(req);
    char buffer[256];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, store);
    tw_param_uuid(&params, &product);
    return tw_await_db(req, TW_STMT_INVENTORY_GET, &params, inventory_get_2_read);
}

// ---- GET /v1/inventory --------------------------------------------------------------------------

enum { PARAM_LOW, PARAM_STORE, PARAM_LIMIT, PARAM_AFTER, PARAM_COUNT };

static const struct tw_param_spec list_params[PARAM_COUNT] = {
    [PARAM_LOW] = {"low", 5},
    [PARAM_STORE] = {"storeId", TW_STORE_MAX},
    [PARAM_LIMIT] = {"limit", 3},
    [PARAM_AFTER] = {"after", TW_UUID_TEXT_LEN},
};

struct list_state {
    int32_t limit;
};

static struct tw_verdict inventory_list_2_read(struct tw_req *req,
                                               const struct tw_db_result *result)
{
    const struct list_state *state = req->state;
    int n = tw_rows_count(result->rows);
    struct tw_json json = tw_page_body(req, result->rows);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("items"));
    tw_json_array(&json);
    for (int row = 0; row < n && row < state->limit; row++)
        put_level(&json, result->rows, row, 0);
    tw_json_array_end(&json);
    struct tw_uuid last = {0};
    if (n > state->limit)
        last = tw_row_uuid(result->rows, state->limit - 1, COL_PRODUCT);
    tw_page_next(req, &json, n > state->limit ? &last : NULL);
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}

struct tw_verdict tw_inventory_list(struct tw_req *req)
{
    struct tw_str values[PARAM_COUNT], store;
    struct tw_verdict verdict;
    if (!tw_query_parse(req, list_params, PARAM_COUNT, values, &verdict) ||
        !tw_store_choose(req, values[PARAM_STORE], &store, &verdict))
        return verdict;
    struct list_state *state = req->state = tw_req_alloc(req, sizeof(*state));
    struct tw_uuid after;
    bool low = tw_str_eq(values[PARAM_LOW], TW_STR("true"));
    if (values[PARAM_LOW].p && !low && !tw_str_eq(values[PARAM_LOW], TW_STR("false")))
        return tw_fail(req, TW_INVALID_PARAMETER, "low must be true or false.");
    if (!tw_list_limit(values[PARAM_LIMIT], &state->limit))
        return tw_fail(req, TW_INVALID_PARAMETER, "limit must be from 1 to 500.");
    if (values[PARAM_AFTER].p && !tw_uuid_parse(values[PARAM_AFTER], &after))
        return tw_fail(req, TW_INVALID_PARAMETER, "after must be the `next` of the page before.");
    char buffer[256];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, store);
    tw_param_bool(&params, low);
    if (values[PARAM_AFTER].p)
        tw_param_uuid(&params, &after);
    else
        tw_param_null(&params);
    tw_param_i32(&params, state->limit + 1);
    return tw_await_db(req, TW_STMT_INVENTORY_LIST, &params, inventory_list_2_read);
}

// ---- PUT /v1/inventory/{productId} --------------------------------------------------------------

struct level {
    struct tw_number stock, low_stock_at;
    bool low_stock_at_is_null;
    struct tw_str store_id;
};

static const struct tw_field level_fields[] = {
    TW_FIELD(level, "stock", stock, QUANTITY, false, 0, QUANTITY_MAX),
    TW_FIELD(level, "lowStockAt", low_stock_at, QUANTITY, false, 0, QUANTITY_MAX,
             .null_at = offsetof(struct level, low_stock_at_is_null)),
    TW_FIELD(level, "storeId", store_id, TOKEN, false, 1, TW_STORE_MAX),
    TW_READ_ONLY("productId"),
    TW_READ_ONLY("name"),
    TW_READ_ONLY("sku"),
    TW_READ_ONLY("barcode"),
    TW_READ_ONLY("low"),
    TW_READ_ONLY("updatedAt"),
};
static const struct tw_schema level_schema = {level_fields, TW_COUNT(level_fields),
                                              sizeof(struct level)};

static struct tw_verdict fail_required(struct tw_req *req, struct tw_str pointer,
                                       const char *detail)
{
    struct tw_problem_error error = {pointer, "required", tw_str_of(detail)};
    return tw_fail_errors(req, TW_VALIDATION_FAILED, "See errors.", &error, 1);
}

// Columns of inventory_set.
enum { COL_VERDICT, COL_LEVEL };

static struct tw_verdict inventory_put_2_written(struct tw_req *req,
                                                 const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    struct tw_str verdict = tw_row_str(result->rows, 0, COL_VERDICT);
    bool created = tw_str_eq(verdict, TW_STR("created"));
    if (tw_str_eq(verdict, TW_STR("stock-required")))
        return fail_required(req, TW_STR("/stock"), "Nobody counts this product here yet.");
    if (tw_str_eq(verdict, TW_STR("unknown-product")))
        return fail_unknown(req);
    if (!created && !tw_str_eq(verdict, TW_STR("written")))
        return tw_fail(req, tw_status_by_code(verdict), NULL);
    tw_reply_header(req, TW_STR("etag"),
                    tw_etag(req, tw_row_str(result->rows, 0, COL_LEVEL + COL_TAG)));
    struct tw_json json = tw_reply_body(req);
    put_level(&json, result->rows, 0, COL_LEVEL);
    return tw_reply_json(req, created ? 201 : 200, &json);
}

static void put_number(struct tw_params *params, const struct tw_number *number)
{
    if (number->present)
        tw_param_i64(params, number->value);
    else
        tw_param_null(params);
}

struct tw_verdict tw_inventory_put(struct tw_req *req)
{
    struct level level;
    struct tw_str store;
    struct tw_uuid product;
    struct tw_verdict verdict;
    if (!tw_body_parse(req, &level_schema, &level, &verdict) ||
        !tw_store_choose(req, level.store_id, &store, &verdict))
        return verdict;
    if (!tw_path_uuid(req, 0, &product))
        return fail_unknown(req);
    if (!level.stock.present && !level.low_stock_at.present && !level.low_stock_at_is_null)
        return fail_required(req, TW_STR(""), "Give stock, lowStockAt or both.");
    char buffer[512];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, store);
    tw_param_uuid(&params, &product);
    put_number(&params, &level.stock);
    tw_param_bool(&params, level.low_stock_at.present || level.low_stock_at_is_null);
    put_number(&params, &level.low_stock_at);
    tw_param_optional(&params, tw_if_match(req));
    tw_param_str(&params, req->principal->subject);
    return tw_await_db(req, TW_STMT_INVENTORY_SET, &params, inventory_put_2_written);
}
