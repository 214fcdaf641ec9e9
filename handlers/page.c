// SPDX-License-Identifier: Apache-2.0
#include "handlers/page.h"

#include <inttypes.h>
#include <stdio.h>

#include "gateway/reply.h"
#include "gateway/trace_context.h"

#define PAGE_REST_BYTES 128 // of what stands around the items

struct tw_json tw_page_body(struct tw_req *req, const struct tw_rows *rows)
{
    struct tw_json json = tw_reply_body(req);
    tw_json_expect(&json, tw_rows_bytes(rows) + PAGE_REST_BYTES);
    return json;
}

// Link: <…>; rel="next"
static void reply_link_next(struct tw_req *req, struct tw_str after)
{
    struct tw_str rest = req->query, parts[] = {TW_STR("<"), req->path, TW_STR("?")};
    char *p = tw_req_alloc(req, req->path.n + req->query.n + after.n + 40);
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
    memcpy(p + n + 6, after.p, after.n);
    n += 6 + after.n;
    memcpy(p + n, ">; rel=\"next\"", 13);
    tw_reply_header(req, TW_STR("link"), (struct tw_str){p, n + 13});
}

void tw_page_next_text(struct tw_req *req, struct tw_json *json, struct tw_str after)
{
    tw_json_key(json, TW_STR("next"));
    if (!after.p) {
        tw_json_null(json);
        return;
    }
    tw_json_str(json, after);
    reply_link_next(req, after);
}

void tw_page_next(struct tw_req *req, struct tw_json *json, const struct tw_uuid *last)
{
    char after[TW_UUID_TEXT_LEN];
    if (last)
        tw_uuid_format(last, after);
    tw_page_next_text(req, json, (struct tw_str){last ? after : NULL, sizeof(after)});
}

struct tw_str tw_cursor(struct tw_req *req, int64_t at, struct tw_str id)
{
    size_t cap = id.n + 24;
    char *p = tw_req_alloc(req, cap);
    int n = snprintf(p, cap, "%" PRId64 ".%.*s", at, (int)id.n, id.p);
    return (struct tw_str){p, (size_t)n};
}

bool tw_cursor_parse(struct tw_str cursor, int64_t *at, struct tw_str *id)
{
    const char *dot = cursor.n > 0 ? memchr(cursor.p, '.', cursor.n) : NULL;
    size_t n = dot ? (size_t)(dot - cursor.p) : 0;
    if (!dot || !tw_str_to_i64((struct tw_str){cursor.p, n}, 0, INT64_C(1) << 53, at))
        return false;
    *id = (struct tw_str){dot + 1, cursor.n - n - 1};
    return true;
}

struct tw_str tw_cursor_of_text(struct tw_req *req, struct tw_str text, const struct tw_uuid *id)
{
    size_t n = TW_UUID_TEXT_LEN + 1 + 2 * text.n;
    char *p = tw_req_alloc(req, n);
    tw_uuid_format(id, p);
    p[TW_UUID_TEXT_LEN] = '.';
    tw_hex((const unsigned char *)text.p, text.n, p + TW_UUID_TEXT_LEN + 1);
    return (struct tw_str){p, n};
}

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef", *at = memchr(digits, c, 16);
    return at ? (int)(at - digits) : -1;
}

bool tw_cursor_parse_text(struct tw_req *req, struct tw_str cursor, struct tw_str *text,
                          struct tw_uuid *id)
{
    if (cursor.n < TW_UUID_TEXT_LEN + 1 || cursor.p[TW_UUID_TEXT_LEN] != '.' ||
        !tw_uuid_parse((struct tw_str){cursor.p, TW_UUID_TEXT_LEN}, id))
        return false;
    const char *hex = cursor.p + TW_UUID_TEXT_LEN + 1;
    size_t n = cursor.n - TW_UUID_TEXT_LEN - 1;
    char *p = tw_req_alloc(req, n / 2 + 1);
    for (size_t i = 0; i < n / 2; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        p[i] = (char)(high * 16 + low);
    }
    *text = (struct tw_str){p, n / 2};
    return n % 2 == 0 && tw_utf8_valid(*text);
}
