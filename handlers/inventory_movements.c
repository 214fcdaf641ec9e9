// SPDX-License-Identifier: Apache-2.0
// inventory_movements: POST /v1/inventory/movements: what is received, counted, adjusted, or sent
// to another store. One call is one document: all of its lines or none. Runs in: worker.
#include <stdio.h>

#include "gateway/digest.h"
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/idempotency.h"
#include "handlers/schema.h"
#include "handlers/store.h"

#define LINES_MAX    500
#define ERRORS_MAX   50
#define QUANTITY_MAX INT64_C(1000000000)

// A kind, and the least quantity it takes. An adjustment is signed and never nothing.
static const struct kind {
    const char *name;
    int64_t least;
    bool takes_zero;
} kinds[] = {
    {"receive", 1, false},
    {"count", 0, true},
    {"adjust", -QUANTITY_MAX, false},
    {"transfer", 1, false},
};

struct line {
    struct tw_optional_uuid product_id;
    struct tw_number quantity;
};

struct movement {
    struct tw_str kind, store_id, to_store_id, note;
    struct tw_list lines;
};

static const struct tw_field line_fields[] = {
    TW_FIELD(line, "productId", product_id, UUID, true, 0, 0),
    TW_FIELD(line, "quantity", quantity, QUANTITY, true, -QUANTITY_MAX, QUANTITY_MAX),
};
static const struct tw_schema line_schema = {line_fields, TW_COUNT(line_fields),
                                             sizeof(struct line)};

static const struct tw_field movement_fields[] = {
    TW_FIELD(movement, "kind", kind, TOKEN, true, 1, 16),
    TW_FIELD(movement, "storeId", store_id, TOKEN, false, 1, TW_STORE_MAX),
    TW_FIELD(movement, "toStoreId", to_store_id, TOKEN, false, 1, TW_STORE_MAX),
    TW_FIELD(movement, "note", note, TEXT, false, 1, 500),
    TW_FIELD(movement, "lines", lines, LIST, true, 1, LINES_MAX, .element = &line_schema),
};
static const struct tw_schema movement_schema = {movement_fields, TW_COUNT(movement_fields),
                                                 sizeof(struct movement)};

// ---- the answer ---------------------------------------------------------------------------------

// Columns of inventory_move.
enum {
    COL_VERDICT,
    COL_REFUSED_LINE,
    COL_DOCUMENT,
    COL_KIND,
    COL_STORE,
    COL_TO_STORE,
    COL_NOTE,
    COL_PRINCIPAL,
    COL_CREATED_AT,
    COL_PRODUCTS,
    COL_QUANTITIES,
    COL_STOCKS,
};

static void put_text(struct tw_json *json, struct tw_str key, struct tw_str value)
{
    tw_json_key(json, key);
    if (value.p)
        tw_json_str(json, value);
    else
        tw_json_null(json);
}

