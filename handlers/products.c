// SPDX-License-Identifier: Apache-2.0
// products: one product of the catalogue, by its id or a code. Runs in: worker.
#include "gateway/cached.h"
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/params.h"
#include "handlers/product_json.h"

// ---- GET /v1/products/{productId} ---------------------------------------------------------------

static struct tw_cached product_get_2_make(struct tw_req *req, const struct tw_rows *rows)
{
    struct tw_json json = tw_reply_body(req);
    tw_json_product(&json, req->config, rows, 0, 0);
    return (struct tw_cached){{json.p, json.n}, tw_product_etag(req, rows, 0, 0)};
}

static struct tw_verdict product_get_3_reply(struct tw_req *req, const struct tw_cached *product)
{
    if (!product)
        return tw_fail(req, TW_NOT_FOUND, "There is no such product.");
    if (tw_reply_etag(req, product->etag))
        return tw_reply_empty(req, 304);
    return tw_reply_json_text(req, 200, product->body);
}

static const struct tw_cached_read product_get = {TW_STMT_PRODUCT_GET, product_get_2_make,
                                                  product_get_3_reply};

struct tw_verdict tw_product_get(struct tw_req *req)
{
    struct tw_uuid id;
    if (!tw_path_uuid(req, 0, &id))
        return tw_fail(req, TW_NOT_FOUND, "There is no such product.");
    return tw_await_cached(req, &product_get, &id);
}

// ---- GET /v1/products/lookup --------------------------------------------------------------------

static struct tw_verdict product_lookup_2_read(struct tw_req *req,
                                               const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) == 0)
        return product_get_3_reply(req, NULL);
    struct tw_cached product = product_get_2_make(req, result->rows);
    return product_get_3_reply(req, &product);
}

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
    tw_param_array(&params, TW_ARRAY_TEXT, 1);
    tw_param_str(&params, code);
    tw_param_array_end(&params);
    return tw_await_db(req, TW_STMT_PRODUCT_LOOKUP, &params, product_lookup_2_read);
}
