// SPDX-License-Identifier: Apache-2.0
// transactions: recorded sales, read. Selling is in sales.c. Runs in: worker.
#include "gateway/reply.h"
#include "handlers/handlers.h"
#include "handlers/params.h"
#include "handlers/transaction_json.h"

static struct tw_verdict transaction_get_2_read(struct tw_req *req,
                                                const struct tw_db_result *result)
{
    if (tw_rows_count(result->rows) == 0)
        return tw_fail(req, TW_NOT_FOUND, "There is no such transaction.");
    struct tw_json json = tw_reply_body(req);
    tw_json_transaction(&json, req->config, result->rows, 0, 0);
    return tw_reply_json(req, 200, &json);
}

// Another store's sale is answered exactly like one that does not exist (FAULTS B6).
struct tw_verdict tw_transaction_get(struct tw_req *req)
{
    struct tw_uuid id;
    char buffer[256];
    struct tw_params params;
    if (!tw_path_uuid(req, 0, &id))
        return tw_fail(req, TW_NOT_FOUND, "There is no such transaction.");
    tw_params_init(&params, buffer, sizeof(buffer));
    tw_param_uuid(&params, &id);
    tw_param_optional(&params, tw_req_store_scope(req));
    return tw_await_db(req, TW_STMT_TRANSACTION_GET, &params, transaction_get_2_read);
}