static void put_lines(struct tw_json *json, const struct tw_rows *rows)
{
    struct tw_array products = tw_row_array(rows, 0, COL_PRODUCTS);
    struct tw_array quantities = tw_row_array(rows, 0, COL_QUANTITIES);
    struct tw_array stocks = tw_row_array(rows, 0, COL_STOCKS);
    tw_json_key(json, TW_STR("lines"));
    tw_json_array(json);
    while (products.left > 0) {
        struct tw_uuid product = tw_array_next_uuid(&products);
        tw_json_object(json);
        tw_json_key(json, TW_STR("productId"));
        tw_json_uuid(json, &product);
        tw_json_key(json, TW_STR("quantity"));
        tw_json_decimal_short(json, tw_array_next_i64(&quantities), 3);
        tw_json_key(json, TW_STR("stock"));
        tw_json_decimal_short(json, tw_array_next_i64(&stocks), 3);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

static struct tw_verdict reply_document(struct tw_req *req, const struct tw_rows *rows,
                                        bool replayed)
{
    struct tw_uuid id = tw_row_uuid(rows, 0, COL_DOCUMENT);
    if (replayed)
        tw_reply_header(req, TW_STR("idempotency-replayed"), TW_STR("true"));
    struct tw_json json = tw_reply_body(req);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("movementId"));
    tw_json_uuid(&json, &id);
    TW_JSON_STR(&json, "kind", tw_row_str(rows, 0, COL_KIND));
    TW_JSON_STR(&json, "storeId", tw_row_str(rows, 0, COL_STORE));
    put_text(&json, TW_STR("toStoreId"), tw_row_str(rows, 0, COL_TO_STORE));
    put_text(&json, TW_STR("note"), tw_row_str(rows, 0, COL_NOTE));
    put_lines(&json, rows);
    TW_JSON_STR(&json, "createdBy", tw_row_str(rows, 0, COL_PRINCIPAL));
    tw_json_key(&json, TW_STR("createdAt"));
    tw_json_time(&json, tw_row_unix_ms(rows, 0, COL_CREATED_AT));
    tw_json_object_end(&json);
    return tw_reply_json(req, 201, &json);
}

static const char *refusal_detail(enum tw_status status)
{
    switch (status) {
    case TW_IDEMPOTENCY_MISMATCH:
        return TW_KEY_IS_USED;
    case TW_UNKNOWN_PRODUCT:
        return "A line names a product that is not in the catalogue.";
    case TW_INSUFFICIENT_STOCK:
        return "A line takes more than the store has.";
    case TW_UNKNOWN_STORE:
        return "No stock is kept in the store to transfer to.";
    default:
        return NULL;
    }
}

static struct tw_verdict fail_movement(struct tw_req *req, const struct tw_rows *rows)
{
    struct tw_str verdict = tw_row_str(rows, 0, COL_VERDICT);
    bool repeated = tw_str_eq(verdict, TW_STR("duplicate-product"));
    enum tw_status status = repeated ? TW_VALIDATION_FAILED : tw_status_by_code(verdict);
    struct tw_problem_error error = {.pointer = TW_STR("/toStoreId"),
                                     .code = repeated ? "duplicate" : tw_status_info(status)->code,
                                     .detail = repeated ? TW_STR("Another line has this product.")
                                                        : tw_str_of(tw_status_info(status)->title)};
    if (status == TW_UNKNOWN_STORE)
        return tw_fail_errors(req, status, refusal_detail(status), &error, 1);
    if (tw_row_is_null(rows, 0, COL_REFUSED_LINE))
        return tw_fail(req, status, refusal_detail(status));
    char pointer[24];
    int n = snprintf(pointer, sizeof(pointer), "/lines/%d", tw_row_i32(rows, 0, COL_REFUSED_LINE));
    error.pointer = (struct tw_str){pointer, (size_t)n};
    return tw_fail_errors(req, status, refusal_detail(status), &error, 1);
}

static struct tw_verdict inventory_move_2_moved(struct tw_req *req,
                                                const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    struct tw_str verdict = tw_row_str(result->rows, 0, COL_VERDICT);
    if (tw_str_eq(verdict, TW_STR("recorded")))
        return reply_document(req, result->rows, false);
    if (tw_str_eq(verdict, TW_STR("replayed")))
        return reply_document(req, result->rows, true);
    return fail_movement(req, result->rows);
}

// ---- the call -----------------------------------------------------------------------------------

// What the idempotency key stands for: the movement as understood, written in one canonical way.
static void fingerprint(struct tw_req *req, const struct movement *movement, struct tw_str store,
                        unsigned char out[TW_SHA256_BYTES])
{
    const struct line *lines = movement->lines.items;
    struct tw_json text = tw_reply_body(req);
    tw_json_array(&text);
    tw_json_str(&text, TW_STR("POST /v1/inventory/movements"));
    tw_json_str(&text, movement->kind);
    tw_json_str(&text, store);
    tw_json_str(&text, movement->to_store_id);
    tw_json_str(&text, movement->note);
    for (size_t i = 0; i < movement->lines.n; i++) {
        tw_json_uuid(&text, &lines[i].product_id.value);
        tw_json_i64(&text, lines[i].quantity.value);
    }
    tw_json_array_end(&text);
    tw_sha256((struct tw_str){text.p, text.n}, out);
}

static void put_line_params(struct tw_params *params, const struct tw_list *list)
{
    const struct line *lines = list->items;
    tw_param_array(params, TW_ARRAY_UUID, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_uuid(params, &lines[i].product_id.value);
    tw_param_array_end(params);
    tw_param_array(params, TW_ARRAY_I64, list->n);
    for (size_t i = 0; i < list->n; i++)
        tw_param_i64(params, lines[i].quantity.value);
    tw_param_array_end(params);
}

static struct tw_verdict inventory_move_1_send(struct tw_req *req, const struct movement *movement,
                                               struct tw_str key, struct tw_str store)
{
    struct tw_uuid id = tw_uuid_v7(req->received_unix_ms);
    unsigned char digest[TW_SHA256_BYTES];
    char buffer[2048];
    struct tw_params params;
    fingerprint(req, movement, store, digest);
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid(&params, &id);
    tw_param_str(&params, req->principal->subject);
    tw_param_str(&params, key);
    tw_param_str(&params, (struct tw_str){(const char *)digest, sizeof(digest)});
    tw_param_str(&params, movement->kind);
    tw_param_str(&params, store);
    tw_param_optional(&params, movement->to_store_id);
    tw_param_bool(&params, !tw_req_store_scope(req).p);
    tw_param_optional(&params, movement->note);
    tw_param_str(&params, req->principal->subject);
    put_line_params(&params, &movement->lines);
    return tw_await_db(req, TW_STMT_INVENTORY_MOVE, &params, inventory_move_2_moved);
}

// ---- the request --------------------------------------------------------------------------------

static const struct kind *find_kind(struct tw_str name)
{
    for (size_t i = 0; i < TW_COUNT(kinds); i++)
        if (tw_str_eq(tw_str_of(kinds[i].name), name))
            return &kinds[i];
    return NULL;
}

struct faults {
    struct tw_problem_error errors[ERRORS_MAX];
    size_t n;
};

static void add_fault(struct faults *faults, struct tw_str pointer, const char *code,
                      const char *detail)
{
    if (faults->n < ERRORS_MAX)
        faults->errors[faults->n++] = (struct tw_problem_error){pointer, code, tw_str_of(detail)};
}

static void check_quantities(struct tw_req *req, const struct kind *kind,
                             const struct tw_list *list, struct faults *faults)
{
    const struct line *lines = list->items;
    for (size_t i = 0; i < list->n; i++) {
        int64_t quantity = lines[i].quantity.value;
        if (quantity >= kind->least && (quantity != 0 || kind->takes_zero))
            continue;
        char *pointer = tw_req_alloc(req, 32);
        int n = snprintf(pointer, 32, "/lines/%zu/quantity", i);
        add_fault(faults, (struct tw_str){pointer, (size_t)n}, "range",
                  kind->takes_zero   ? "Must not be negative."
                  : kind->least <= 0 ? "Must not be 0."
                                     : "Must be more than 0.");
    }
}

// The rules between fields.
static bool check(struct tw_req *req, const struct movement *movement, struct tw_str store,
                  struct tw_verdict *verdict)
{
    struct faults *faults = tw_req_alloc(req, sizeof(*faults));
    const struct kind *kind = find_kind(movement->kind);
    bool transfer = tw_str_eq(movement->kind, TW_STR("transfer"));
    faults->n = 0;
    if (!kind)
        add_fault(faults, TW_STR("/kind"), "value", "Must be receive, count, adjust or transfer.");
    else
        check_quantities(req, kind, &movement->lines, faults);
    if (transfer && !movement->to_store_id.p)
        add_fault(faults, TW_STR("/toStoreId"), "required", "Must be given.");
    else if (kind && !transfer && movement->to_store_id.p)
        add_fault(faults, TW_STR("/toStoreId"), "value", "Only a transfer has it.");
    else if (transfer && tw_str_eq(movement->to_store_id, store))
        add_fault(faults, TW_STR("/toStoreId"), "value", "Must be another store.");
    if (faults->n == 0)
        return true;
    *verdict = tw_fail_errors(req, TW_VALIDATION_FAILED, "See errors.", faults->errors, faults->n);
    return false;
}

struct tw_verdict tw_inventory_move(struct tw_req *req)
{
    struct movement movement;
    struct tw_str key, store;
    struct tw_verdict verdict;
    if (!tw_body_parse(req, &movement_schema, &movement, &verdict) ||
        !tw_store_choose(req, movement.store_id, &store, &verdict) ||
        !check(req, &movement, store, &verdict) ||
        !tw_idempotency_key(req, NULL, "Send an Idempotency-Key header.", &key, &verdict))
        return verdict;
    return inventory_move_1_send(req, &movement, key, store);
}
