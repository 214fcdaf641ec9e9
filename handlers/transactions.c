// SPDX-License-Identifier: Apache-2.0
// transactions: recorded sales, read one by one and as a list. Selling is in sales.c, giving back
// in refunds.c. Runs in: worker.
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/page.h"
#include "handlers/params.h"
#include "handlers/refund_json.h"
#include "handlers/store.h"
#include "handlers/transaction_json.h"

// ---- GET /v1/transactions/{transactionId} -------------------------------------------------------

// A sale whose refunds are still to be read.
struct get_state {
    struct tw_uuid id;
    struct tw_json json;
};

static void put_id_and_scope(struct tw_params *params, const struct tw_req *req,
                             const struct tw_uuid *id)
{
    tw_param_uuid(params, id);
    tw_param_optional(params, tw_req_store_scope(req));
}

static struct tw_verdict transaction_get_3_refunds(struct tw_req *req,
                                                   const struct tw_db_result *result)
{
    struct get_state *state = req->state;
    tw_json_key(&state->json, TW_STR("refunds"));
    tw_json_array(&state->json);
    for (int row = 0; row < tw_rows_count(result->rows); row++)
        tw_json_refund(&state->json, req->config, result->rows, row, 0);
    tw_json_array_end(&state->json);
    tw_json_object_end(&state->json);
    return tw_reply_json(req, 200, &state->json);
}

// Most sales have no refunds: their status says so, which spares a statement.
static struct tw_verdict transaction_get_2_read(struct tw_req *req,
                                                const struct tw_db_result *result)
{
    struct get_state *state = req->state;
    char buffer[256];
    struct tw_params params;
    if (tw_rows_count(result->rows) == 0)
        return tw_fail(req, TW_NOT_FOUND, "There is no such transaction.");
    state->json = tw_reply_body(req);
    if (tw_json_transaction_is_completed(result->rows, 0, 0)) {
        tw_json_transaction(&state->json, req->config, result->rows, 0, 0);
        return tw_reply_json(req, 200, &state->json);
    }
    tw_json_transaction_begin(&state->json, req->config, result->rows, 0, 0);
    tw_params_init(&params, buffer, sizeof(buffer));
    put_id_and_scope(&params, req, &state->id);
    return tw_await_db(req, TW_STMT_REFUND_LIST, &params, transaction_get_3_refunds);
}

// Another store's sale is answered exactly like one that does not exist (FAULTS B6).
struct tw_verdict tw_transaction_get(struct tw_req *req)
{
    struct get_state *state = req->state = tw_req_alloc(req, sizeof(*state));
    char buffer[256];
    struct tw_params params;
    if (!tw_path_uuid(req, 0, &state->id))
        return tw_fail(req, TW_NOT_FOUND, "There is no such transaction.");
    tw_params_init(&params, buffer, sizeof(buffer));
    put_id_and_scope(&params, req, &state->id);
    return tw_await_db(req, TW_STMT_TRANSACTION_GET, &params, transaction_get_2_read);
}

// ---- GET /v1/transactions -----------------------------------------------------------------------

struct list_state {
    int32_t limit;
};

enum {
    PARAM_DATE,
    PARAM_FROM,
    PARAM_TO,
    PARAM_CASHIER,
    PARAM_STATUS,
    PARAM_METHOD,
    PARAM_EXCEPTION,
    PARAM_STORE,
    PARAM_LIMIT,
    PARAM_AFTER,
    PARAM_COUNT
};

static const struct tw_param_spec list_params[PARAM_COUNT] = {
    [PARAM_DATE] = {"date", 10},
    [PARAM_FROM] = {"from", 10},
    [PARAM_TO] = {"to", 10},
    [PARAM_CASHIER] = {"cashierId", 128},
    [PARAM_STATUS] = {"status", 32},
    [PARAM_METHOD] = {"paymentMethod", 32},
    [PARAM_EXCEPTION] = {"exception", 16},
    [PARAM_STORE] = {"storeId", TW_STORE_MAX},
    [PARAM_LIMIT] = {"limit", 3},
    [PARAM_AFTER] = {"after", TW_UUID_TEXT_LEN},
};

