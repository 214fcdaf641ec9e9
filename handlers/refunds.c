// SPDX-License-Identifier: Apache-2.0
// refunds: POST /v1/transactions/{id}/refunds and .../void: what was sold is given back, each in
// one call of refund_sale (db/migrations/0010), which judges it under a lock on the sale.
//
// A refund names lines and quantities, or an amount, and needs an Idempotency-Key. An amount is of
// the sale's currency, for which PostgreSQL is asked first: pos.currency may be another by now. A
// void undoes the whole sale on its business day; there is at most one, so it needs no key. Runs
// in: worker.

#include "gateway/digest.h"
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/idempotency.h"
#include "handlers/money.h"
#include "handlers/params.h"
#include "handlers/refund_json.h"
#include "handlers/schema.h"

#define ITEMS_MAX 500

struct refund_item {
    struct tw_number line;
    struct tw_optional_uuid product_id;
    struct tw_number quantity;
    struct tw_optional_bool restock;
};

struct refund {
    struct tw_list items;    // of struct refund_item
    struct tw_number amount; // thousandths until the sale's currency is known, then minor units
    struct tw_str reason, payment_method, register_id;
};

static const struct tw_field item_fields[] = {
    TW_FIELD(refund_item, "line", line, INTEGER, false, 0, ITEMS_MAX - 1),
    TW_FIELD(refund_item, "productId", product_id, UUID, false, 0, 0),
    TW_FIELD(refund_item, "quantity", quantity, QUANTITY, true, 1, INT64_C(1000000000)),
    TW_FIELD(refund_item, "restock", restock, BOOL, false, 0, 0),
};
static const struct tw_schema item_schema = {item_fields, TW_COUNT(item_fields),
                                             sizeof(struct refund_item)};

static const struct tw_field refund_fields[] = {
    TW_FIELD(refund, "items", items, LIST, false, 1, ITEMS_MAX, .element = &item_schema),
    TW_FIELD(refund, "amount", amount, QUANTITY, false, 1, TW_DECIMAL_MAX),
    TW_FIELD(refund, "reason", reason, TEXT, false, 1, 500),
    TW_FIELD(refund, "paymentMethod", payment_method, TOKEN, false, 1, 32),
    TW_FIELD(refund, "registerId", register_id, TOKEN, false, 1, 64),
};
static const struct tw_schema refund_schema = {refund_fields, TW_COUNT(refund_fields),
                                               sizeof(struct refund)};

static const struct tw_field void_fields[] = {
    TW_FIELD(refund, "reason", reason, TEXT, false, 1, 500),
    TW_FIELD(refund, "registerId", register_id, TOKEN, false, 1, 64),
};
static const struct tw_schema void_schema = {void_fields, TW_COUNT(void_fields),
                                             sizeof(struct refund)};

// ---- the answer ---------------------------------------------------------------------------------

// Columns of refund_sale; those of the refund follow.
enum { COL_VERDICT, COL_REFUSED_LINE, COL_REFUND };

static const char *refusal_detail(enum tw_status status)
{
    switch (status) {
    case TW_NOT_FOUND:
        return "There is no such transaction.";
    case TW_IDEMPOTENCY_MISMATCH:
        return "This key belongs to something else. Send the same again, or a new key.";
    case TW_TRANSACTION_VOIDED:
        return "The sale was voided: there is nothing left to give back.";
    case TW_TRANSACTION_REFUNDED:
        return "A part was refunded already: refund the rest.";
    case TW_VOID_TOO_LATE:
        return "A sale can be voided on its business day only. Refund it.";
    case TW_REFUND_EXCEEDS:
        return "That is more than is left of what was sold and paid.";
    case TW_UNKNOWN_LINE:
        return "The sale has no such line.";
    default:
        return NULL;
    }
}

static struct tw_verdict fail_refund(struct tw_req *req, const struct tw_rows *rows)
{
    enum tw_status status = tw_status_by_code(tw_row_str(rows, 0, COL_VERDICT));
    if (tw_row_is_null(rows, 0, COL_REFUSED_LINE))
        return tw_fail(req, status, refusal_detail(status));
    char pointer[24];
    int n = snprintf(pointer, sizeof(pointer), "/items/%d", tw_row_i32(rows, 0, COL_REFUSED_LINE));
    struct tw_problem_error error = {.pointer = {pointer, (size_t)n},
                                     .code = tw_status_info(status)->code,
                                     .detail = tw_str_of(tw_status_info(status)->title)};
    return tw_fail_errors(req, status, refusal_detail(status), &error, 1);
}

