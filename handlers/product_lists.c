// SPDX-License-Identifier: Apache-2.0
// product_lists: GET /v1/products: the catalogue by pages, what a person looks for, and what has
// changed since a time. Three statements, because no one plan could serve them all.
//
// With `updatedSince` a till keeps in step: changes come in the order in which they were committed,
// deletions too, as {"productId", "deleted": true, …}. `asOf` is what to send as the next
// updatedSince; the changes of that very millisecond come once more. Runs in: worker.
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/page.h"
#include "handlers/params.h"
#include "handlers/product_json.h"

#define Q_MAX 100

enum { PARAM_CATEGORY, PARAM_Q, PARAM_UPDATED_SINCE, PARAM_LIMIT, PARAM_AFTER, PARAM_COUNT };

static const struct tw_param_spec list_params[PARAM_COUNT] = {
    [PARAM_CATEGORY] = {"category", 64},
    [PARAM_Q] = {"q", Q_MAX},
    [PARAM_UPDATED_SINCE] = {"updatedSince", 30},
    [PARAM_LIMIT] = {"limit", 3},
    [PARAM_AFTER] = {"after", 64},
};

struct list {
    struct tw_str category, q; // p is NULL when not asked for
    bool is_sync;              // updatedSince was given
    int64_t since_unix_ms;
    int32_t limit;
};

static struct tw_verdict fail_after(struct tw_req *req)
{
    return tw_fail(req, TW_INVALID_PARAMETER, "after must be the `next` of the page before.");
}

// q, and q for ILIKE: anywhere, and its own wildcards are text.
static void put_search(struct tw_params *params, struct tw_str q)
{
    char pattern[2 * Q_MAX + 2];
    size_t n = 0;
    tw_param_optional(params, q);
    if (!q.p) {
        tw_param_null(params);
        return;
    }
    pattern[n++] = '%';
    for (size_t i = 0; i < q.n; i++) {
        if (q.p[i] == '\\' || q.p[i] == '%' || q.p[i] == '_')
            pattern[n++] = '\\';
        pattern[n++] = q.p[i];
    }
    pattern[n++] = '%';
    tw_param_str(params, (struct tw_str){pattern, n});
}

// ---- in the order of ids ------------------------------------------------------------------------

// One row more than the page was asked for: it says whether there is a next page.
static struct tw_verdict product_list_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    const struct list *list = req->state;
    int n = tw_rows_count(result->rows);
    bool more = n > list->limit;
    struct tw_json json = tw_page_body(req, result->rows);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("items"));
    tw_json_array(&json);
    for (int row = 0; row < n && row < list->limit; row++)
        tw_json_product(&json, req->config, result->rows, row, 0);
    tw_json_array_end(&json);
    struct tw_uuid last = more ? tw_row_uuid(result->rows, list->limit - 1, TW_PRODUCT_ID)
                               : (struct tw_uuid){0};
    tw_page_next(req, &json, more ? &last : NULL);
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}

static struct tw_verdict read_list(struct tw_req *req, const struct list *list, struct tw_str after)
{
    struct tw_uuid last;
    if (after.p && !tw_uuid_parse(after, &last))
        return fail_after(req);
    char buffer[768];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_optional(&params, list->category);
    if (list->q.n > 0)
        put_search(&params, list->q);
    if (after.p)
        tw_param_uuid(&params, &last);
    else
        tw_param_null(&params);
    tw_param_i32(&params, list->limit + 1);
    return tw_await_db(req, list->q.n > 0 ? TW_STMT_PRODUCT_SEARCH : TW_STMT_PRODUCT_LIST, &params,
                       product_list_2_read);
}

// ---- in the order of changes --------------------------------------------------------------------

enum { COL_IS_DELETED = TW_PRODUCT_COLUMNS, COL_CHANGED_US };

