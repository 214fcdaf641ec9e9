// SPDX-License-Identifier: Apache-2.0
// otlp: whatever stands in records, the text is JSON of the form that a collector takes.
#include "tests/unit/test_kit.h"

#include <jansson.h>

#include "gateway/otlp.h"
#include "handlers/routes.h"

static char buffer[4 << 20];

static const struct tw_otlp_source source = {"till \"7\"", "host", 42, &tw_routes};

static json_t *written(const struct tw_trace_record *records, size_t n)
{
    struct tw_json json = tw_json_fixed(buffer, sizeof buffer);
    json_error_t error;
    tw_otlp_write(&json, &source, records, n);
    assert_false(json.failed);
    json_t *root = json_loadb(buffer, json.n, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("%s: %.*s", error.text, (int)json.n, buffer);
    return root;
}

static json_t *spans_of(json_t *root)
{
    json_t *resource = json_array_get(json_object_get(root, "resourceSpans"), 0);
    json_t *scope = json_array_get(json_object_get(resource, "scopeSpans"), 0);
    json_t *spans = json_object_get(scope, "spans");
    assert_true(json_is_array(spans));
    return spans;
}

static void test_any_record(void **state)
{
    (void)state;
    static struct tw_trace_record records[4];
    for (int i = 0; i < 3000; i++) {
        for (size_t j = 0; j < sizeof records; j++)
            ((unsigned char *)records)[j] = (unsigned char)(kit_random() >> kit_below(64));
        for (size_t r = 0; r < TW_COUNT(records); r++) {
            // Booleans are 0 or 1 whatever stands there.
            records[r].has_parent = kit_below(2);
            records[r].is_tls = kit_below(2);
            records[r].has_principal = kit_below(2);
            if (kit_below(2))
                for (unsigned t = 0; t < TW_TRACE_TEXTS; t++)
                    records[r].text_n[t] = (uint16_t)kit_below(117);
        }
        json_t *root = written(records, TW_COUNT(records));
        assert_true(json_array_size(spans_of(root)) >= TW_COUNT(records));
        json_decref(root);
    }
}

static const char *text_of(const json_t *span, const char *key)
{
    size_t i;
    json_t *attribute;
    json_array_foreach (json_object_get(span, "attributes"), i, attribute)
        if (strcmp(json_string_value(json_object_get(attribute, "key")), key) == 0) {
            json_t *value = json_object_get(attribute, "value");
            json_t *text = json_object_get(value, "stringValue");
            return json_string_value(text ? text : json_object_get(value, "intValue"));
        }
    return "(absent)";
}

static struct tw_trace_record request(const char *method, const char *host)
{
    struct tw_trace_record record = {
        .row = 1, .http_status = 200, .begin_unix_us = 5, .total_us = 7};
    memset(record.context.trace_id, 0xab, sizeof record.context.trace_id);
    memset(record.context.span_id, 0xcd, sizeof record.context.span_id);
    tw_trace_record_put(&record, TW_TRACE_METHOD, tw_str_of(method), 16);
    tw_trace_record_put(&record, TW_TRACE_PATH, TW_STR("/v1/products"), 256);
    tw_trace_record_put(&record, TW_TRACE_HOST, tw_str_of(host), 96);
    return record;
}

static void test_names_and_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *method, *host, *name, *address, *port;
    } cases[] = {
        {"GET", "till.example.com", "GET /v1/products", "till.example.com", "(absent)"},
        {"BREW", "till:8443", "HTTP /v1/products", "till", "8443"},
        {"GET", "[::1]:80", "GET /v1/products", "[::1]", "80"},
        {"GET", "[::1]", "GET /v1/products", "[::1]", "(absent)"},
        {"GET", "till:99999", "GET /v1/products", "till:99999", "(absent)"},
        {"GET", ":80", "GET /v1/products", "(absent)", "80"},
        {"GET", "80", "GET /v1/products", "80", "(absent)"},
        {"GET", "", "GET /v1/products", "(absent)", "(absent)"},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_trace_record record = request(cases[i].method, cases[i].host);
        json_t *root = written(&record, 1), *span = json_array_get(spans_of(root), 0);
        assert_string_equal(json_string_value(json_object_get(span, "name")), cases[i].name);
        assert_string_equal(text_of(span, "server.address"), cases[i].address);
        assert_string_equal(text_of(span, "server.port"), cases[i].port);
        bool is_known = strcmp(cases[i].method, "GET") == 0;
        assert_string_equal(text_of(span, "http.request.method"), is_known ? "GET" : "_OTHER");
        json_decref(root);
    }
}

static void test_ids_and_times(void **state)
{
    (void)state;
    struct tw_trace_record record = request("GET", "till");
    record.parts[TW_TRACE_AUTH] = (struct tw_trace_part){1, 2};
    record.parts[TW_TRACE_SERIALISE] = (struct tw_trace_part){3, 6};
    json_t *root = written(&record, 1), *again = written(&record, 1), *spans = spans_of(root);
    assert_true(json_equal(root, again)); // a batch that is sent twice is the same
    assert_int_equal(json_array_size(spans), 3);
    json_t *server = json_array_get(spans, 0), *auth = json_array_get(spans, 1);
    assert_string_equal(json_string_value(json_object_get(server, "spanId")), "cdcdcdcdcdcdcdcd");
    assert_null(json_object_get(server, "parentSpanId"));
    assert_string_equal(json_string_value(json_object_get(server, "startTimeUnixNano")), "5000");
    assert_string_equal(json_string_value(json_object_get(server, "endTimeUnixNano")), "12000");
    assert_string_equal(json_string_value(json_object_get(auth, "parentSpanId")),
                        "cdcdcdcdcdcdcdcd");
    assert_string_equal(json_string_value(json_object_get(auth, "startTimeUnixNano")), "6000");
    assert_string_not_equal(json_string_value(json_object_get(auth, "spanId")),
                            json_string_value(json_object_get(json_array_get(spans, 2), "spanId")));
    json_decref(root);
    json_decref(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_record),
        cmocka_unit_test(test_names_and_hosts),
        cmocka_unit_test(test_ids_and_times),
    };
    return cmocka_run_group_tests_name("otlp", tests, NULL, NULL);
}