static struct tw_verdict refund_4_recorded(struct tw_req *req, const struct tw_db_result *result)
{
    if (result->status != TW_OK || tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    struct tw_str verdict = tw_row_str(result->rows, 0, COL_VERDICT);
    bool is_replayed = tw_str_eq(verdict, TW_STR("replayed"));
    if (!is_replayed && !tw_str_eq(verdict, TW_STR("recorded")))
        return fail_refund(req, result->rows);
    struct tw_sales_event given = tw_refund_given(result->rows, 0, COL_REFUND);
    if (is_replayed)
        tw_reply_header(req, TW_STR("idempotency-replayed"), TW_STR("true"));
    else
        tw_req_sold(req, &given);
    struct tw_json json = tw_reply_body(req);
    tw_json_refund(&json, req->config, result->rows, 0, COL_REFUND);
    return tw_reply_json(req, 201, &json);
}

// ---- the call -----------------------------------------------------------------------------------

// What the key stands for: the request as understood, on this sale.
static void fingerprint(struct tw_req *req, const struct tw_uuid *id, const struct refund *refund,
                        unsigned char out[TW_SHA256_BYTES])
{
    const struct refund_item *items = refund->items.items;
    struct tw_json text = tw_reply_body(req);
    tw_json_array(&text);
    tw_json_str(&text, tw_str_of(req->route->pattern));
    tw_json_uuid(&text, id);
    tw_json_i64(&text, refund->amount.present ? refund->amount.value : -1);
    tw_json_str(&text, refund->payment_method);
    tw_json_str(&text, refund->register_id);
    tw_json_str(&text, refund->reason);
    for (size_t i = 0; i < refund->items.n; i++) {
        tw_json_i64(&text, items[i].line.present ? items[i].line.value : -1);
        tw_json_uuid(&text, &items[i].product_id.value);
        tw_json_i64(&text, items[i].quantity.value);
        tw_json_bool(&text, !items[i].restock.present || items[i].restock.value);
    }
    tw_json_array_end(&text);
    tw_sha256((struct tw_str){text.p, text.n}, out);
}

// $10 to $13
static void put_lines(struct tw_params *params, const struct tw_list *list)
{
    const struct refund_item *items = list->items;
    tw_param_array(params, TW_ARRAY_I32, list->n);
    for (size_t i = 0; i < list->n; i++) {
        if (items[i].line.present)
            tw_param_i32(params, (int32_t)items[i].line.value);
        else
            tw_param_null(params);
    }
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_UUID, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_uuid(params, &items[i].product_id.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I64, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_i64(params, items[i].quantity.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_BOOL, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_bool(params, !items[i].restock.present || items[i].restock.value);
    tw_param_array_end(params);
}

static struct tw_verdict refund_3_record(struct tw_req *req, const struct tw_uuid *id,
                                         const struct refund *refund, struct tw_str key,
                                         bool is_void)
{
    unsigned char digest[TW_SHA256_BYTES];
    struct tw_uuid refund_id = tw_uuid_v7(req->received_unix_ms);
    char buffer[1024];
    struct tw_params params;
    fingerprint(req, id, refund, digest);
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid(&params, &refund_id);
    tw_param_str(&params, req->principal->subject);
    tw_param_optional(&params, key);
    tw_param_str(&params, (struct tw_str){(const char *)digest, sizeof(digest)});
    tw_param_uuid(&params, id);
    tw_param_optional(&params, tw_req_store_scope(req));
    tw_param_optional(&params, refund->register_id);
    tw_param_bool(&params, is_void);
    if (refund->amount.present)
        tw_param_i64(&params, refund->amount.value);
    else
        tw_param_null(&params);
    put_lines(&params, &refund->items);
    tw_param_optional(&params, refund->reason);
    tw_param_optional(&params, refund->payment_method);
    tw_param_str(&params, tw_str_of(req->config->pos_time_zone));
    tw_param_i32(&params, (int32_t)(req->config->pos_business_day_start_ms / 1000));
    return tw_await_db(req, TW_STMT_REFUND_SALE, &params, refund_4_recorded);
}

// ---- the requests -------------------------------------------------------------------------------

static struct tw_verdict fail_field(struct tw_req *req, struct tw_str pointer, const char *code,
                                    const char *detail)
{
    struct tw_problem_error error = {pointer, code, tw_str_of(detail)};
    return tw_fail_errors(req, TW_VALIDATION_FAILED, "See errors.", &error, 1);
}

// Lines or an amount, and each line by its number or its product. True: `*verdict` refuses it.
static bool is_ambiguous(struct tw_req *req, const struct refund *refund,
                         struct tw_verdict *verdict)
{
    const struct refund_item *items = refund->items.items;
    if ((refund->items.n > 0) == refund->amount.present) {
        *verdict = fail_field(req, TW_STR("/items"), "required",
                              "Either items or an amount must be given.");
        return true;
    }
    for (size_t i = 0; i < refund->items.n; i++) {
        if (items[i].line.present != items[i].product_id.present)
            continue;
        char pointer[32];
        int n = snprintf(pointer, sizeof(pointer), "/items/%zu/line", i);
        *verdict = fail_field(req, (struct tw_str){pointer, (size_t)n}, "required",
                              "Either line or productId must be given.");
        return true;
    }
    return false;
}

// For the time in which the currency is looked up.
struct refund_state {
    struct tw_uuid id;
    struct refund refund;
    struct tw_str key;
};

static struct tw_verdict fail_decimals(struct tw_req *req, unsigned decimals)
{
    char detail[64];
    (void)snprintf(detail, sizeof(detail),
                   "At most %u decimals are allowed in the sale's currency.", decimals);
    return fail_field(req, TW_STR("/amount"), "decimals", detail);
}

// No row: there is no such sale, as refund_sale will say, or a replica does not have it yet. Then
// it is a new one, of our currency.
static struct tw_verdict refund_2_currency(struct tw_req *req, const struct tw_db_result *result)
{
    static const int64_t thousandths[] = {1000, 100, 10, 1}; // of a minor unit, by its decimals
    struct refund_state *state = req->state;
    struct tw_str currency = {NULL, 0};
    if (tw_rows_count(result->rows) == 1)
        currency = tw_row_str(result->rows, 0, 0);
    unsigned decimals = tw_money_decimals(req->config, currency);
    int64_t unit = thousandths[decimals];
    if (state->refund.amount.value % unit != 0)
        return fail_decimals(req, decimals);
    state->refund.amount.value /= unit;
    return refund_3_record(req, &state->id, &state->refund, state->key, false);
}

struct tw_verdict tw_refund_create(struct tw_req *req)
{
    struct refund_state *state = req->state = tw_req_alloc(req, sizeof(*state));
    struct tw_verdict verdict;
    char buffer[256];
    struct tw_params params;
    if (!tw_path_uuid(req, 0, &state->id))
        return tw_fail(req, TW_NOT_FOUND, "There is no such transaction.");
    if (!tw_body_parse(req, &refund_schema, &state->refund, &verdict) ||
        is_ambiguous(req, &state->refund, &verdict) ||
        !tw_idempotency_key(req, NULL, "Send an Idempotency-Key header.", &state->key, &verdict))
        return verdict;
    if (!state->refund.amount.present)
        return refund_3_record(req, &state->id, &state->refund, state->key, false);
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid(&params, &state->id);
    tw_param_optional(&params, tw_req_store_scope(req));
    return tw_await_db(req, TW_STMT_TRANSACTION_CURRENCY, &params, refund_2_currency);
}

struct tw_verdict tw_void_create(struct tw_req *req)
{
    struct refund refund = {0};
    struct tw_verdict verdict;
    struct tw_uuid id;
    struct tw_str key = {NULL, 0};
    if (!tw_path_uuid(req, 0, &id))
        return tw_fail(req, TW_NOT_FOUND, "There is no such transaction.");
    if (req->body.n > 0 && !tw_body_parse(req, &void_schema, &refund, &verdict))
        return verdict;
    if (tw_req_header(req, TW_STR("idempotency-key")).p &&
        !tw_idempotency_key(req, NULL, "Send an Idempotency-Key header.", &key, &verdict))
        return verdict;
    return refund_3_record(req, &id, &refund, key, true);
}
