// SPDX-License-Identifier: Apache-2.0
#include "gateway/reply.h"

#include <xxhash.h>

#include "gateway/conditional.h"
#include "gateway/content.h"
#include "gateway/guard.h"
#include "gateway/gzip.h"
#include "gateway/reply_head.h"
#include "gateway/trace.h"
#include "gateway/worker.h"

#define BODY_FIRST_BYTES 960 // from 1,020 on the pool asks malloc for each
#define ETAG_HASH_LEN    32

// Marks an answer as ours: whatever has another generator was made by the library.
static h2o_generator_t our_generator = {NULL, NULL};

static bool grow_in_pool(struct tw_json *json, size_t cap)
{
    struct tw_req *req = json->owner;
    if (cap < json->cap * 2)
        cap = json->cap * 2;
    char *p = tw_req_alloc(req, cap);
    memcpy(p, json->p, json->n);
    json->p = p;
    json->cap = cap;
    return true;
}

struct tw_json tw_reply_body(struct tw_req *req)
{
    struct tw_json json = tw_json_fixed(tw_req_alloc(req, BODY_FIRST_BYTES), BODY_FIRST_BYTES);
    json.grow = grow_in_pool;
    json.owner = req;
    return json;
}

void tw_reply_header(struct tw_req *req, struct tw_str name, struct tw_str value)
{
    h2o_mem_pool_t *pool = &req->h2o->pool;
    h2o_iovec_t copy = h2o_strdup(pool, value.p, value.n);
    h2o_add_header_by_str(pool, &req->h2o->res.headers, name.p, name.n, 1, NULL, copy.base,
                          copy.len);
}

static void set_type(struct tw_req *req, const char *type, size_t n)
{
    h2o_add_header(&req->h2o->pool, &req->h2o->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type, n);
}

static struct tw_verdict answer(struct tw_req *req, struct tw_str body)
{
    h2o_iovec_t buf = {(char *)(uintptr_t)body.p, body.n};
    if (req->trace)
        tw_trace_answered(req);
    bool has_body = body.n > 0 && !tw_str_eq(req->method, TW_STR("HEAD"));
    h2o_start_response(req->h2o, &our_generator);
    h2o_send(req->h2o, &buf, has_body ? 1 : 0, H2O_SEND_STATE_FINAL);
    return (struct tw_verdict){TW_VERDICT_ANSWERED};
}

// ---- entity tags --------------------------------------------------------------------------------

bool tw_reply_etag(struct tw_req *req, struct tw_str etag)
{
    struct tw_str named;
    bool current = tw_etag_none_match(tw_req_header_list(req, TW_STR("if-none-match")), etag,
                                      tw_req_takes_gzip(req), &named);
    tw_reply_header(req, TW_STR("etag"), current ? named : etag);
    return current;
}

static h2o_header_t *find_etag(const struct tw_req *req)
{
    const h2o_headers_t *headers = &req->h2o->res.headers;
    ssize_t at = h2o_find_header(headers, H2O_TOKEN_ETAG, -1);
    return at < 0 ? NULL : &headers->entries[at];
}

// What has no version of its own to be known by is known by its bytes: by 128 bits, so that two
// bodies with one tag are no more to be feared than two equal UUIDs. The hash need not withstand
// who looks for such bodies: all that they could do is to keep a client from seeing what they
// wrote.
static struct tw_str etag_of_body(struct tw_req *req, struct tw_str body)
{
    XXH128_hash_t hash = XXH3_128bits(body.p, body.n);
    char *text = tw_req_alloc(req, ETAG_HASH_LEN + 2);
    text[0] = text[ETAG_HASH_LEN + 1] = '"';
    tw_hex_u32((uint32_t)(hash.high64 >> 32), text + 1);
    tw_hex_u32((uint32_t)hash.high64, text + 9);
    tw_hex_u32((uint32_t)(hash.low64 >> 32), text + 17);
    tw_hex_u32((uint32_t)hash.low64, text + 25);
    return (struct tw_str){text, ETAG_HASH_LEN + 2};
}

