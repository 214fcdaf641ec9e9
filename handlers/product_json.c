// SPDX-License-Identifier: Apache-2.0
#include "handlers/product_json.h"

#include "handlers/etag.h"

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

void tw_json_product(struct tw_json *json, const struct tw_config *config,
                     const struct tw_rows *rows, int row, int first)
{
    struct tw_uuid id = tw_row_uuid(rows, row, first + TW_PRODUCT_ID);
    tw_json_object(json);
    tw_json_key(json, TW_STR("productId"));
    tw_json_uuid(json, &id);
    TW_JSON_STR(json, "name", tw_row_str(rows, row, first + TW_PRODUCT_NAME));
    tw_json_key(json, TW_STR("price"));
    tw_json_decimal(json, tw_row_i64(rows, row, first + TW_PRODUCT_PRICE),
                    config->pos_currency_decimals);
    put_text(json, TW_STR("description"), rows, row, first + TW_PRODUCT_DESCRIPTION);
    put_text(json, TW_STR("category"), rows, row, first + TW_PRODUCT_CATEGORY);
    put_text(json, TW_STR("image"), rows, row, first + TW_PRODUCT_IMAGE);
    put_text(json, TW_STR("sku"), rows, row, first + TW_PRODUCT_SKU);
    put_text(json, TW_STR("barcode"), rows, row, first + TW_PRODUCT_BARCODE);
    tw_json_key(json, TW_STR("taxRate"));
    tw_json_decimal_short(json, tw_row_i32(rows, row, first + TW_PRODUCT_TAX_RATE), 6);
    tw_json_key(json, TW_STR("createdAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, first + TW_PRODUCT_CREATED_AT));
    tw_json_key(json, TW_STR("updatedAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, first + TW_PRODUCT_UPDATED_AT));
    TW_JSON_I64(json, "version", tw_row_i64(rows, row, first + TW_PRODUCT_VERSION));
    tw_json_object_end(json);
}

struct tw_str tw_product_etag(struct tw_req *req, const struct tw_rows *rows, int row, int first)
{
    return tw_etag_of_version(req, tw_row_i64(rows, row, first + TW_PRODUCT_VERSION));
}
