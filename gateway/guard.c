// SPDX-License-Identifier: Apache-2.0
#include "gateway/guard.h"

static const struct {
    const char *word; // of the library
    enum tw_status status;
    enum tw_metric metric;
    const char *detail;
} refusals[] = {
    {"syntax", TW_BAD_REQUEST, TW_METRIC_GUARD_SYNTAX,
     "The request's head is not HTTP/1 as RFC 9112 has it."},
    {"version", TW_HTTP_VERSION_NOT_SUPPORTED, TW_METRIC_GUARD_VERSION,
     "Use HTTP/1.1, HTTP/1.0 or HTTP/2."},
    {"host", TW_BAD_REQUEST, TW_METRIC_GUARD_HOST, "Send one valid Host header."},
    {"content-length", TW_BAD_REQUEST, TW_METRIC_GUARD_CONTENT_LENGTH,
     "Send one Content-Length, in decimal digits."},
    {"transfer-encoding", TW_BAD_REQUEST, TW_METRIC_GUARD_TRANSFER_ENCODING,
     "Only Transfer-Encoding: chunked, once, on HTTP/1.1, is understood."},
    {"length-and-coding", TW_BAD_REQUEST, TW_METRIC_GUARD_LENGTH_AND_CODING,
     "Content-Length and Transfer-Encoding exclude each other."},
    {"chunk", TW_BAD_REQUEST, TW_METRIC_GUARD_CHUNK, "The chunks of the body are malformed."},
    {"head-size", TW_HEAD_TOO_LARGE, TW_METRIC_GUARD_HEAD_SIZE, NULL},
    {"field-count", TW_HEAD_TOO_LARGE, TW_METRIC_GUARD_FIELD_COUNT, "Send 100 headers at most."},
    {"target-size", TW_URI_TOO_LONG, TW_METRIC_GUARD_TARGET_SIZE, NULL},
    {"body-size", TW_PAYLOAD_TOO_LARGE, TW_METRIC_GUARD_BODY_SIZE, NULL},
    {"expectation", TW_EXPECTATION_FAILED, TW_METRIC_GUARD_EXPECTATION, NULL},
    {"timeout", TW_REQUEST_TIMEOUT, TW_METRIC_GUARD_TIMEOUT, "The request did not arrive in time."},
};

// What came without a word: HTTP/2, or a library without our patches.
static enum tw_status status_of(const h2o_req_t *h2o, const struct tw_config *config)
{
    switch (h2o->res.status) {
    case 400:
        return TW_BAD_REQUEST;
    case 408:
        return TW_REQUEST_TIMEOUT;
    case 413:
        return TW_PAYLOAD_TOO_LARGE;
    case 417:
        return TW_EXPECTATION_FAILED;
    case 431: // also when it is the target alone that is too long
        return h2o->input.path.len > config->http_url_max_bytes ? TW_URI_TOO_LONG
                                                                : TW_HEAD_TOO_LARGE;
    default:
        return TW_INTERNAL;
    }
}

static struct tw_str word_of(const h2o_req_t *h2o)
{
    for (size_t i = 0; i < h2o->error_logs.size; i++)
        if (strcmp(h2o->error_logs.entries[i].module, "lib/http1.c") == 0)
            return (struct tw_str){h2o->error_logs.entries[i].msg.base,
                                   h2o->error_logs.entries[i].msg.len};
    return (struct tw_str){NULL, 0};
}

// The head is still where it was read to, as it has not been taken.
static bool has_long_target(const h2o_req_t *h2o, const struct tw_config *config)
{
    const h2o_buffer_t *input = h2o->conn->callbacks->get_socket(h2o->conn)->input;
    const char *end = input->size > 2 ? memchr(input->bytes + 2, '\n', input->size - 2) : NULL;
    size_t line = end ? (size_t)(end - input->bytes) : input->size;
    return line > config->http_url_max_bytes + sizeof("OPTIONS  HTTP/1.1\r");
}

struct tw_guard_refusal tw_guard_refused(const h2o_req_t *h2o, const struct tw_config *config,
                                         struct tw_worker_page *page)
{
    struct tw_str word = word_of(h2o);
    if (tw_str_eq(word, TW_STR("head-size")) && has_long_target(h2o, config))
        word = TW_STR("target-size");
    for (size_t i = 0; i < TW_COUNT(refusals); i++) {
        if (!tw_str_eq(word, tw_str_of(refusals[i].word)))
            continue;
        tw_metric_add(page, refusals[i].metric, 1);
        enum tw_status status = h2o->res.status == 501 ? TW_NOT_IMPLEMENTED : refusals[i].status;
        return (struct tw_guard_refusal){status, refusals[i].detail};
    }
    return (struct tw_guard_refusal){status_of(h2o, config), NULL};
}