// Gives an answer that may be kept its tag, unless the handler has done so. True: the client has
// it.
static bool is_current(struct tw_req *req, unsigned http_status, struct tw_str body)
{
    bool tagged = http_status == 200 && req->route->cache == TW_CACHE_REVALIDATE;
    return tagged && !find_etag(req) && tw_reply_etag(req, etag_of_body(req, body));
}

// ---- gzip ---------------------------------------------------------------------------------------

// Problems are never compressed: they are small, and alone among our answers they hold what the
// request said. Where nothing the client wrote stands beside something it must not know, the length
// of the compressed text tells nothing (BREACH; docs/responses.md).
static bool pack(struct tw_req *req, struct tw_str *body)
{
    size_t least = req->config->http_gzip_min_bytes;
    if (body->n < least || !tw_req_takes_gzip(req))
        return false;
    char *packed = tw_req_alloc(req, body->n);
    size_t n = tw_gzip_pack(req->worker->gzip, *body, packed, body->n - 1);
    if (n == 0)
        return false;
    *body = (struct tw_str){packed, n};
    return true;
}

static void set_gzip(struct tw_req *req)
{
    h2o_mem_pool_t *pool = &req->h2o->pool;
    h2o_header_t *etag = find_etag(req);
    if (etag) {
        struct tw_str plain = {etag->value.base, etag->value.len};
        struct tw_str coded = tw_etag_of_gzip(plain,
                                              tw_req_alloc(req, plain.n + sizeof(TW_ETAG_GZIP)));
        etag->value = h2o_iovec_init(coded.p, coded.n);
    }
    h2o_add_header(pool, &req->h2o->res.headers, H2O_TOKEN_CONTENT_ENCODING, NULL,
                   H2O_STRLIT("gzip"));
}

// ---- answers ------------------------------------------------------------------------------------

struct tw_verdict tw_reply_json_text(struct tw_req *req, unsigned http_status, struct tw_str body)
{
    if (is_current(req, http_status, body))
        return tw_reply_empty(req, 304);
    bool packed = pack(req, &body);
    tw_reply_head_set(req, http_status, body.n, TW_FORM_CODED);
    set_type(req, H2O_STRLIT("application/json"));
    if (packed)
        set_gzip(req);
    return answer(req, body);
}

struct tw_verdict tw_reply_json(struct tw_req *req, unsigned http_status,
                                const struct tw_json *json)
{
    return tw_reply_json_text(req, http_status, (struct tw_str){json->p, json->n});
}

struct tw_verdict tw_reply_empty(struct tw_req *req, unsigned http_status)
{
    // 204 and 304 have no content, and no Content-Length either (RFC 9110 §8.6).
    tw_reply_head_set(req, http_status, SIZE_MAX, http_status == 304 ? TW_FORM_CODED : TW_FORM_ONE);
    return answer(req, TW_STR(""));
}

// ---- problems -----------------------------------------------------------------------------------

static void put_errors(struct tw_json *json, const struct tw_problem_error *errors, size_t n)
{
    if (n == 0)
        return;
    tw_json_key(json, TW_STR("errors"));
    tw_json_array(json);
    for (size_t i = 0; i < n; i++) {
        tw_json_object(json);
        TW_JSON_STR(json, "pointer", errors[i].pointer);
        TW_JSON_STR(json, "code", tw_str_of(errors[i].code));
        TW_JSON_STR(json, "detail", errors[i].detail);
        tw_json_object_end(json);
    }
    tw_json_array_end(json);
}

// The one problem here that has a type of its own (draft-ietf-httpapi-ratelimit-headers).
static const char quota_exceeded[] =
    "https://iana.org/assignments/http-problem-types#quota-exceeded";

static void put_problem(struct tw_json *json, enum tw_status status, const char *detail)
{
    const struct tw_status_info *info = tw_status_info(status);
    TW_JSON_STR(json, "type",
                tw_str_of(status == TW_QUOTA_EXCEEDED ? quota_exceeded : "about:blank"));
    TW_JSON_STR(json, "title", tw_str_of(info->title));
    TW_JSON_I64(json, "status", info->http);
    if (detail)
        TW_JSON_STR(json, "detail", tw_str_of(detail));
    TW_JSON_STR(json, "code", tw_str_of(info->code));
}

