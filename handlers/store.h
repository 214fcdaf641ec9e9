// SPDX-License-Identifier: Apache-2.0
// store: which store a request is about. Runs in: worker.

#ifndef TW_STORE_H
#define TW_STORE_H

#include "gateway/request.h"

#define TW_STORE_MAX 64 // bytes of a store's id

// The store that was asked for, or the principal's own when none was (`asked.p` is NULL). False:
// the request has been answered: only an admin may ask for another store than his own (FAULTS B6).
TW_MUST_USE bool tw_store_choose(struct tw_req *req, struct tw_str asked, struct tw_str *store,
                                 struct tw_verdict *verdict);

// The same where an admin sees all stores unless he asks for one: then `store->p` is NULL.
TW_MUST_USE bool tw_store_narrow(struct tw_req *req, struct tw_str asked, struct tw_str *store,
                                 struct tw_verdict *verdict);

#endif
