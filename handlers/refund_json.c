// SPDX-License-Identifier: Apache-2.0
#include "handlers/refund_json.h"

#include "handlers/money.h"

enum {
    COL_ID,
    COL_TRANSACTION,
    COL_KIND,
    COL_RECORDED_AT,
    COL_DATE,
    COL_STORE,
    COL_REGISTER,
    COL_CASHIER,
    COL_REASON,
    COL_CURRENCY,
    COL_TAX_TOTAL,
    COL_TOTAL,
    COL_PAYMENT_METHOD,
    COL_RECEIPT,
    COL_ITEM_LINES,
    COL_ITEM_PRODUCTS,
    COL_ITEM_NAMES,
    COL_ITEM_QUANTITIES,
    COL_ITEM_TAXES,
    COL_ITEM_TOTALS,
    COL_ITEM_RESTOCKED,
};

static void put_money(struct tw_json *json, struct tw_str key, int64_t minor, unsigned decimals)
{
    tw_json_key(json, key);
    tw_json_decimal(json, minor, decimals);
}

static void put_uuid(struct tw_json *json, struct tw_str key, struct tw_uuid id)
{
    tw_json_key(json, key);
    tw_json_uuid(json, &id);
}

static void put_items(struct tw_json *json, const struct tw_rows *rows, int row, int first,
                      unsigned decimals)
{
    struct tw_array lines = tw_row_array(rows, row, first + COL_ITEM_LINES);
    struct tw_array products = tw_row_array(rows, row, first + COL_ITEM_PRODUCTS);
    struct tw_array names = tw_row_array(rows, row, first + COL_ITEM_NAMES);
    struct tw_array quantities = tw_row_array(rows, row, first + COL_ITEM_QUANTITIES);
    struct tw_array taxes = tw_row_array(rows, row, first + COL_ITEM_TAXES);
    struct tw_array totals = tw_row_array(rows, row, first + COL_ITEM_TOTALS);
    struct tw_array restocked = tw_row_array(rows, row, first + COL_ITEM_RESTOCKED);
    tw_json_key(json, TW_STR("items"));
    tw_json_array(json);
    while (lines.left > 0) {
        tw_json_object(json);
        TW_JSON_I64(json, "line", tw_array_next_i32(&lines) - 1);
        put_uuid(json, TW_STR("productId"), tw_array_next_uuid(&products));
        TW_JSON_STR(json, "name", tw_array_next_str(&names));
        tw_json_key(json, TW_STR("quantity"));
        tw_json_decimal_short(json, tw_array_next_i64(&quantities), 3);
        put_money(json, TW_STR("tax"), tw_array_next_i64(&taxes), decimals);
        put_money(json, TW_STR("lineTotal"), tw_array_next_i64(&totals), decimals);
        struct tw_str flag = tw_array_next_str(&restocked); // one byte, 0 or 1
        tw_json_key(json, TW_STR("restock"));
        tw_json_bool(json, flag.n == 1 && flag.p[0] != 0);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static void put_date(struct tw_json *json, int32_t unix_day)
{
    char text[TW_ISO8601_LEN];
    tw_iso8601_utc((int64_t)unix_day * 86400000, text);
    TW_JSON_STR(json, "date", ((struct tw_str){text, sizeof("YYYY-MM-DD") - 1}));
}

void tw_json_refund(struct tw_json *json, const struct tw_config *config,
                    const struct tw_rows *rows, int row, int first)
{
    struct tw_str currency = tw_row_str(rows, row, first + COL_CURRENCY);
    unsigned decimals = tw_money_decimals(config, currency);
    struct tw_str reason = tw_row_str(rows, row, first + COL_REASON);
    tw_json_object(json);
    put_uuid(json, TW_STR("refundId"), tw_row_uuid(rows, row, first + COL_ID));
    put_uuid(json, TW_STR("transactionId"), tw_row_uuid(rows, row, first + COL_TRANSACTION));
    TW_JSON_STR(json, "kind", tw_row_str(rows, row, first + COL_KIND));
    tw_json_key(json, TW_STR("timestamp"));
    tw_json_time(json, tw_row_unix_ms(rows, row, first + COL_RECORDED_AT));
    put_date(json, tw_row_unix_day(rows, row, first + COL_DATE));
    put_items(json, rows, row, first, decimals);
    put_money(json, TW_STR("taxTotal"), tw_row_i64(rows, row, first + COL_TAX_TOTAL), decimals);
    put_money(json, TW_STR("total"), tw_row_i64(rows, row, first + COL_TOTAL), decimals);
    TW_JSON_STR(json, "currency", currency);
    TW_JSON_STR(json, "paymentMethod", tw_row_str(rows, row, first + COL_PAYMENT_METHOD));
    TW_JSON_STR(json, "cashierId", tw_row_str(rows, row, first + COL_CASHIER));
    TW_JSON_STR(json, "storeId", tw_row_str(rows, row, first + COL_STORE));
    TW_JSON_STR(json, "registerId", tw_row_str(rows, row, first + COL_REGISTER));
    tw_json_key(json, TW_STR("reason"));
    if (reason.p)
        tw_json_str(json, reason);
    else
        tw_json_null(json);
    TW_JSON_I64(json, "receiptNumber", tw_row_i64(rows, row, first + COL_RECEIPT));
    tw_json_object_end(json);
}

struct tw_sales_event tw_refund_given(const struct tw_rows *rows, int row, int first)
{
    bool is_void = tw_str_eq(tw_row_str(rows, row, first + COL_KIND), TW_STR("void"));
    return (struct tw_sales_event){
        .kind = is_void ? TW_SALES_VOID : TW_SALES_REFUND,
        .store = tw_row_str(rows, row, first + COL_STORE),
        .currency = tw_row_str(rows, row, first + COL_CURRENCY),
        .payment_method = tw_row_str(rows, row, first + COL_PAYMENT_METHOD),
        .total_minor = tw_row_i64(rows, row, first + COL_TOTAL),
    };
}