// One row more than the page was asked for: it says whether there is a next page.
static struct tw_verdict transaction_list_2_read(struct tw_req *req,
                                                 const struct tw_db_result *result)
{
    const struct list_state *state = req->state;
    int n = tw_rows_count(result->rows);
    bool more = n > state->limit;
    struct tw_json json = tw_page_body(req, result->rows);
    tw_json_object(&json);
    tw_json_key(&json, TW_STR("items"));
    tw_json_array(&json);
    for (int row = 0; row < n && row < state->limit; row++) {
        tw_json_transaction_begin(&json, req->config, result->rows, row, 0);
        tw_json_object_end(&json);
    }
    tw_json_array_end(&json);
    struct tw_uuid last = more ? tw_row_uuid(result->rows, state->limit - 1, 0)
                               : (struct tw_uuid){0};
    tw_page_next(req, &json, more ? &last : NULL);
    tw_json_object_end(&json);
    return tw_reply_json(req, 200, &json);
}

static bool is_status(struct tw_str text)
{
    return tw_str_eq(text, TW_STR("completed")) || tw_str_eq(text, TW_STR("voided")) ||
           tw_str_eq(text, TW_STR("partially_refunded")) || tw_str_eq(text, TW_STR("refunded"));
}

static bool is_exception(struct tw_str text)
{
    return tw_str_eq(text, TW_STR("stock")) || tw_str_eq(text, TW_STR("price")) ||
           tw_str_eq(text, TW_STR("amount")) || tw_str_eq(text, TW_STR("any"));
}

// A date as a parameter: text, which PostgreSQL reads; it was checked.
static bool is_date(struct tw_str text)
{
    char time[TW_ISO8601_LEN] = "YYYY-MM-DDT00:00:00Z";
    int64_t unix_ms;
    if (text.n != sizeof("YYYY-MM-DD") - 1)
        return false;
    memcpy(time, text.p, text.n);
    return tw_time_parse((struct tw_str){time, sizeof("YYYY-MM-DDT00:00:00Z") - 1}, &unix_ms);
}

// What is wrong with the parameters, or NULL.
static const char *check_list(const struct tw_str values[PARAM_COUNT], int32_t *limit,
                              struct tw_uuid *after)
{
    for (size_t i = PARAM_DATE; i <= PARAM_TO; i++)
        if (values[i].p && !is_date(values[i]))
            return "date, from and to must be dates: YYYY-MM-DD.";
    if (values[PARAM_DATE].p && (values[PARAM_FROM].p || values[PARAM_TO].p))
        return "date is from and to in one: give it alone.";
    if (values[PARAM_STATUS].p && !is_status(values[PARAM_STATUS]))
        return "status must be completed, voided, partially_refunded or refunded.";
    if (values[PARAM_EXCEPTION].p && !is_exception(values[PARAM_EXCEPTION]))
        return "exception must be stock, price, amount or any.";
    if (!tw_list_limit(values[PARAM_LIMIT], limit))
        return "limit must be from 1 to 500.";
    if (values[PARAM_AFTER].p && !tw_uuid_parse(values[PARAM_AFTER], after))
        return "after must be the `next` of the page before.";
    return NULL;
}

struct tw_verdict tw_transaction_list(struct tw_req *req)
{
    struct list_state *state = req->state = tw_req_alloc(req, sizeof(*state));
    struct tw_str values[PARAM_COUNT], store;
    struct tw_verdict verdict;
    struct tw_uuid after;
    char buffer[512];
    struct tw_params params;
    if (!tw_query_parse(req, list_params, PARAM_COUNT, values, &verdict) ||
        !tw_store_narrow(req, values[PARAM_STORE], &store, &verdict))
        return verdict;
    const char *fault = check_list(values, &state->limit, &after);
    if (fault)
        return tw_fail(req, TW_INVALID_PARAMETER, fault);
    bool is_day = values[PARAM_DATE].p != NULL;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_optional(&params, store);
    tw_param_optional(&params, values[is_day ? PARAM_DATE : PARAM_FROM]);
    tw_param_optional(&params, values[is_day ? PARAM_DATE : PARAM_TO]);
    tw_param_optional(&params, values[PARAM_CASHIER]);
    tw_param_optional(&params, values[PARAM_STATUS]);
    tw_param_optional(&params, values[PARAM_METHOD]);
    if (values[PARAM_AFTER].p)
        tw_param_uuid(&params, &after);
    else
        tw_param_null(&params);
    tw_param_i32(&params, state->limit + 1);
    tw_param_optional(&params, values[PARAM_EXCEPTION]);
    return tw_await_db(req, TW_STMT_TRANSACTION_LIST, &params, transaction_list_2_read);
}
