// SPDX-License-Identifier: Apache-2.0
#include "handlers/precondition.h"

#include "gateway/conditional.h"

#define VERSIONS_MAX 32 // nobody knows more states of one resource

void tw_param_if_match(struct tw_params *params, const struct tw_req *req)
{
    int64_t versions[VERSIONS_MAX];
    struct tw_str header = tw_req_header(req, TW_STR("if-match"));
    if (!header.p) {
        tw_param_null(params);
        return;
    }
    size_t n = tw_etag_versions(header, versions, VERSIONS_MAX);
    tw_param_array(params, TW_ARRAY_I64, n);
    for (size_t i = 0; i < n; i++)
        tw_param_i64(params, versions[i]);
    tw_param_array_end(params);
}

bool tw_req_wants_new(const struct tw_req *req)
{
    int64_t version;
    struct tw_str header = tw_req_header(req, TW_STR("if-none-match"));
    return tw_etag_versions(header, &version, 1) == 1 && version == TW_VERSION_ANY;
}
