// SPDX-License-Identifier: Apache-2.0
#include "handlers/order_json.h"

#include "handlers/money.h"

enum {
    COL_ID,
    COL_STORE,
    COL_USER,
    COL_CUSTOMER,
    COL_STATUS,
    COL_PARKED,
    COL_LABEL,
    COL_NOTE,
    COL_DISCOUNT,
    COL_VERSION,
    COL_TRANSACTION,
    COL_CREATED_AT,
    COL_UPDATED_AT,
    COL_ITEM_PRODUCTS,
    COL_ITEM_NAMES,
    COL_ITEM_QUANTITIES,
    COL_ITEM_DISCOUNTS,
    COL_ITEM_PRICES,
    COL_ITEM_TAX_RATES,
    COL_ITEM_TAXES,
    COL_ITEM_TOTALS,
    COL_SUBTOTAL,
    COL_DISCOUNT_TOTAL,
    COL_TAX_TOTAL,
    COL_TOTAL,
    COL_CURRENCY, // of the sale; NULL: not paid
};

struct tw_uuid tw_order_id(const struct tw_rows *rows, int row, int first)
{
    return tw_row_uuid(rows, row, first + COL_ID);
}

int64_t tw_order_version(const struct tw_rows *rows, int row, int first)
{
    return tw_row_i64(rows, row, first + COL_VERSION);
}

static void put_text(struct tw_json *json, struct tw_str key, struct tw_str value)
{
    tw_json_key(json, key);
    if (value.p)
        tw_json_str(json, value);
    else
        tw_json_null(json);
}

static void put_uuid(struct tw_json *json, struct tw_str key, const struct tw_rows *rows, int row,
                     int column)
{
    struct tw_uuid id = tw_row_uuid(rows, row, column);
    tw_json_key(json, key);
    if (tw_row_is_null(rows, row, column))
        tw_json_null(json);
    else
        tw_json_uuid(json, &id);
}

static void put_money(struct tw_json *json, struct tw_str key, const struct tw_rows *rows, int row,
                      int column, unsigned decimals)
{
    tw_json_key(json, key);
    if (tw_row_is_null(rows, row, column))
        tw_json_null(json);
    else
        tw_json_decimal(json, tw_row_i64(rows, row, column), decimals);
}

static bool is_next_null(struct tw_array array)
{
    struct tw_str element;
    return !tw_array_next(&array, &element) || !element.p;
}

// The next element of an array of int8 that may be NULL.
static void put_next(struct tw_json *json, struct tw_str key, struct tw_array *array,
                     unsigned decimals)
{
    bool is_null = is_next_null(*array);
    int64_t value = tw_array_next_i64(array);
    tw_json_key(json, key);
    if (is_null)
        tw_json_null(json);
    else
        tw_json_decimal(json, value, decimals);
}

static void put_tax_rate(struct tw_json *json, struct tw_array *rates)
{
    bool is_null = is_next_null(*rates);
    int32_t rate = tw_array_next_i32(rates);
    tw_json_key(json, TW_STR("taxRate"));
    if (is_null)
        tw_json_null(json);
    else
        tw_json_decimal_short(json, rate, 6);
}

static void put_items(struct tw_json *json, const struct tw_rows *rows, int row, int first,
                      unsigned decimals)
{
    struct tw_array products = tw_row_array(rows, row, first + COL_ITEM_PRODUCTS);
    struct tw_array names = tw_row_array(rows, row, first + COL_ITEM_NAMES);
    struct tw_array quantities = tw_row_array(rows, row, first + COL_ITEM_QUANTITIES);
    struct tw_array discounts = tw_row_array(rows, row, first + COL_ITEM_DISCOUNTS);
    struct tw_array prices = tw_row_array(rows, row, first + COL_ITEM_PRICES);
    struct tw_array rates = tw_row_array(rows, row, first + COL_ITEM_TAX_RATES);
    struct tw_array taxes = tw_row_array(rows, row, first + COL_ITEM_TAXES);
    struct tw_array totals = tw_row_array(rows, row, first + COL_ITEM_TOTALS);
    tw_json_key(json, TW_STR("items"));
    tw_json_array(json);
    while (products.left > 0) {
        struct tw_uuid product = tw_array_next_uuid(&products);
        tw_json_object(json);
        tw_json_key(json, TW_STR("productId"));
        tw_json_uuid(json, &product);
        TW_JSON_STR(json, "name", tw_array_next_str(&names));
        tw_json_key(json, TW_STR("quantity"));
        tw_json_decimal_short(json, tw_array_next_i64(&quantities), 3);
        put_next(json, TW_STR("unitPrice"), &prices, decimals);
        put_next(json, TW_STR("discount"), &discounts, decimals);
        put_tax_rate(json, &rates);
        put_next(json, TW_STR("tax"), &taxes, decimals);
        put_next(json, TW_STR("lineTotal"), &totals, decimals);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

void tw_json_order(struct tw_json *json, const struct tw_config *config, const struct tw_rows *rows,
                   int row, int first)
{
    struct tw_str currency = tw_row_str(rows, row, first + COL_CURRENCY);
    unsigned decimals = tw_money_decimals(config, currency);
    tw_json_object(json);
    put_uuid(json, TW_STR("orderId"), rows, row, first + COL_ID);
    TW_JSON_STR(json, "storeId", tw_row_str(rows, row, first + COL_STORE));
    TW_JSON_STR(json, "userId", tw_row_str(rows, row, first + COL_USER));
    put_uuid(json, TW_STR("customerId"), rows, row, first + COL_CUSTOMER);
    TW_JSON_STR(json, "status", tw_row_str(rows, row, first + COL_STATUS));
    tw_json_key(json, TW_STR("parked"));
    tw_json_bool(json, tw_row_bool(rows, row, first + COL_PARKED));
    put_text(json, TW_STR("label"), tw_row_str(rows, row, first + COL_LABEL));
    put_text(json, TW_STR("note"), tw_row_str(rows, row, first + COL_NOTE));
    put_items(json, rows, row, first, decimals);
    put_money(json, TW_STR("discount"), rows, row, first + COL_DISCOUNT, decimals);
    put_money(json, TW_STR("subtotal"), rows, row, first + COL_SUBTOTAL, decimals);
    put_money(json, TW_STR("discountTotal"), rows, row, first + COL_DISCOUNT_TOTAL, decimals);
    put_money(json, TW_STR("taxTotal"), rows, row, first + COL_TAX_TOTAL, decimals);
    put_money(json, TW_STR("total"), rows, row, first + COL_TOTAL, decimals);
    TW_JSON_STR(json, "currency", currency.p ? currency : tw_str_of(config->pos_currency));
    put_uuid(json, TW_STR("transactionId"), rows, row, first + COL_TRANSACTION);
    tw_json_key(json, TW_STR("createdAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, first + COL_CREATED_AT));
    tw_json_key(json, TW_STR("updatedAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, first + COL_UPDATED_AT));
    TW_JSON_I64(json, "version", tw_order_version(rows, row, first));
    tw_json_object_end(json);
}
