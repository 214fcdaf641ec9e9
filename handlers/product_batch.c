// SPDX-License-Identifier: Apache-2.0
// product_batch: POST /v1/products/batch: a back office puts up to 500 products in one call.
//
// Each is judged on its own and has a result of its own, in the order of the request; what a field
// table refuses never reaches the statement. A product without productId is known by its sku, so
// that the same file may be sent again; without either it would be another one each time. Runs in:
// worker.
#include "gateway/cached.h"
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/product_json.h"
#include "handlers/product_put.h"

#define PRODUCTS_MAX 500

enum { COL_VERDICT, COL_PRODUCT };

struct batch {
    struct tw_parsed *items;
    size_t n;
};

static void put_problem(struct tw_json *json, enum tw_status status, const char *detail,
                        const struct tw_problem_error *errors, size_t n)
{
    TW_JSON_STR(json, "status", TW_STR("refused"));
    tw_json_key(json, TW_STR("problem"));
    tw_json_problem(json, status, detail, errors, n);
}

// What the statement said of one product.
static void put_verdict(struct tw_json *json, const struct tw_rows *rows, int row)
{
    struct tw_str verdict = tw_row_str(rows, row, COL_VERDICT);
    if (tw_row_is_null(rows, row, COL_PRODUCT)) {
        struct tw_problem_error error = tw_product_taken(verdict);
        put_problem(json, TW_ALREADY_EXISTS, "Such a product exists.", &error, 1);
        return;
    }
    struct tw_uuid id = tw_row_uuid(rows, row, COL_PRODUCT);
    TW_JSON_STR(json, "status", verdict);
    tw_json_key(json, TW_STR("productId"));
    tw_json_uuid(json, &id);
    TW_JSON_I64(json, "version", tw_row_i64(rows, row, COL_PRODUCT + TW_PRODUCT_VERSION));
}

// `rows` are those of the items without faults, in their order; NULL: there was none.
static struct tw_verdict reply_results(struct tw_req *req, const struct batch *batch,
                                       const struct tw_rows *rows)
{
    struct tw_json json = tw_reply_body(req);
    int row = 0;
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("results"));
    tw_json_array(&json);
    for (size_t i = 0; i < batch->n; i++) {
        const struct tw_parsed *item = &batch->items[i];
        tw_json_object(&json);
        TW_JSON_I64(&json, "index", (int64_t)i);
        if (item->n_errors > 0)
            put_problem(&json, TW_VALIDATION_FAILED, "See errors.", item->errors, item->n_errors);
        else
            put_verdict(&json, rows, row++);
        tw_json_object_end(&json);
    }
    tw_json_array_end(&json);
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}

static struct tw_verdict product_batch_2_written(struct tw_req *req,
                                                 const struct tw_db_result *result)
{
    const struct batch *batch = req->state;
    int wanted = 0;
    for (size_t i = 0; i < batch->n; i++)
        wanted += batch->items[i].n_errors == 0;
    if (result->status != TW_OK || tw_rows_count(result->rows) != wanted)
        return tw_fail(req, TW_INTERNAL, NULL);
    for (int row = 0; row < wanted; row++) {
        struct tw_uuid id = tw_row_uuid(result->rows, row, COL_PRODUCT);
        tw_cache_forget_product(req, id.bytes); // of zeros where there is none
    }
    return reply_results(req, batch, result->rows);
}

static void refuse_nameless(const struct batch *batch)
{
    static const struct tw_problem_error error = {TW_STR("/sku"), "required",
                                                  TW_STR("Must be given where productId is not.")};
    for (size_t i = 0; i < batch->n; i++) {
        const struct tw_product_body *body = batch->items[i].value;
        if (batch->items[i].n_errors > 0 || body->product_id.present || body->sku.p)
            continue;
        batch->items[i].errors = &error;
        batch->items[i].n_errors = 1;
    }
}

// The items without faults; returns how many.
static size_t collect(const struct tw_req *req, const struct batch *batch,
                      struct tw_product_put *puts)
{
    size_t n = 0;
    for (size_t i = 0; i < batch->n; i++) {
        const struct tw_product_body *body = batch->items[i].value;
        if (batch->items[i].n_errors > 0)
            continue;
        bool has_id = body->product_id.present;
        puts[n++] = (struct tw_product_put){
            .product = body,
            .product_id = has_id ? body->product_id.value : tw_uuid_v7(req->received_unix_ms),
            .by_sku = !has_id};
    }
    return n;
}

struct tw_verdict tw_product_batch(struct tw_req *req)
{
    struct batch *batch = req->state = tw_req_alloc(req, sizeof(*batch));
    struct tw_verdict verdict;
    if (!tw_body_parse_each(req, &tw_product_whole_schema, PRODUCTS_MAX, &batch->items, &batch->n,
                            &verdict))
        return verdict;
    refuse_nameless(batch);
    struct tw_product_put *puts = tw_req_alloc(req, batch->n * sizeof(*puts));
    size_t n = collect(req, batch, puts);
    if (n == 0)
        return reply_results(req, batch, NULL);
    char buffer[4096];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, req->principal->subject);
    tw_param_null(&params);
    tw_param_bool(&params, false);
    tw_param_product_puts(&params, puts, n);
    return tw_await_db(req, TW_STMT_PRODUCT_PUT, &params, product_batch_2_written);
}
