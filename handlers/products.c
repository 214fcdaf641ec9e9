// SPDX-License-Identifier: Apache-2.0
// products: the catalogue as tills read it: one by id or code, and lists. Runs in: worker.
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/page.h"
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

// ---- GET /v1/products ---------------------------------------------------------------------------

struct list_state {
    int32_t limit;
};

enum { PARAM_CATEGORY, PARAM_Q, PARAM_UPDATED_SINCE, PARAM_LIMIT, PARAM_AFTER, PARAM_COUNT };

static const struct tw_param_spec list_params[PARAM_COUNT] = {
    [PARAM_CATEGORY] = {"category", 64},          [PARAM_Q] = {"q", 100},
    [PARAM_UPDATED_SINCE] = {"updatedSince", 30}, [PARAM_LIMIT] = {"limit", 3},
    [PARAM_AFTER] = {"after", TW_UUID_TEXT_LEN},
};

// One row more than the page was asked for: it says whether there is a next page.
static struct tw_verdict product_list_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    const struct list_state *state = req->state;
    int n = tw_rows_count(result->rows);
    bool more = n > state->limit;
    struct tw_json json = tw_reply_body(req);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("items"));
    tw_json_array(&json);
    for (int row = 0; row < n && row < state->limit; row++)
        tw_json_product(&json, req->config, result->rows, row, 0);
    tw_json_array_end(&json);
    struct tw_uuid last = more ? tw_row_uuid(result->rows, state->limit - 1, TW_PRODUCT_ID)
                               : (struct tw_uuid){0};
    tw_page_next(req, &json, more ? &last : NULL);
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}

struct tw_verdict tw_product_list(struct tw_req *req)
{
    struct tw_str values[PARAM_COUNT];
    struct tw_verdict verdict;
    if (!tw_query_parse(req, list_params, PARAM_COUNT, values, &verdict))
        return verdict;
    struct list_state *state = req->state = tw_req_alloc(req, sizeof(*state));
    int64_t updated_since_ms = 0;
    struct tw_uuid after;
    if (!tw_list_limit(values[PARAM_LIMIT], &state->limit))
        return tw_fail(req, TW_INVALID_PARAMETER, "limit must be from 1 to 500.");
    if (values[PARAM_UPDATED_SINCE].p &&
        !tw_time_parse(values[PARAM_UPDATED_SINCE], &updated_since_ms))
        return tw_fail(req, TW_INVALID_PARAMETER, "updatedSince must be an ISO 8601 time in UTC.");
    if (values[PARAM_AFTER].p && !tw_uuid_parse(values[PARAM_AFTER], &after))
        return tw_fail(req, TW_INVALID_PARAMETER, "after must be the `next` of the page before.");

    char buffer[512];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_optional(&params, values[PARAM_CATEGORY]);
    tw_param_optional(&params, values[PARAM_Q]);
    if (values[PARAM_UPDATED_SINCE].p)
        tw_param_time(&params, updated_since_ms);
    else
        tw_param_null(&params);
    if (values[PARAM_AFTER].p)
        tw_param_uuid(&params, &after);
    else
        tw_param_null(&params);
    tw_param_i32(&params, state->limit + 1);
    return tw_await_db(req, TW_STMT_PRODUCT_LIST, &params, product_list_2_read);
}
