// SPDX-License-Identifier: Apache-2.0
// products: one product of the catalogue, by its id or a code. Runs in: worker.
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/params.h"
#include "handlers/product_json.h"

// ---- GET /v1/products/{productId} ---------------------------------------------------------------

static struct tw_verdict product_get_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) == 0)
        return tw_fail(req, TW_NOT_FOUND, "There is no such product.");
    if (tw_reply_etag(req, tw_product_etag(req, result->rows, 0, 0)))
        return tw_reply_empty(req, 304);
    struct tw_json json = tw_reply_body(req);
    tw_json_product(&json, req->config, result->rows, 0, 0);
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

// ---- GET /v1/products/lookup --------------------------------------------------------------------

struct tw_verdict tw_product_lookup(struct tw_req *req)
{
    static const struct tw_param_spec spec = {"code", 64};
    struct tw_str code;
    struct tw_verdict verdict;
    char buffer[256];
    struct tw_params params;
    if (!tw_query_parse(req, &spec, 1, &code, &verdict))
        return verdict;
    if (code.n == 0)
        return tw_fail(req, TW_INVALID_PARAMETER, "code must be a barcode or an sku.");
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_str(&params, code);
    return tw_await_db(req, TW_STMT_PRODUCT_LOOKUP, &params, product_get_2_read);
}
