// SPDX-License-Identifier: Apache-2.0
// audit: GET /v1/audit: who changed what, the newest first. An admin sees everything, a manager
// what happened in his store; what belongs to no store, as products do, is an admin's to see.
// Nobody can change or remove it (db/migrations/0005). Runs in: worker.
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/page.h"
#include "handlers/params.h"
#include "handlers/store.h"

// Columns of audit_list.
enum {
    COL_ID,
    COL_AT,
    COL_ACTOR,
    COL_ACTION,
    COL_ENTITY,
    COL_ENTITY_ID,
    COL_STORE_ID,
    COL_BEFORE,
    COL_AFTER,
    COL_AT_US
};

enum {
    PARAM_ENTITY,
    PARAM_ENTITY_ID,
    PARAM_ACTOR,
    PARAM_FROM,
    PARAM_TO,
    PARAM_STORE,
    PARAM_LIMIT,
    PARAM_AFTER,
    PARAM_COUNT
};

static const struct tw_param_spec list_params[PARAM_COUNT] = {
    [PARAM_ENTITY] = {"entity", 64}, [PARAM_ENTITY_ID] = {"entityId", 255},
    [PARAM_ACTOR] = {"actor", 255},  [PARAM_FROM] = {"from", 30},
    [PARAM_TO] = {"to", 30},         [PARAM_STORE] = {"storeId", TW_STORE_MAX},
    [PARAM_LIMIT] = {"limit", 3},    [PARAM_AFTER] = {"after", 64},
};

struct page {
    int32_t limit;
};

// A state is JSON of PostgreSQL's making.
static void put_state(struct tw_json *json, struct tw_str key, struct tw_str state)
{
    tw_json_key(json, key);
    if (state.p)
        tw_json_raw(json, state);
    else
        tw_json_null(json);
}

static void put_entry(struct tw_json *json, const struct tw_rows *rows, int row)
{
    tw_json_object(json);
    TW_JSON_I64(json, "id", tw_row_i64(rows, row, COL_ID));
    tw_json_key(json, TW_STR("at"));
    tw_json_time(json, tw_row_unix_ms(rows, row, COL_AT));
    TW_JSON_STR(json, "actor", tw_row_str(rows, row, COL_ACTOR));
    TW_JSON_STR(json, "action", tw_row_str(rows, row, COL_ACTION));
    TW_JSON_STR(json, "entity", tw_row_str(rows, row, COL_ENTITY));
    TW_JSON_STR(json, "entityId", tw_row_str(rows, row, COL_ENTITY_ID));
    tw_json_key(json, TW_STR("storeId"));
    if (tw_row_is_null(rows, row, COL_STORE_ID))
        tw_json_null(json);
    else
        tw_json_str(json, tw_row_str(rows, row, COL_STORE_ID));
    put_state(json, TW_STR("before"), tw_row_str(rows, row, COL_BEFORE));
    put_state(json, TW_STR("after"), tw_row_str(rows, row, COL_AFTER));
    tw_json_object_end(json);
}

static struct tw_str cursor_of(struct tw_req *req, const struct tw_rows *rows, int row)
{
    char text[24];
    struct tw_json id = tw_json_fixed(text, sizeof(text));
    tw_json_i64(&id, tw_row_i64(rows, row, COL_ID));
    return tw_cursor(req, tw_row_i64(rows, row, COL_AT_US), (struct tw_str){id.p, id.n});
}

static struct tw_verdict audit_list_2_read(struct tw_req *req, const struct tw_db_result *result)
{
    const struct page *page = req->state;
    int n = tw_rows_count(result->rows);
    bool more = n > page->limit;
    struct tw_json json = tw_page_body(req, result->rows);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("items"));
    tw_json_array(&json);
    for (int row = 0; row < n && row < page->limit; row++)
        put_entry(&json, result->rows, row);
    tw_json_array_end(&json);
    tw_page_next_text(req, &json,
                      more ? cursor_of(req, result->rows, page->limit - 1)
                           : (struct tw_str){NULL, 0});
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}

// A time or NULL; false: it is neither.
static bool put_time(struct tw_params *params, struct tw_str text)
{
    int64_t unix_ms = 0;
    if (text.p && !tw_time_parse(text, &unix_ms))
        return false;
    if (text.p)
        tw_param_time(params, unix_ms);
    else
        tw_param_null(params);
    return true;
}

static bool put_after(struct tw_params *params, struct tw_str after)
{
    int64_t at_us = 0, id = 0;
    struct tw_str id_text;
    if (!after.p) {
        tw_param_null(params);
        tw_param_null(params);
        return true;
    }
    if (!tw_cursor_parse(after, &at_us, &id_text) || !tw_str_to_i64(id_text, 1, INT64_MAX, &id))
        return false;
    tw_param_i64(params, at_us);
    tw_param_i64(params, id);
    return true;
}

static struct tw_verdict fail(struct tw_req *req, struct tw_params *params, const char *detail)
{
    tw_params_free(params);
    return tw_fail(req, TW_INVALID_PARAMETER, detail);
}

struct tw_verdict tw_audit_list(struct tw_req *req)
{
    struct tw_str values[PARAM_COUNT], store;
    struct tw_verdict verdict;
    if (!tw_query_parse(req, list_params, PARAM_COUNT, values, &verdict) ||
        !tw_store_narrow(req, values[PARAM_STORE], &store, &verdict))
        return verdict;
    struct page *page = req->state = tw_req_alloc(req, sizeof(*page));
    char buffer[1024];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    if (!tw_list_limit(values[PARAM_LIMIT], &page->limit))
        return fail(req, &params, "limit must be from 1 to 500.");
    if (values[PARAM_ENTITY_ID].p && !values[PARAM_ENTITY].p)
        return fail(req, &params, "entityId goes with entity.");
    tw_param_optional(&params, store);
    tw_param_optional(&params, values[PARAM_ENTITY]);
    tw_param_optional(&params, values[PARAM_ENTITY_ID]);
    tw_param_optional(&params, values[PARAM_ACTOR]);
    if (!put_time(&params, values[PARAM_FROM]) || !put_time(&params, values[PARAM_TO]))
        return fail(req, &params, "from and to must be ISO 8601 times in UTC.");
    if (!put_after(&params, values[PARAM_AFTER]))
        return fail(req, &params, "after must be the `next` of the page before.");
    tw_param_i32(&params, page->limit + 1);
    return tw_await_db(req, TW_STMT_AUDIT_LIST, &params, audit_list_2_read);
}
