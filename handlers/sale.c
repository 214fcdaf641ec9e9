// SPDX-License-Identifier: Apache-2.0
#include "handlers/sale.h"

#include "handlers/money.h"
#include "handlers/params.h"
#include "handlers/store.h"

#define ITEMS_MAX    500
#define PAYMENTS_MAX 20

#define DEFAULT_REGISTER "1"

static const struct tw_field item_fields[] = {
    TW_FIELD(tw_sale_item, "productId", product_id, UUID, true, 0, 0),
    TW_FIELD(tw_sale_item, "quantity", quantity, QUANTITY, true, 1, INT64_C(1000000000)),
    TW_FIELD(tw_sale_item, "discount", discount, MONEY, false, 0, TW_DECIMAL_MAX),
    TW_FIELD(tw_sale_item, "unitPrice", unit_price, MONEY, false, 0, TW_DECIMAL_MAX),
    TW_FIELD(tw_sale_item, "taxRate", tax_rate, RATE, false, 0, 1000000),
    TW_READ_ONLY("name"),
    TW_READ_ONLY("tax"),
    TW_READ_ONLY("lineTotal"),
    TW_READ_ONLY("shortage"),
};
static const struct tw_schema item_schema = {item_fields, TW_COUNT(item_fields),
                                             sizeof(struct tw_sale_item)};

static const struct tw_field payment_fields[] = {
    TW_FIELD(tw_sale_payment, "method", method, TOKEN, true, 1, 32),
    TW_FIELD(tw_sale_payment, "amount", amount, MONEY, true, 0, TW_DECIMAL_MAX),
    TW_FIELD(tw_sale_payment, "reference", reference, TEXT, false, 1, 200),
};
static const struct tw_schema payment_schema = {payment_fields, TW_COUNT(payment_fields),
                                                sizeof(struct tw_sale_payment)};

#define SALE_FIELDS(ID_REQUIRED)                                                              \
    TW_FIELD(tw_sale, "transactionId", transaction_id, UUID, ID_REQUIRED, 0, 0),              \
        TW_FIELD(tw_sale, "timestamp", timestamp, TEXT, false, 20, 30),                       \
        TW_FIELD(tw_sale, "items", items, LIST, true, 1, ITEMS_MAX, .element = &item_schema), \
        TW_FIELD(tw_sale, "payments", payments, LIST, false, 1, PAYMENTS_MAX,                 \
                 .element = &payment_schema),                                                 \
        TW_FIELD(tw_sale, "paymentMethod", payment_method, TOKEN, false, 1, 32),              \
        TW_FIELD(tw_sale, "registerId", register_id, TOKEN, false, 1, 64),                    \
        TW_FIELD(tw_sale, "storeId", store_id, TOKEN, false, 1, TW_STORE_MAX),                \
        TW_FIELD(tw_sale, "cashierId", cashier_id, TEXT, false, 1, 128),                      \
        TW_FIELD(tw_sale, "customerId", customer_id, UUID, false, 0, 0),                      \
        TW_FIELD(tw_sale, "discount", discount, MONEY, false, 0, TW_DECIMAL_MAX),             \
        TW_FIELD(tw_sale, "offline", offline, BOOL, false, 0, 0),                             \
        TW_FIELD(tw_sale, "total", total, MONEY, false, 0, TW_DECIMAL_MAX),                   \
        TW_FIELD(tw_sale, "currency", currency, TOKEN, false, 1, 16),                         \
        TW_FIELD(tw_sale, "pricesIncludeTax", prices_include_tax, BOOL, false, 0, 0),         \
        TW_READ_ONLY("date"), TW_READ_ONLY("subtotal"), TW_READ_ONLY("discountTotal"),        \
        TW_READ_ONLY("taxTotal"), TW_READ_ONLY("change"), TW_READ_ONLY("status"),             \
        TW_READ_ONLY("receiptNumber"), TW_READ_ONLY("stockException"),                        \
        TW_READ_ONLY("priceException"), TW_READ_ONLY("amountException"),                      \
        TW_READ_ONLY("recordedAt"), TW_READ_ONLY("refunds")

static const struct tw_field sale_fields[] = {SALE_FIELDS(false)};
const struct tw_schema tw_sale_schema = {sale_fields, TW_COUNT(sale_fields),
                                         sizeof(struct tw_sale)};

static const struct tw_field batched_sale_fields[] = {SALE_FIELDS(true)};
const struct tw_schema tw_batched_sale_schema = {batched_sale_fields, TW_COUNT(batched_sale_fields),
                                                 sizeof(struct tw_sale)};

// ---- checks -------------------------------------------------------------------------------------

