// SPDX-License-Identifier: Apache-2.0
// product_changes: the catalogue as the back office changes it: add, put, patch, delete.
//
// PUT makes a product under an id that the client chose; a PUT that changes nothing leaves the row,
// its version and its updatedAt alone, so that no till fetches it again. Statements say what came
// of a change in their first column. Runs in: worker.
#include "gateway/cached.h"
#include "gateway/reply.h"
#include "handlers/etag.h"
#include "handlers/handlers.h"
#include "handlers/idempotency.h"
#include "handlers/params.h"
#include "handlers/product_body.h"
#include "handlers/product_json.h"
#include "handlers/product_put.h"

enum { COL_VERDICT, COL_PRODUCT };

// ---- the answer ---------------------------------------------------------------------------------

static struct tw_verdict reply_product(struct tw_req *req, const struct tw_rows *rows,
                                       unsigned http_status)
{
    if (http_status == 201) {
        struct tw_uuid id = tw_row_uuid(rows, 0, COL_PRODUCT);
        char location[13 + TW_UUID_TEXT_LEN];
        memcpy(location, "/v1/products/", 13);
        tw_uuid_format(&id, location + 13);
        tw_reply_header(req, TW_STR("location"), (struct tw_str){location, sizeof(location)});
    }
    tw_reply_header(req, TW_STR("etag"), tw_product_etag(req, rows, 0, COL_PRODUCT));
    struct tw_json json = tw_reply_body(req);
    tw_json_product(&json, req->config, rows, 0, COL_PRODUCT);
    return tw_reply_json(req, http_status, &json);
}

static struct tw_verdict fail_exists(struct tw_req *req, const struct tw_problem_error *error)
{
    return tw_fail_errors(req, TW_ALREADY_EXISTS, "Such a product exists.", error, 1);
}

static struct tw_verdict fail_precondition(struct tw_req *req)
{
    return tw_fail(req, TW_PRECONDITION_FAILED,
                   "The product is not in the state that the request is meant for: read it again.");
}

static bool is_verdict(const struct tw_db_result *result)
{
    return result->status == TW_OK && tw_rows_count(result->rows) == 1;
}

// What a statement that changes products has come to.
static struct tw_verdict answer(struct tw_req *req, const struct tw_db_result *result)
{
    struct tw_uuid id;
    if (tw_path_uuid(req, 0, &id)) // a POST makes what nobody has read yet
        tw_cache_forget_product(req, id.bytes);
    if (!is_verdict(result))
        return tw_fail(req, TW_INTERNAL, NULL);
    struct tw_str verdict = tw_row_str(result->rows, 0, COL_VERDICT);
    if (tw_str_eq(verdict, TW_STR("created")))
        return reply_product(req, result->rows, 201);
    if (tw_str_eq(verdict, TW_STR("updated")) || tw_str_eq(verdict, TW_STR("unchanged")))
        return reply_product(req, result->rows, 200);
    if (tw_str_eq(verdict, TW_STR("deleted")))
        return tw_reply_empty(req, 204);
    if (tw_str_eq(verdict, TW_STR("precondition-failed")))
        return fail_precondition(req);
    if (tw_str_eq(verdict, TW_STR("not-found")))
        return tw_fail(req, TW_NOT_FOUND, "There is no such product.");
    struct tw_problem_error error = tw_product_taken(verdict);
    return fail_exists(req, &error);
}

// ---- POST /v1/products --------------------------------------------------------------------------

static struct tw_verdict product_create_2_written(struct tw_req *req,
                                                  const struct tw_db_result *result)
{
    static const struct tw_problem_error exists = {TW_STR("/productId"), "already-exists",
                                                   TW_STR("There is one under this id.")};
    if (!is_verdict(result))
        return answer(req, result);
    struct tw_str verdict = tw_row_str(result->rows, 0, COL_VERDICT);
    if (tw_str_eq(verdict, TW_STR("replayed"))) {
        tw_reply_header(req, TW_STR("idempotency-replayed"), TW_STR("true"));
        return reply_product(req, result->rows, 201);
    }
    if (tw_str_eq(verdict, TW_STR("idempotency-mismatch")))
        return tw_fail(req, TW_IDEMPOTENCY_MISMATCH, TW_KEY_IS_USED);
    if (tw_str_eq(verdict, TW_STR("not-found")))
        return tw_fail(req, TW_NOT_FOUND, "The product was added under this key, and deleted.");
    return tw_str_eq(verdict, TW_STR("precondition-failed")) ? fail_exists(req, &exists)
                                                             : answer(req, result);
}

