// SPDX-License-Identifier: Apache-2.0
#include "handlers/page.h"

#include "gateway/reply.h"

// Link: <…>; rel="next"
static void reply_link_next(struct tw_req *req, const char *after)
{
    struct tw_str rest = req->query, parts[] = {TW_STR("<"), req->path, TW_STR("?")};
    char *p = tw_req_alloc(req, req->path.n + req->query.n + 80);
    size_t n = 0;
    for (size_t i = 0; i < TW_COUNT(parts); i++, n += parts[i - 1].n)
        memcpy(p + n, parts[i].p, parts[i].n);
    while (rest.n > 0) {
        const char *end = memchr(rest.p, '&', rest.n);
        size_t part = end ? (size_t)(end - rest.p) : rest.n;
        if (part < 6 || memcmp(rest.p, "after=", 6) != 0) {
            memcpy(p + n, rest.p, part);
            n += part;
            p[n++] = '&';
        }
        rest.p += part + (end ? 1 : 0);
        rest.n -= part + (end ? 1 : 0);
    }
    memcpy(p + n, "after=", 6);
    memcpy(p + n + 6, after, TW_UUID_TEXT_LEN);
    n += 6 + TW_UUID_TEXT_LEN;
    memcpy(p + n, ">; rel=\"next\"", 13);
    tw_reply_header(req, TW_STR("link"), (struct tw_str){p, n + 13});
}

void tw_page_next(struct tw_req *req, struct tw_json *json, const struct tw_uuid *last)
{
    tw_json_key(json, TW_STR("next"));
    if (!last) {
        tw_json_null(json);
        return;
    }
    char after[TW_UUID_TEXT_LEN];
    tw_uuid_format(last, after);
    tw_json_str(json, (struct tw_str){after, sizeof(after)});
    reply_link_next(req, after);
}