static void put_change(struct tw_req *req, struct tw_json *json, const struct tw_rows *rows,
                       int row)
{
    if (!tw_row_bool(rows, row, COL_IS_DELETED)) {
        tw_json_product(json, req->config, rows, row, 0);
        return;
    }
    struct tw_uuid id = tw_row_uuid(rows, row, TW_PRODUCT_ID);
    tw_json_object(json);
    tw_json_key(json, TW_STR("productId"));
    tw_json_uuid(json, &id);
    tw_json_key(json, TW_STR("deleted"));
    tw_json_bool(json, true);
    tw_json_key(json, TW_STR("updatedAt"));
    tw_json_time(json, tw_row_unix_ms(rows, row, TW_PRODUCT_UPDATED_AT));
    TW_JSON_I64(json, "version", tw_row_i64(rows, row, TW_PRODUCT_VERSION));
    tw_json_object_end(json);
}

static struct tw_str cursor_of(struct tw_req *req, const struct tw_rows *rows, int row)
{
    char text[TW_UUID_TEXT_LEN];
    struct tw_uuid id = tw_row_uuid(rows, row, TW_PRODUCT_ID);
    tw_uuid_format(&id, text);
    return tw_cursor(req, tw_row_i64(rows, row, COL_CHANGED_US),
                     (struct tw_str){text, sizeof(text)});
}

static struct tw_verdict product_sync_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    const struct list *list = req->state;
    int n = tw_rows_count(result->rows);
    bool more = n > list->limit;
    int last = (more ? list->limit : n) - 1;
    struct tw_json json = tw_page_body(req, result->rows);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("items"));
    tw_json_array(&json);
    for (int row = 0; row <= last; row++)
        put_change(req, &json, result->rows, row);
    tw_json_array_end(&json);
    tw_page_next_text(req, &json,
                      more ? cursor_of(req, result->rows, last) : (struct tw_str){NULL, 0});
    tw_json_key(&json, TW_STR("asOf"));
    tw_json_time(&json, last < 0 ? list->since_unix_ms
                                 : tw_row_unix_ms(result->rows, last, TW_PRODUCT_UPDATED_AT));
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}

static struct tw_verdict read_sync(struct tw_req *req, const struct list *list, struct tw_str after)
{
    int64_t changed_us = 0;
    struct tw_str id_text;
    struct tw_uuid id;
    if (after.p && (!tw_cursor_parse(after, &changed_us, &id_text) || !tw_uuid_parse(id_text, &id)))
        return fail_after(req);
    char buffer[768];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_optional(&params, list->category);
    put_search(&params, list->q);
    tw_param_time(&params, list->since_unix_ms);
    if (after.p) {
        tw_param_i64(&params, changed_us);
        tw_param_uuid(&params, &id);
    } else {
        tw_param_null(&params);
        tw_param_null(&params);
    }
    tw_param_i32(&params, list->limit + 1);
    return tw_await_db(req, TW_STMT_PRODUCT_SYNC, &params, product_sync_2_read);
}

// ---- the request --------------------------------------------------------------------------------

struct tw_verdict tw_product_list(struct tw_req *req)
{
    struct tw_str values[PARAM_COUNT];
    struct tw_verdict verdict;
    if (!tw_query_parse(req, list_params, PARAM_COUNT, values, &verdict))
        return verdict;
    struct list *list = req->state = tw_req_alloc(req, sizeof(*list));
    *list = (struct list){.category = values[PARAM_CATEGORY],
                          .q = values[PARAM_Q],
                          .is_sync = values[PARAM_UPDATED_SINCE].p != NULL};
    if (!tw_list_limit(values[PARAM_LIMIT], &list->limit))
        return tw_fail(req, TW_INVALID_PARAMETER, "limit must be from 1 to 500.");
    if (list->is_sync && !tw_time_parse(values[PARAM_UPDATED_SINCE], &list->since_unix_ms))
        return tw_fail(req, TW_INVALID_PARAMETER, "updatedSince must be an ISO 8601 time in UTC.");
    return list->is_sync ? read_sync(req, list, values[PARAM_AFTER])
                         : read_list(req, list, values[PARAM_AFTER]);
}
