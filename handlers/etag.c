// SPDX-License-Identifier: Apache-2.0
#include "handlers/etag.h"

#include "gateway/json_out.h"

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

struct tw_str tw_if_match(const struct tw_req *req)
{
    struct tw_str header = tw_req_header(req, TW_STR("if-match"));
    return header.p && !tw_utf8_valid(header) ? TW_STR("-") : header;
}
