// SPDX-License-Identifier: Apache-2.0
#include "handlers/transaction_json.h"

#include "handlers/money.h"

enum {
    COL_ID,
    COL_RECORDED_AT,
    COL_SOLD_AT,
    COL_DATE,
    COL_STORE,
    COL_REGISTER,
    COL_CASHIER,
    COL_CURRENCY,
    COL_PRICES_INCLUDE_TAX,
    COL_SUBTOTAL,
    COL_DISCOUNT_TOTAL,
    COL_TAX_TOTAL,
    COL_TOTAL,
    COL_CHANGE,
    COL_PAYMENT_METHOD,
    COL_STATUS,
    COL_RECEIPT,
    COL_ITEM_PRODUCTS,
    COL_ITEM_NAMES,
    COL_ITEM_QUANTITIES,
    COL_ITEM_PRICES,
    COL_ITEM_DISCOUNTS,
    COL_ITEM_TAX_RATES,
    COL_ITEM_TAXES,
    COL_ITEM_TOTALS,
    COL_PAYMENT_METHODS,
    COL_PAYMENT_AMOUNTS,
    COL_PAYMENT_REFERENCES,
    COL_CUSTOMER,
    COL_BASKET_DISCOUNT,
    COL_OFFLINE,
    COL_STOCK_EXCEPTION,
    COL_ITEM_SHORTAGES,
    COL_PRICE_EXCEPTION,
    COL_AMOUNT_EXCEPTION,
};

static void put_money(struct tw_json *json, struct tw_str key, int64_t minor, unsigned decimals)
{
    tw_json_key(json, key);
    tw_json_decimal(json, minor, decimals);
}

