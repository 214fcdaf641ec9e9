// SPDX-License-Identifier: Apache-2.0
#include "handlers/store.h"

#include "gateway/reply.h"

static bool may_ask(struct tw_req *req, struct tw_str store, struct tw_verdict *verdict)
{
    struct tw_str scope = tw_req_store_scope(req);
    if (!scope.p || tw_str_eq(scope, store))
        return true;
    *verdict = tw_fail(req, TW_FORBIDDEN, "The principal does not belong to that store.");
    return false;
}

bool tw_store_choose(struct tw_req *req, struct tw_str asked, struct tw_str *store,
                     struct tw_verdict *verdict)
{
    *store = asked.p ? asked : req->store;
    return may_ask(req, *store, verdict);
}

bool tw_store_narrow(struct tw_req *req, struct tw_str asked, struct tw_str *store,
                     struct tw_verdict *verdict)
{
    *store = asked.p ? asked : tw_req_store_scope(req);
    return !asked.p || may_ask(req, asked, verdict);
}
