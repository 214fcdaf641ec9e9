// SPDX-License-Identifier: Apache-2.0
// sales: POST /v1/transactions: a basket becomes a recorded sale in one call of record_sales.
//
// The key that makes it safe to repeat is the Idempotency-Key header, else the till-made
// transactionId. What the key stands for is a fingerprint of the sale as parsed (sale.h).
// Runs in: worker.
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/idempotency.h"
#include "handlers/sale.h"
#include "handlers/transaction_json.h"

// Columns of record_sales; those of the transaction follow.
enum { COL_INDEX, COL_VERDICT, COL_REFUSED_LINE, COL_TRANSACTION };

static struct tw_verdict reply_sale(struct tw_req *req, const struct tw_rows *rows, bool replayed)
{
    struct tw_uuid id = tw_row_uuid(rows, 0, COL_TRANSACTION);
    char location[17 + TW_UUID_TEXT_LEN];
    memcpy(location, "/v1/transactions/", 17);
    tw_uuid_format(&id, location + 17);
    tw_reply_header(req, TW_STR("location"), (struct tw_str){location, sizeof(location)});
    struct tw_sales_event sold = tw_transaction_sold(rows, 0, COL_TRANSACTION);
    if (replayed)
        tw_reply_header(req, TW_STR("idempotency-replayed"), TW_STR("true"));
    else
        tw_req_sold(req, &sold);
    tw_metric_add(req->page, replayed ? TW_METRIC_SALES_REPLAYED : TW_METRIC_SALES_RECORDED, 1);
    struct tw_json json = tw_reply_body(req);
    tw_json_transaction(&json, req->config, rows, 0, COL_TRANSACTION);
    return tw_reply_json(req, 201, &json);
}

static struct tw_verdict fail_sale(struct tw_req *req, const struct tw_rows *rows)
{
    enum tw_status status = tw_status_by_code(tw_row_str(rows, 0, COL_VERDICT));
    tw_metric_add(req->page, TW_METRIC_SALES_REFUSED, 1);
    if (tw_row_is_null(rows, 0, COL_REFUSED_LINE))
        return tw_fail(req, status, tw_sale_refusal_detail(status));
    struct tw_problem_error error = tw_sale_refused_line(req, status,
                                                         tw_row_i32(rows, 0, COL_REFUSED_LINE));
    return tw_fail_errors(req, status, tw_sale_refusal_detail(status), &error, 1);
}

struct tw_verdict tw_sale_recorded(struct tw_req *req, const struct tw_db_result *result)
{
    if (result->status == TW_ALREADY_EXISTS) // two keys for one till-made id, at the same moment
        return tw_fail(req, TW_OVERLOADED, "This transactionId is being recorded. Send it again.");
    if (tw_rows_count(result->rows) != 1)
        return tw_fail(req, TW_INTERNAL, NULL);
    struct tw_str verdict = tw_row_str(result->rows, 0, COL_VERDICT);
    if (tw_str_eq(verdict, TW_STR("recorded")))
        return reply_sale(req, result->rows, false);
    if (tw_str_eq(verdict, TW_STR("replayed")))
        return reply_sale(req, result->rows, true);
    return fail_sale(req, result->rows);
}

static struct tw_verdict sale_create_2_record(struct tw_req *req, struct tw_sale_record *record)
{
    char buffer[2048];
    struct tw_params params;
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_sale_params(req, &params, &record, 1);
    return tw_await_db(req, TW_STMT_RECORD_SALES, &params, tw_sale_recorded);
}

struct tw_verdict tw_sale_create(struct tw_req *req)
{
    struct tw_sale_record record = {0};
    struct tw_faults faults;
    struct tw_verdict verdict;
    struct tw_sale *sale = &record.sale;
    if (!tw_body_parse(req, &tw_sale_schema, sale, &verdict))
        return verdict;
    if (!tw_idempotency_key(req, sale->transaction_id.present ? &sale->transaction_id.value : NULL,
                            "Send an Idempotency-Key header, or a transactionId made by the till.",
                            &record.key, &verdict))
        return verdict;
    record.is_offline = sale->offline.value;
    if (!tw_sale_check(req, &record, &faults))
        return tw_fail_faults(req, &faults);
    return sale_create_2_record(req, &record);
}
