// SPDX-License-Identifier: Apache-2.0
// products: the catalogue: read one, list, add. Runs in: worker.
#include "gateway/json_out.h"
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/money.h"
#include "handlers/page.h"
#include "handlers/params.h"
#include "handlers/schema.h"

// Result columns of product_get, product_list and product_create.
enum {
    COL_ID,
    COL_NAME,
    COL_PRICE,
    COL_DESCRIPTION,
    COL_CATEGORY,
    COL_IMAGE,
    COL_SKU,
    COL_BARCODE,
    COL_TAX_RATE,
    COL_CREATED_AT,
    COL_UPDATED_AT,
    COL_VERSION,
};

static void put_text(struct tw_json *json, struct tw_str key, const struct tw_rows *rows, int row,
                     int column)
{
    struct tw_str value = tw_row_str(rows, row, column);
    tw_json_key(json, key);
    if (value.p)
        tw_json_str(json, value);
    else
        tw_json_null(json);
}

static void put_product(const struct tw_req *req, struct tw_json *json, const struct tw_rows *rows,
                        int row)
{
    struct tw_uuid id = tw_row_uuid(rows, row, COL_ID);
    tw_json_object(json);
    tw_json_key(json, TW_STR("productId"));
    tw_json_uuid(json, &id);
    TW_JSON_STR(json, "name", tw_row_str(rows, row, COL_NAME));
    tw_json_key(json, TW_STR("price"));
    tw_json_decimal(json, tw_row_i64(rows, row, COL_PRICE), req->config->pos_currency_decimals);
    put_text(json, TW_STR("description"), rows, row, COL_DESCRIPTION);
    put_text(json, TW_STR("category"), rows, row, COL_CATEGORY);
    put_text(json, TW_STR("image"), rows, row, COL_IMAGE);
    put_text(json, TW_STR("sku"), rows, row, COL_SKU);
    put_text(json, TW_STR("barcode"), rows, row, COL_BARCODE);
    tw_json_key(json, TW_STR("taxRate"));
    tw_json_decimal_short(json, tw_row_i32(rows, row, COL_TAX_RATE), 6);
    tw_json_key(json, TW_STR("createdAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, COL_CREATED_AT));
    tw_json_key(json, TW_STR("updatedAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, COL_UPDATED_AT));
    TW_JSON_I64(json, "version", tw_row_i64(rows, row, COL_VERSION));
    tw_json_object_end(json);
}

// A strong validator: the version counts every change of the row (RFC 9110 §8.8.3).
static struct tw_str etag_of(struct tw_req *req, const struct tw_rows *rows)
{
    struct tw_json text = tw_json_fixed(tw_req_alloc(req, 32), 32);
    tw_json_i64(&text, tw_row_i64(rows, 0, COL_VERSION));
    char *p = tw_req_alloc(req, text.n + 2);
    p[0] = '"';
    memcpy(p + 1, text.p, text.n);
    p[text.n + 1] = '"';
    return (struct tw_str){p, text.n + 2};
}

// ---- GET /v1/products/{productId} ---------------------------------------------------------------

static struct tw_verdict product_get_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) == 0)
        return tw_fail(req, TW_NOT_FOUND, "There is no such product.");
    if (tw_reply_etag(req, etag_of(req, result->rows)))
        return tw_reply_empty(req, 304);
    struct tw_json json = tw_reply_body(req);
    put_product(req, &json, result->rows, 0);
    return tw_reply_json(req, 200, &json);
}

struct tw_verdict tw_product_get(struct tw_req *req)
{
    struct tw_uuid id;
    char buffer[64];
    struct tw_params params;
    if (!tw_path_uuid(req, 0, &id))
        return tw_fail(req, TW_NOT_FOUND, "There is no such product.");
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid(&params, &id);
    return tw_await_db(req, TW_STMT_PRODUCT_GET, &params, product_get_2_read);
}

// ---- GET /v1/products ---------------------------------------------------------------------------

struct list_state {
    int32_t limit;
};

enum { PARAM_CATEGORY, PARAM_Q, PARAM_UPDATED_SINCE, PARAM_LIMIT, PARAM_AFTER, PARAM_COUNT };

static const struct tw_param_spec list_params[PARAM_COUNT] = {
    [PARAM_CATEGORY] = {"category", 64},          [PARAM_Q] = {"q", 100},
    [PARAM_UPDATED_SINCE] = {"updatedSince", 30}, [PARAM_LIMIT] = {"limit", 3},
    [PARAM_AFTER] = {"after", TW_UUID_TEXT_LEN},
};

// One row more than the page was asked for: it says whether there is a next page.
static struct tw_verdict product_list_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    const struct list_state *state = req->state;
    int n = tw_rows_count(result->rows);
    bool more = n > state->limit;
    struct tw_json json = tw_reply_body(req);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("items"));
    tw_json_array(&json);
    for (int row = 0; row < n && row < state->limit; row++)
        put_product(req, &json, result->rows, row);
    tw_json_array_end(&json);
    struct tw_uuid last = more ? tw_row_uuid(result->rows, state->limit - 1, COL_ID)
                               : (struct tw_uuid){0};
    tw_page_next(req, &json, more ? &last : NULL);
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}