static bool fault_field(struct tw_req *req, struct tw_faults *faults, const char *pointer,
                        const char *code, const char *detail)
{
    struct tw_problem_error *error = tw_req_alloc(req, sizeof(*error));
    *error = (struct tw_problem_error){tw_str_of(pointer), code, tw_str_of(detail)};
    *faults = (struct tw_faults){TW_VALIDATION_FAILED, "See errors.", error, 1};
    return false;
}

static bool forbid(struct tw_faults *faults, const char *detail)
{
    *faults = (struct tw_faults){.status = TW_FORBIDDEN, .detail = detail};
    return false;
}

// The till's clock decides on the business day, so it must be near the truth.
static bool check_time(struct tw_req *req, struct tw_sale_record *record, struct tw_faults *faults)
{
    const struct tw_config *config = req->config;
    int64_t *at = &record->sold_at_unix_ms;
    record->has_sold_at = record->sale.timestamp.p != NULL;
    if (!record->has_sold_at)
        return true;
    if (!tw_time_parse(record->sale.timestamp, at))
        return fault_field(req, faults, "/timestamp", "format", "Must be an ISO 8601 time in UTC.");
    if (*at > req->received_unix_ms + (int64_t)config->pos_clock_leeway_ms)
        return fault_field(req, faults, "/timestamp", "range", "Must not lie in the future.");
    if (config->pos_sale_max_age_ms > 0 &&
        *at < req->received_unix_ms - (int64_t)config->pos_sale_max_age_ms)
        return fault_field(req, faults, "/timestamp", "range", "Lies too far back.");
    return true;
}

// What a line costs is the till's word only for what has left the shop.
static struct tw_number till_price(const struct tw_sale_record *record, size_t item)
{
    const struct tw_sale_item *items = record->sale.items.items;
    return record->is_offline ? items[item].unit_price : (struct tw_number){0};
}

static struct tw_number till_tax_rate(const struct tw_sale_record *record, size_t item)
{
    const struct tw_sale_item *items = record->sale.items.items;
    return record->is_offline ? items[item].tax_rate : (struct tw_number){0};
}

static void put_till_prices(struct tw_json *text, const struct tw_sale_record *record, size_t item)
{
    struct tw_number price = till_price(record, item), rate = till_tax_rate(record, item);
    if (!price.present && !rate.present)
        return;
    tw_json_i64(text, price.present ? price.value : -1);
    tw_json_i64(text, rate.present ? rate.value : -1);
}

// The sale as understood, written in one canonical way: white space or the order of fields must not
// turn a repetition into another sale, nor must the way by which it comes (`offline`).
static void set_fingerprint(struct tw_req *req, struct tw_sale_record *record)
{
    const struct tw_sale *sale = &record->sale;
    const struct tw_sale_item *items = sale->items.items;
    const struct tw_sale_payment *payments = sale->payments.items;
    struct tw_json text = tw_reply_body(req);
    tw_json_array(&text);
    tw_json_str(&text, TW_STR("POST /v1/transactions"));
    tw_json_str(&text, record->store_id);
    tw_json_str(&text, record->register_id);
    tw_json_str(&text, record->cashier_id);
    tw_json_str(&text, sale->payment_method);
    tw_json_i64(&text, record->has_sold_at ? record->sold_at_unix_ms : -1);
    tw_json_i64(&text, sale->total.present ? sale->total.value : -1);
    tw_json_i64(&text, sale->discount.value);
    tw_json_bool(&text, sale->transaction_id.present);
    tw_json_uuid(&text, &sale->transaction_id.value);
    tw_json_bool(&text, sale->customer_id.present);
    tw_json_uuid(&text, &sale->customer_id.value);
    for (size_t i = 0; i < sale->items.n; i++) {
        tw_json_uuid(&text, &items[i].product_id.value);
        tw_json_i64(&text, items[i].quantity.value);
        tw_json_i64(&text, items[i].discount.value);
        put_till_prices(&text, record, i);
    }
    for (size_t i = 0; i < sale->payments.n; i++) {
        tw_json_str(&text, payments[i].method);
        tw_json_i64(&text, payments[i].amount.value);
        tw_json_str(&text, payments[i].reference);
    }
    tw_json_array_end(&text);
    tw_sha256((struct tw_str){text.p, text.n}, record->fingerprint);
}

// A till that was alone while these were changed has sold in another currency, or with other taxes:
// its amounts must not be taken for ours.
static bool check_terms(struct tw_req *req, const struct tw_sale *sale, struct tw_faults *faults)
{
    const struct tw_config *config = req->config;
    if (sale->currency.p && !tw_str_eq(sale->currency, tw_str_of(config->pos_currency)))
        return fault_field(req, faults, "/currency", "mismatch", "Is not the shop's currency.");
    if (sale->prices_include_tax.present &&
        sale->prices_include_tax.value != config->pos_prices_include_tax)
        return fault_field(req, faults, "/pricesIncludeTax", "mismatch",
                           "Is not how the shop's prices are.");
    return true;
}

