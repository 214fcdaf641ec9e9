// SPDX-License-Identifier: Apache-2.0
// params: the query string against a table of names; what is not in the table is refused (400).
// Runs in: worker.

#ifndef TW_QUERY_PARAMS_H
#define TW_QUERY_PARAMS_H

#include "gateway/request.h"

struct tw_param_spec {
    const char *name;
    size_t max_bytes;
};

// Values in the order of `specs`, percent-decoded into the pool; p is NULL for one that is absent.
// False: the request has been answered (unknown-parameter, invalid-parameter).
TW_MUST_USE bool tw_query_parse(struct tw_req *req, const struct tw_param_spec *specs, size_t n,
                                struct tw_str *values, struct tw_verdict *verdict);

// `limit` of a list: 1 to 500, 50 when absent. False when it is something else.
TW_MUST_USE bool tw_list_limit(struct tw_str value, int32_t *out);

// Path parameter `i` as a UUID. False: nothing has that id (the caller answers 404).
TW_MUST_USE bool tw_path_uuid(const struct tw_req *req, size_t i, struct tw_uuid *out);

// "2026-11-20T12:34:56Z", with or without a fraction of a second, UTC only.
TW_MUST_USE bool tw_time_parse(struct tw_str text, int64_t *unix_ms);

#endif