struct tw_verdict tw_product_list(struct tw_req *req)
{
    struct tw_str values[PARAM_COUNT];
    struct tw_verdict verdict;
    if (!tw_query_parse(req, list_params, PARAM_COUNT, values, &verdict))
        return verdict;
    struct list_state *state = req->state = tw_req_alloc(req, sizeof(*state));
    int64_t updated_since_ms = 0;
    struct tw_uuid after;
    if (!tw_list_limit(values[PARAM_LIMIT], &state->limit))
        return tw_fail(req, TW_INVALID_PARAMETER, "limit must be from 1 to 500.");
    if (values[PARAM_UPDATED_SINCE].p &&
        !tw_time_parse(values[PARAM_UPDATED_SINCE], &updated_since_ms))
        return tw_fail(req, TW_INVALID_PARAMETER, "updatedSince must be an ISO 8601 time in UTC.");
    if (values[PARAM_AFTER].p && !tw_uuid_parse(values[PARAM_AFTER], &after))
        return tw_fail(req, TW_INVALID_PARAMETER, "after must be the `next` of the page before.");

    char buffer[512];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_optional(&params, values[PARAM_CATEGORY]);
    tw_param_optional(&params, values[PARAM_Q]);
    if (values[PARAM_UPDATED_SINCE].p)
        tw_param_time(&params, updated_since_ms);
    else
        tw_param_null(&params);
    if (values[PARAM_AFTER].p)
        tw_param_uuid(&params, &after);
    else
        tw_param_null(&params);
    tw_param_i32(&params, state->limit + 1);
    return tw_await_db(req, TW_STMT_PRODUCT_LIST, &params, product_list_2_read);
}

// ---- POST /v1/products --------------------------------------------------------------------------

struct new_product {
    struct tw_str name, description, category, image, sku, barcode;
    struct tw_number price, tax_rate;
};

#define FIELD(json_name, field, kind, is_required, least, most)                                    \
    {                                                                                              \
        .name = json_name, .type = TW_FIELD_##kind, .offset = offsetof(struct new_product, field), \
        .required = is_required, .min = least, .max = most                                         \
    }

static const struct tw_field new_product_fields[] = {
    FIELD("name", name, TEXT, true, 1, 200),
    FIELD("price", price, MONEY, true, 0, TW_DECIMAL_MAX),
    FIELD("description", description, TEXT, false, 0, 4000),
    FIELD("category", category, TEXT, false, 1, 64),
    FIELD("image", image, TEXT, false, 1, 1000),
    FIELD("sku", sku, TEXT, false, 1, 64),
    FIELD("barcode", barcode, TOKEN, false, 1, 64),
    FIELD("taxRate", tax_rate, RATE, false, 0, 1000000),
};

static const struct tw_schema new_product_schema = {
    new_product_fields, TW_COUNT(new_product_fields), sizeof(struct new_product)};

static struct tw_verdict product_create_2_written(struct tw_req *req,
                                                  const struct tw_db_result *result)
{
    if (result->status == TW_ALREADY_EXISTS) {
        bool sku = tw_str_eq(result->constraint, TW_STR("products_sku_key"));
        struct tw_problem_error error = {.pointer = sku ? TW_STR("/sku") : TW_STR("/barcode"),
                                         .code = "already-exists",
                                         .detail = TW_STR("Another product has it.")};
        return tw_fail_errors(req, TW_ALREADY_EXISTS, "Such a product exists.", &error, 1);
    }
    struct tw_uuid id = tw_row_uuid(result->rows, 0, COL_ID);
    char location[13 + TW_UUID_TEXT_LEN];
    memcpy(location, "/v1/products/", 13);
    tw_uuid_format(&id, location + 13);
    tw_reply_header(req, TW_STR("location"), (struct tw_str){location, sizeof(location)});
    tw_reply_header(req, TW_STR("etag"), etag_of(req, result->rows));
    struct tw_json json = tw_reply_body(req);
    put_product(req, &json, result->rows, 0);
    return tw_reply_json(req, 201, &json);
}

struct tw_verdict tw_product_create(struct tw_req *req)
{
    struct new_product product;
    struct tw_verdict verdict;
    if (!tw_body_parse(req, &new_product_schema, &product, &verdict))
        return verdict;
    struct tw_uuid id = tw_uuid_v7(req->received_unix_ms);
    char buffer[1024];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid(&params, &id);
    tw_param_str(&params, product.name);
    tw_param_i64(&params, product.price.value);
    tw_param_optional(&params, product.description);
    tw_param_optional(&params, product.category);
    tw_param_optional(&params, product.image);
    tw_param_optional(&params, product.sku);
    tw_param_optional(&params, product.barcode);
    tw_param_i32(&params, (int32_t)product.tax_rate.value);
    return tw_await_db(req, TW_STMT_PRODUCT_CREATE, &params, product_create_2_written);
}