// The method of a sale is that of its payments, if it has any.
static bool is_how_it_was_paid(struct tw_str method, const struct tw_list *list)
{
    const struct tw_sale_payment *payments = list->items;
    bool differ = false;
    for (size_t i = 1; i < list->n; i++)
        differ |= !tw_str_eq(payments[i].method, payments[0].method);
    return list->n == 0 || tw_str_eq(method, differ ? TW_STR("mixed") : payments[0].method);
}

bool tw_sale_check(struct tw_req *req, struct tw_sale_record *record, struct tw_faults *faults)
{
    const struct tw_sale *sale = &record->sale;
    struct tw_str scope = tw_req_store_scope(req), subject = req->principal->subject;
    record->store_id = sale->store_id.p ? sale->store_id : req->store;
    record->register_id = sale->register_id.p ? sale->register_id : TW_STR(DEFAULT_REGISTER);
    record->cashier_id = sale->cashier_id.p ? sale->cashier_id : subject;
    if (!check_time(req, record, faults) || !check_terms(req, sale, faults))
        return false;
    if (!sale->payment_method.p && sale->payments.n == 0)
        return fault_field(req, faults, "/paymentMethod", "required", "Must be given.");
    if (sale->payment_method.p && !is_how_it_was_paid(sale->payment_method, &sale->payments))
        return fault_field(req, faults, "/paymentMethod", "mismatch",
                           "Must be the method of the payments, or \"mixed\" if they differ.");
    if (scope.p && !tw_str_eq(scope, record->store_id))
        return forbid(faults, "The principal may not sell in that store.");
    if (!tw_str_eq(record->cashier_id, subject) &&
        !tw_policy_allows(req->principal, TW_ROLE_MANAGER))
        return forbid(faults, "Only a manager may sell in another cashier's name.");
    record->transaction_id = sale->transaction_id.present ? sale->transaction_id.value
                                                          : tw_uuid_v7(req->received_unix_ms);
    set_fingerprint(req, record);
    return true;
}

// ---- the arrays of record_sales -----------------------------------------------------------------

#define EACH(record) for (size_t i_ = 0; i_ < n && ((record) = records[i_], true); i_++)

static void optional_i64(struct tw_params *params, bool present, int64_t value)
{
    if (present)
        tw_param_i64(params, value);
    else
        tw_param_null(params);
}

// $1 to $4: what the sale is known by.
static void put_identity(struct tw_params *params, struct tw_str scope,
                         struct tw_sale_record *const *records, size_t n)
{
    const struct tw_sale_record *record;
    tw_param_array(params, TW_ARRAY_UUID, n);
    EACH(record)
    tw_param_uuid(params, &record->transaction_id);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_TEXT, n);
    EACH(record)
    tw_param_str(params, scope);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_TEXT, n);
    EACH(record)
    tw_param_str(params, record->key);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_BYTEA, n);
    EACH(record)
    tw_param_str(params,
                 (struct tw_str){(const char *)record->fingerprint, sizeof(record->fingerprint)});
    tw_param_array_end(params);
}

// $5 to $8: where, who and when.
static void put_circumstances(struct tw_params *params, struct tw_sale_record *const *records,
                              size_t n)
{
    const struct tw_sale_record *record;
    tw_param_array(params, TW_ARRAY_TEXT, n);
    EACH(record)
    tw_param_str(params, record->store_id);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_TEXT, n);
    EACH(record)
    tw_param_str(params, record->register_id);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_TEXT, n);
    EACH(record)
    tw_param_str(params, record->cashier_id);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_TIME, n);
    EACH(record)
    {
        if (record->has_sold_at)
            tw_param_time(params, record->sold_at_unix_ms);
        else
            tw_param_null(params);
    }
    tw_param_array_end(params);
}

// $9 to $13: what the basket as a whole says.
static void put_basket(struct tw_params *params, struct tw_sale_record *const *records, size_t n)
{
    const struct tw_sale_record *record;
    tw_param_array(params, TW_ARRAY_TEXT, n);
    EACH(record)
    tw_param_optional(params, record->sale.payment_method);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I64, n);
    EACH(record)
    optional_i64(params, record->sale.total.present, record->sale.total.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_UUID, n);
    EACH(record)
    tw_param_uuid_if(params, record->sale.customer_id.present, &record->sale.customer_id.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I64, n);
    EACH(record)
    optional_i64(params, record->sale.discount.value > 0, record->sale.discount.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_BOOL, n);
    EACH(record)
    tw_param_bool(params, record->is_offline);
    tw_param_array_end(params);
}