struct tw_verdict tw_product_create(struct tw_req *req)
{
    struct tw_product_body body;
    struct tw_str key;
    struct tw_verdict verdict;
    if (!tw_body_parse(req, &tw_product_whole_schema, &body, &verdict) ||
        !tw_idempotency_key_if_any(req, &key, &verdict))
        return verdict;
    char buffer[2048];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, req->principal->subject);
    tw_param_uuid_if(&params, body.product_id.present, &body.product_id.value);
    tw_param_product_fields(&params, &body);
    tw_param_creation(req, TW_STR("POST /v1/products"), key, &params);
    return tw_await_db(req, TW_STMT_PRODUCT_CREATE, &params, product_create_2_written);
}

// ---- PUT and PATCH /v1/products/{productId} -----------------------------------------------------

// The product of the path, and a body that means no other.
static bool parse(struct tw_req *req, const struct tw_schema *schema, struct tw_product_body *body,
                  struct tw_uuid *id, struct tw_verdict *verdict)
{
    if (!tw_path_uuid(req, 0, id)) {
        *verdict = tw_fail(req, TW_NOT_FOUND, "There is no such product.");
        return false;
    }
    if (!tw_body_parse(req, schema, body, verdict))
        return false;
    if (body->product_id.present && memcmp(&body->product_id.value, id, sizeof(*id)) != 0) {
        struct tw_problem_error error = {TW_STR("/productId"), "mismatch",
                                         TW_STR("Must be the one in the path.")};
        *verdict = tw_fail_errors(req, TW_VALIDATION_FAILED, "See errors.", &error, 1);
        return false;
    }
    return true;
}

static struct tw_verdict product_put_2_written(struct tw_req *req,
                                               const struct tw_db_result *result)
{
    return answer(req, result);
}

struct tw_verdict tw_product_put(struct tw_req *req)
{
    struct tw_product_body body;
    struct tw_product_put put = {.product = &body};
    struct tw_verdict verdict;
    if (!parse(req, &tw_product_whole_schema, &body, &put.product_id, &verdict))
        return verdict;
    char buffer[2048];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, req->principal->subject);
    tw_param_if_match(&params, req);
    tw_param_bool(&params, tw_req_wants_new(req));
    tw_param_product_puts(&params, &put, 1);
    return tw_await_db(req, TW_STMT_PRODUCT_PUT, &params, product_put_2_written);
}

static struct tw_verdict product_patch_2_written(struct tw_req *req,
                                                 const struct tw_db_result *result)
{
    return answer(req, result);
}

struct tw_verdict tw_product_patch(struct tw_req *req)
{
    struct tw_product_body patch;
    struct tw_uuid id;
    struct tw_verdict verdict;
    if (!parse(req, &tw_product_patch_schema, &patch, &id, &verdict))
        return verdict;
    char buffer[1024];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, req->principal->subject);
    tw_param_if_match(&params, req);
    tw_param_uuid(&params, &id);
    tw_param_i32(&params, tw_product_patch_fields(&patch));
    tw_param_optional(&params, patch.name);
    tw_param_i64(&params, patch.price.value);
    tw_param_optional(&params, patch.description);
    tw_param_optional(&params, patch.category);
    tw_param_optional(&params, patch.image);
    tw_param_optional(&params, patch.sku);
    tw_param_optional(&params, patch.barcode);
    tw_param_i32(&params, (int32_t)patch.tax_rate.value);
    return tw_await_db(req, TW_STMT_PRODUCT_PATCH, &params, product_patch_2_written);
}

// ---- DELETE /v1/products/{productId} ------------------------------------------------------------

static struct tw_verdict product_delete_2_written(struct tw_req *req,
                                                  const struct tw_db_result *result)
{
    return answer(req, result);
}

struct tw_verdict tw_product_delete(struct tw_req *req)
{
    struct tw_uuid id;
    if (!tw_path_uuid(req, 0, &id))
        return tw_fail(req, TW_NOT_FOUND, "There is no such product.");
    char buffer[256];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, req->principal->subject);
    tw_param_if_match(&params, req);
    tw_param_uuid(&params, &id);
    return tw_await_db(req, TW_STMT_PRODUCT_DELETE, &params, product_delete_2_written);
}