static void put_items(struct tw_json *json, const struct tw_rows *rows, int row, int first,
                      unsigned decimals)
{
    struct tw_array products = tw_row_array(rows, row, first + COL_ITEM_PRODUCTS);
    struct tw_array names = tw_row_array(rows, row, first + COL_ITEM_NAMES);
    struct tw_array quantities = tw_row_array(rows, row, first + COL_ITEM_QUANTITIES);
    struct tw_array prices = tw_row_array(rows, row, first + COL_ITEM_PRICES);
    struct tw_array discounts = tw_row_array(rows, row, first + COL_ITEM_DISCOUNTS);
    struct tw_array rates = tw_row_array(rows, row, first + COL_ITEM_TAX_RATES);
    struct tw_array taxes = tw_row_array(rows, row, first + COL_ITEM_TAXES);
    struct tw_array totals = tw_row_array(rows, row, first + COL_ITEM_TOTALS);
    struct tw_array shortages = tw_row_array(rows, row, first + COL_ITEM_SHORTAGES);
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
        put_money(json, TW_STR("unitPrice"), tw_array_next_i64(&prices), decimals);
        put_money(json, TW_STR("discount"), tw_array_next_i64(&discounts), decimals);
        tw_json_key(json, TW_STR("taxRate"));
        tw_json_decimal_short(json, tw_array_next_i32(&rates), 6);
        put_money(json, TW_STR("tax"), tw_array_next_i64(&taxes), decimals);
        put_money(json, TW_STR("lineTotal"), tw_array_next_i64(&totals), decimals);
        if (shortages.left > 0) { // what the stock lacked; only sales that are exceptions have it
            tw_json_key(json, TW_STR("shortage"));
            tw_json_decimal_short(json, tw_array_next_i64(&shortages), 3);
        }
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static void put_payments(struct tw_json *json, const struct tw_rows *rows, int row, int first,
                         unsigned decimals)
{
    struct tw_array methods = tw_row_array(rows, row, first + COL_PAYMENT_METHODS);
    struct tw_array amounts = tw_row_array(rows, row, first + COL_PAYMENT_AMOUNTS);
    struct tw_array references = tw_row_array(rows, row, first + COL_PAYMENT_REFERENCES);
    tw_json_key(json, TW_STR("payments"));
    tw_json_array(json);
    while (methods.left > 0) {
        tw_json_object(json);
        TW_JSON_STR(json, "method", tw_array_next_str(&methods));
        put_money(json, TW_STR("amount"), tw_array_next_i64(&amounts), decimals);
        struct tw_str reference = tw_array_next_str(&references);
        tw_json_key(json, TW_STR("reference"));
        if (reference.p)
            tw_json_str(json, reference);
        else
            tw_json_null(json);
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

static void put_customer(struct tw_json *json, const struct tw_rows *rows, int row, int first)
{
    struct tw_uuid id = tw_row_uuid(rows, row, first + COL_CUSTOMER);
    tw_json_key(json, TW_STR("customerId"));
    if (tw_row_is_null(rows, row, first + COL_CUSTOMER))
        tw_json_null(json);
    else
        tw_json_uuid(json, &id);
}

void tw_json_transaction_begin(struct tw_json *json, const struct tw_config *config,
                               const struct tw_rows *rows, int row, int first)
{
    struct tw_str currency = tw_row_str(rows, row, first + COL_CURRENCY);
    unsigned decimals = tw_money_decimals(config, currency);
    struct tw_uuid id = tw_row_uuid(rows, row, first + COL_ID);
    tw_json_object(json);
    tw_json_key(json, TW_STR("transactionId"));
    tw_json_uuid(json, &id);
    tw_json_key(json, TW_STR("timestamp"));
    tw_json_time(json, tw_row_unix_ms(rows, row, first + COL_SOLD_AT));
    put_date(json, tw_row_unix_day(rows, row, first + COL_DATE));
    put_items(json, rows, row, first, decimals);
    put_money(json, TW_STR("subtotal"), tw_row_i64(rows, row, first + COL_SUBTOTAL), decimals);
    put_money(json, TW_STR("discount"), tw_row_i64(rows, row, first + COL_BASKET_DISCOUNT),
              decimals);
    put_money(json, TW_STR("discountTotal"), tw_row_i64(rows, row, first + COL_DISCOUNT_TOTAL),
              decimals);
    put_money(json, TW_STR("taxTotal"), tw_row_i64(rows, row, first + COL_TAX_TOTAL), decimals);
    put_money(json, TW_STR("total"), tw_row_i64(rows, row, first + COL_TOTAL), decimals);
    TW_JSON_STR(json, "currency", currency);
    tw_json_key(json, TW_STR("pricesIncludeTax"));
    tw_json_bool(json, tw_row_bool(rows, row, first + COL_PRICES_INCLUDE_TAX));
    TW_JSON_STR(json, "cashierId", tw_row_str(rows, row, first + COL_CASHIER));
    put_customer(json, rows, row, first);
    TW_JSON_STR(json, "storeId", tw_row_str(rows, row, first + COL_STORE));
    TW_JSON_STR(json, "registerId", tw_row_str(rows, row, first + COL_REGISTER));
    TW_JSON_STR(json, "paymentMethod", tw_row_str(rows, row, first + COL_PAYMENT_METHOD));
    put_payments(json, rows, row, first, decimals);
    put_money(json, TW_STR("change"), tw_row_i64(rows, row, first + COL_CHANGE), decimals);
    TW_JSON_STR(json, "status", tw_row_str(rows, row, first + COL_STATUS));
    TW_JSON_I64(json, "receiptNumber", tw_row_i64(rows, row, first + COL_RECEIPT));
    tw_json_key(json, TW_STR("offline"));
    tw_json_bool(json, tw_row_bool(rows, row, first + COL_OFFLINE));
    tw_json_key(json, TW_STR("stockException"));
    tw_json_bool(json, tw_row_bool(rows, row, first + COL_STOCK_EXCEPTION));
    tw_json_key(json, TW_STR("priceException"));
    tw_json_bool(json, tw_row_bool(rows, row, first + COL_PRICE_EXCEPTION));
    tw_json_key(json, TW_STR("amountException"));
    tw_json_bool(json, tw_row_bool(rows, row, first + COL_AMOUNT_EXCEPTION));
    tw_json_key(json, TW_STR("recordedAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, first + COL_RECORDED_AT));
}

bool tw_json_transaction_is_completed(const struct tw_rows *rows, int row, int first)
{
    return tw_str_eq(tw_row_str(rows, row, first + COL_STATUS), TW_STR("completed"));
}

void tw_json_transaction(struct tw_json *json, const struct tw_config *config,
                         const struct tw_rows *rows, int row, int first)
{
    tw_json_transaction_begin(json, config, rows, row, first);
    tw_json_key(json, TW_STR("refunds"));
    tw_json_array(json);
    tw_json_array_end(json);
    tw_json_object_end(json);
}

struct tw_sales_event tw_transaction_sold(const struct tw_rows *rows, int row, int first)
{
    return (struct tw_sales_event){
        .kind = TW_SALES_SALE,
        .store = tw_row_str(rows, row, first + COL_STORE),
        .currency = tw_row_str(rows, row, first + COL_CURRENCY),
        .payment_method = tw_row_str(rows, row, first + COL_PAYMENT_METHOD),
        .total_minor = tw_row_i64(rows, row, first + COL_TOTAL),
    };
}