// $18 and $19
static void put_line_prices(struct tw_params *params, struct tw_sale_record *const *records,
                            size_t n, size_t n_lines)
{
    const struct tw_sale_record *record;
    tw_param_array(params, TW_ARRAY_I64, n_lines);
    EACH(record)
    for (size_t i = 0; i < record->sale.items.n; i++) {
        struct tw_number price = till_price(record, i);
        optional_i64(params, price.present, price.value);
    }
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I32, n_lines);
    EACH(record)
    for (size_t i = 0; i < record->sale.items.n; i++) {
        struct tw_number rate = till_tax_rate(record, i);
        if (rate.present)
            tw_param_i32(params, (int32_t)rate.value);
        else
            tw_param_null(params);
    }
    tw_param_array_end(params);
}

// $14 to $19
static void put_lines(struct tw_params *params, struct tw_sale_record *const *records, size_t n)
{
    const struct tw_sale_record *record;
    size_t n_lines = 0;
    EACH(record)
    n_lines += record->sale.items.n;
    tw_param_array(params, TW_ARRAY_I32, n_lines);
    EACH(record)
    for (size_t i = 0; i < record->sale.items.n; i++)
        tw_param_i32(params, (int32_t)i_ + 1);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_UUID, n_lines);
    EACH(record)
    for (size_t i = 0; i < record->sale.items.n; i++)
        tw_param_uuid(params,
                      &((struct tw_sale_item *)record->sale.items.items)[i].product_id.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I64, n_lines);
    EACH(record)
    for (size_t i = 0; i < record->sale.items.n; i++)
        tw_param_i64(params, ((struct tw_sale_item *)record->sale.items.items)[i].quantity.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I64, n_lines);
    EACH(record)
    for (size_t i = 0; i < record->sale.items.n; i++)
        tw_param_i64(params, ((struct tw_sale_item *)record->sale.items.items)[i].discount.value);
    tw_param_array_end(params);
    put_line_prices(params, records, n, n_lines);
}

// $20 to $23
static void put_payments(struct tw_params *params, struct tw_sale_record *const *records, size_t n)
{
    const struct tw_sale_record *record;
    size_t n_payments = 0;
    EACH(record)
    n_payments += record->sale.payments.n;
    tw_param_array(params, TW_ARRAY_I32, n_payments);
    EACH(record)
    for (size_t i = 0; i < record->sale.payments.n; i++)
        tw_param_i32(params, (int32_t)i_ + 1);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_TEXT, n_payments);
    EACH(record)
    for (size_t i = 0; i < record->sale.payments.n; i++)
        tw_param_str(params, ((struct tw_sale_payment *)record->sale.payments.items)[i].method);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I64, n_payments);
    EACH(record)
    for (size_t i = 0; i < record->sale.payments.n; i++)
        tw_param_i64(params,
                     ((struct tw_sale_payment *)record->sale.payments.items)[i].amount.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_TEXT, n_payments);
    EACH(record)
    for (size_t i = 0; i < record->sale.payments.n; i++)
        tw_param_optional(params,
                          ((struct tw_sale_payment *)record->sale.payments.items)[i].reference);
    tw_param_array_end(params);
}

void tw_sale_params(const struct tw_req *req, struct tw_params *params,
                    struct tw_sale_record *const *records, size_t n)
{
    const struct tw_config *config = req->config;
    put_identity(params, req->principal->subject, records, n);
    put_circumstances(params, records, n);
    put_basket(params, records, n);
    put_lines(params, records, n);
    put_payments(params, records, n);
    tw_param_str(params, tw_str_of(config->pos_currency));
    tw_param_bool(params, config->pos_prices_include_tax);
    tw_param_str(params, tw_str_of(config->pos_time_zone));
    tw_param_i32(params, (int32_t)(config->pos_business_day_start_ms / 1000));
}

// ---- refusals -----------------------------------------------------------------------------------

const char *tw_sale_refusal_detail(enum tw_status status)
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
        return "A discount is larger than what it is taken from.";
    default:
        return NULL;
    }
}

struct tw_problem_error tw_sale_refused_line(struct tw_req *req, enum tw_status status, int line)
{
    char *pointer = tw_req_alloc(req, 24);
    int n = snprintf(pointer, 24, "/items/%d", line);
    return (struct tw_problem_error){.pointer = {pointer, (size_t)n},
                                     .code = tw_status_info(status)->code,
                                     .detail = tw_str_of(tw_status_info(status)->title)};
}