void tw_json_problem(struct tw_json *json, enum tw_status status, const char *detail,
                     const struct tw_problem_error *errors, size_t n)
{
    tw_json_object(json);
    put_problem(json, status, detail);
    put_errors(json, errors, n);
    tw_json_object_end(json);
}

static struct tw_json problem_body(struct tw_req *req, enum tw_status status, const char *detail,
                                   const struct tw_problem_error *errors, size_t n)
{
    struct tw_json json = tw_reply_body(req);
    tw_json_object(&json);
    put_problem(&json, status, detail);
    TW_JSON_STR(&json, "requestId", req->request_id);
    if (req->n_limit_answers > 0 && status == TW_QUOTA_EXCEEDED)
        tw_rate_limit_problem(req, &json);
    put_errors(&json, errors, n);
    tw_json_object_end(&json);
    return json;
}

static void reply_retry_after(struct tw_req *req)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%u", req->retry_after_s ? req->retry_after_s : 1);
    tw_reply_header(req, TW_STR("retry-after"), (struct tw_str){text, (size_t)n});
}

// What every problem's head has, whoever sends its body.
static void set_problem_head(struct tw_req *req, enum tw_status status, size_t content_length)
{
    tw_cell_add(&req->page->problems[status], 1);
    unsigned http_status = tw_status_info(status)->http;
    req->status = status;
    if (http_status == 503 || http_status == 429)
        reply_retry_after(req);
    tw_reply_head_set(req, http_status, content_length, TW_FORM_ONE);
    set_type(req, H2O_STRLIT("application/problem+json"));
}

struct tw_verdict tw_fail_errors(struct tw_req *req, enum tw_status status, const char *detail,
                                 const struct tw_problem_error *errors, size_t n)
{
    struct tw_json json = problem_body(req, status, detail, errors, n);
    set_problem_head(req, status, json.n);
    return answer(req, (struct tw_str){json.p, json.n});
}

struct tw_verdict tw_fail(struct tw_req *req, enum tw_status status, const char *detail)
{
    return tw_fail_errors(req, status, detail, NULL, 0);
}

// ---- what the library answers by itself ---------------------------------------------------------

struct filter {
    h2o_filter_t super;
    struct tw_worker *worker;
};

struct replacement {
    h2o_ostream_t super;
    h2o_iovec_t body;
};

static void send_replacement(h2o_ostream_t *self, h2o_req_t *h2o, h2o_iovec_t *bufs, size_t n,
                             h2o_send_state_t state)
{
    struct replacement *replacement = (struct replacement *)self;
    (void)bufs;
    h2o_ostream_send_next(self, h2o, &replacement->body, n > 0 ? 1 : 0, state);
}

static void on_setup_ostream(h2o_filter_t *self, h2o_req_t *h2o, h2o_ostream_t **slot)
{
    struct filter *filter = (struct filter *)self;
    if (h2o->_generator != &our_generator) {
        struct tw_req *req = tw_req_adopt(filter->worker, h2o);
        struct tw_guard_refusal refusal = tw_guard_refused(h2o, req->config, req->page);
        memset(&h2o->res.headers, 0, sizeof(h2o->res.headers));
        struct tw_json json = problem_body(req, refusal.status, refusal.detail, NULL, 0);
        set_problem_head(req, refusal.status, json.n);
        struct replacement *replacement = (struct replacement *)h2o_add_ostream(
            h2o, sizeof(*replacement), slot);
        replacement->super.do_send = send_replacement;
        replacement->body = h2o_iovec_init(json.p, json.n);
        slot = &replacement->super.next;
    }
    h2o_setup_next_ostream(h2o, slot);
}

bool tw_reply_install(struct tw_worker *worker, h2o_pathconf_t *path)
{
    struct filter *filter = (struct filter *)h2o_create_filter(path, sizeof(*filter));
    filter->super.on_setup_ostream = on_setup_ostream;
    filter->worker = worker;
    worker->reply_head = tw_reply_head_new(worker->config);
    worker->gzip = tw_gzip_new();
    return worker->reply_head && worker->gzip;
}
