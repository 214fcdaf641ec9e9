// SPDX-License-Identifier: Apache-2.0
#include "handlers/etag.h"

#include "gateway/conditional.h"
#include "gateway/json_out.h"

#define VERSIONS_MAX 32 // nobody knows more states of one resource

struct tw_str tw_etag(struct tw_req *req, struct tw_str state)
{
    char *p = tw_req_alloc(req, state.n + 2);
    p[0] = '"';
    memcpy(p + 1, state.p, state.n);
    p[state.n + 1] = '"';
    return (struct tw_str){p, state.n + 2};
}

struct tw_str tw_etag_of_version(struct tw_req *req, int64_t version)
{
    char buffer[24];
    struct tw_json text = tw_json_fixed(buffer, sizeof(buffer));
    tw_json_i64(&text, version);
    return tw_etag(req, (struct tw_str){text.p, text.n});
}

struct tw_str tw_if_match(struct tw_req *req)
{
    struct tw_str header = tw_req_header_list(req, TW_STR("if-match"));
    return header.p && !tw_utf8_valid(header) ? TW_STR("-") : header;
}

void tw_param_if_match(struct tw_params *params, struct tw_req *req)
{
    int64_t versions[VERSIONS_MAX];
    struct tw_str header = tw_req_header_list(req, TW_STR("if-match"));
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

bool tw_req_wants_new(struct tw_req *req)
{
    int64_t version;
    struct tw_str header = tw_req_header_list(req, TW_STR("if-none-match"));
    return tw_etag_versions(header, &version, 1) == 1 && version == TW_VERSION_ANY;
}
