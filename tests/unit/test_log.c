// SPDX-License-Identifier: Apache-2.0
// log: every line is a JSON object whatever goes in, and says what it should.
#include "tests/unit/test_log_kit.h"

static void log_access_levels(void)
{
    open_log("worker", 0, TW_LEVEL_WARN);
    tw_log_access(&(struct tw_log_access){.http_status = 200});
    tw_log_access(&(struct tw_log_access){.http_status = 503, .level = TW_LEVEL_WARN});
    tw_log_flush();
}

static void test_access_lines_have_the_level_of_their_status(void **state)
{
    (void)state;
    capture(log_access_levels);
    assert_int_equal(count_lines(), 1);
    json_t *json = line(0);
    assert_text(json, "level", "warn");
    json_decref(json);
}

// ---- what a line holds --------------------------------------------------------------------------

static void log_events(void)
{
    open_log("worker", 3, TW_LEVEL_INFO);
    tw_log(TW_LEVEL_DEBUG, "unseen", "x");
    tw_log(TW_LEVEL_WARN, "db_connection_lost", "%s: \"%d\"\n", "why", 7);
    open_log("master", -1, TW_LEVEL_ERROR);
    tw_log(TW_LEVEL_WARN, "unseen", "x");
    tw_log_access(&(struct tw_log_access){.method = TW_STR("GET")}); // is of level info
    tw_log(TW_LEVEL_ERROR, "e", "%s", "");
    open_log("tillway", -1, TW_LEVEL_DEBUG);
    tw_log(TW_LEVEL_DEBUG, "d", "x");
}

static void test_events(void **state)
{
    (void)state;
    int64_t before_ms = tw_unix_ms();
    char from[TW_ISO8601_LEN + 1] = "", to[TW_ISO8601_LEN + 1] = "";
    capture(log_events);
    tw_iso8601_utc(before_ms, from);
    tw_iso8601_utc(tw_unix_ms(), to);
    assert_int_equal(count_lines(), 3);
    json_t *json = line(0);
    assert_text(json, "level", "warn");
    assert_text(json, "kind", "event");
    assert_text(json, "process", "worker");
    assert_text(json, "event", "db_connection_lost");
    assert_text(json, "message", "why: \"7\"\n");
    assert_int_equal(json_integer_value(json_object_get(json, "worker")), 3);
    const char *time = json_string_value(json_object_get(json, "time"));
    assert_true(strcmp(time, from) >= 0 && strcmp(time, to) <= 0);
    assert_int_equal(json_object_size(json), 7);
    json_decref(json);
    json = line(1);
    assert_text(json, "level", "error");
    assert_text(json, "process", "master");
    assert_text(json, "message", "");
    assert_null(json_object_get(json, "worker"));
    json_decref(json);
    json = line(2);
    assert_text(json, "level", "debug");
    assert_text(json, "process", "tillway");
    json_decref(json);
}

static void log_requests(void)
{
    struct tw_log_access entry = {
        .unix_ms = INT64_C(1795910400123),
        .request_id = TW_STR("r-1"),
        .method = TW_STR("POST"),
        .path = TW_STR("/v1/transactions"),
        .route = TW_STR("/v1/transactions"),
        .protocol = TW_STR("HTTP/2"),
        .peer = TW_STR("192.0.2.1"),
        .client = TW_STR("198.51.100.1"),
        .code = TW_STR("total-mismatch"),
        .principal = TW_STR("0123456789abcdef"),
        .subject = TW_STR("caf\xc3\xa9"),
        .trace_id = TW_STR("0af7651916cd43dd8448eb211c80319c"),
        .n_statements = 2,
        .queue_us = 17,
        .db_us = 900,
        .http_status = 422,
        .bytes_sent = UINT64_C(5000000000),
        .duration_us = 1234,
    };
    open_log("worker", 0, TW_LEVEL_INFO);
    tw_log_access(&entry);
    entry = (struct tw_log_access){.method = TW_STR("GET")};
    tw_log_access(&entry);
    tw_log_flush();
}

static void test_requests(void **state)
{
    (void)state;
    capture(log_requests);
    assert_int_equal(count_lines(), 2);
    json_t *json = line(0);
    assert_text(json, "level", "info");
    assert_text(json, "kind", "access");
    assert_text(json, "time", "2026-11-29T00:00:00.123Z");
    assert_text(json, "requestId", "r-1");
    assert_text(json, "method", "POST");
    assert_text(json, "path", "/v1/transactions");
    assert_text(json, "route", "/v1/transactions");
    assert_text(json, "protocol", "HTTP/2");
    assert_text(json, "peer", "192.0.2.1");
    assert_text(json, "client", "198.51.100.1");
    assert_text(json, "code", "total-mismatch");
    assert_text(json, "sub", "caf\xc3\xa9");
    assert_text(json, "principal", "0123456789abcdef");
    assert_text(json, "traceId", "0af7651916cd43dd8448eb211c80319c");
    assert_int_equal(json_integer_value(json_object_get(json, "queueUs")), 17);
    assert_int_equal(json_integer_value(json_object_get(json, "dbUs")), 900);
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 422);
    assert_int_equal(json_integer_value(json_object_get(json, "bytes")), 5000000000);
    assert_int_equal(json_integer_value(json_object_get(json, "durationUs")), 1234);
    assert_int_equal(json_object_size(json), 21);
    json_decref(json);
    json = line(1);
    assert_int_equal(json_object_size(json), 9); // the five of every line, and four more
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 0);
    json_decref(json);
}

// A line begins as the last one did only if that had its level and its kind, and its process.
static void log_kinds(void)
{
    struct tw_log_access fine = {.method = TW_STR("GET")}, bad = fine;
    bad.level = TW_LEVEL_ERROR;
    open_log("worker", 7, TW_LEVEL_INFO);
    tw_log_access(&fine);
    tw_log_access(&fine);
    tw_log_access(&bad);
    tw_log_audit(&fine, "done", TW_STR(""), TW_STR(""));
    tw_log_access(&fine);
    tw_log_flush();
    open_log("worker", 8, TW_LEVEL_INFO);
    tw_log_access(&fine);
    tw_log_flush();
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *level, *kind;
        int worker;
    } wanted[] = {{"info", "access", 7}, {"info", "access", 7}, {"error", "access", 7},
                  {"info", "audit", 7},  {"info", "access", 7}, {"info", "access", 8}};
    capture(log_kinds);
    assert_int_equal(count_lines(), TW_COUNT(wanted));
    for (size_t i = 0; i < TW_COUNT(wanted); i++) {
        json_t *json = line(i);
        assert_text(json, "level", wanted[i].level);
        assert_text(json, "kind", wanted[i].kind);
        assert_text(json, "process", "worker");
        assert_int_equal(json_integer_value(json_object_get(json, "worker")), wanted[i].worker);
        json_decref(json);
    }
}

// The buffer's clock is kept over a second; its times must not run backwards or stand still.
static void log_for_a_while(void)
{
    struct tw_log_access entry = {.method = TW_STR("GET")};
    open_log("worker", 0, TW_LEVEL_INFO);
    int64_t begin_ms = tw_unix_ms();
    for (entry.unix_ms = begin_ms; entry.unix_ms < begin_ms + 1100; entry.unix_ms += 10)
        tw_log_access(&entry);
    tw_log_flush();
}

static void test_times(void **state)
{
    (void)state;
    char last[TW_ISO8601_LEN + 1] = "", first[TW_ISO8601_LEN + 1] = "";
    capture(log_for_a_while);
    size_t n = count_lines(), steps = 0;
    for (size_t i = 0; i < n; i++) {
        json_t *json = line(i);
        const char *time = json_string_value(json_object_get(json, "time"));
        assert_true(strcmp(time, last) >= 0);
        steps += strcmp(time, last) > 0;
        snprintf(last, sizeof last, "%s", time);
        if (i == 0)
            snprintf(first, sizeof first, "%s", time);
        json_decref(json);
    }
    assert_true(steps > n / 2);
    assert_true(strncmp(first, last, strlen("2026-11-20T12:34:56")) < 0);
}

// ---- whatever goes in ---------------------------------------------------------------------------

static struct tw_str random_bytes(char *out, size_t max)
{
    size_t n = kit_below(max + 1);
    uint64_t kind = kit_below(3);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(kind == 0 ? kit_below(256) : kind == 1 ? kit_below(128) : 0x7f);
    return (struct tw_str){out, n};
}

static void log_any_bytes(void)
{
    static char bytes[9][3000];
    open_log("worker", 0, TW_LEVEL_INFO);
    for (int i = 0; i < 5000; i++) {
        size_t max = kit_below(sizeof bytes[0]) >> kit_below(12);
        struct tw_log_access entry = {
            .request_id = random_bytes(bytes[0], max),
            .method = random_bytes(bytes[1], max),
            .path = random_bytes(bytes[2], max),
            .route = random_bytes(bytes[3], max),
            .protocol = random_bytes(bytes[4], max),
            .peer = random_bytes(bytes[5], max),
            .code = random_bytes(bytes[6], max),
            .subject = random_bytes(bytes[7], max),
            .trace_id = random_bytes(bytes[8], max),
            .http_status = (unsigned)kit_random(),
            .bytes_sent = kit_random(),
            .duration_us = kit_random(),
        };
        tw_log_access(&entry);
        struct tw_str message = random_bytes(bytes[0], max);
        tw_log(TW_LEVEL_INFO, "any", "%.*s", (int)message.n, message.p);
    }
    report->dropped = tw_log_take_dropped();
}

// A request cannot write itself out of the log by long or odd fields: every line is there.
static void test_any_bytes(void **state)
{
    (void)state;
    capture(log_any_bytes);
    assert_int_equal(count_lines() + report->dropped, 10000);
    assert_int_equal(report->dropped, 0);
}

static void log_long_fields_as(enum tw_log_format format)
{
    static char plain[9000], euros[9000], quotes[9000], controls[9000];
    memset(plain, 'p', sizeof plain);
    memset(quotes, '"', sizeof quotes);
    memset(controls, 0x7f, sizeof controls);
    for (size_t i = 0; i < sizeof euros; i++)
        euros[i] = "\xe2\x82\xac"[i % 3];
    const char *const all[] = {plain, euros, quotes, controls};
    tw_log_open("worker", 4095, &(struct tw_log_setup){TW_LEVEL_INFO, format, -1});
    for (size_t i = 0; i < TW_COUNT(all); i++) {
        struct tw_str value = {all[i], sizeof plain};
        struct tw_log_access entry = {TW_LEVEL_ERROR, 0,     value,     value,      value,
                                      value,          value, value,     value,      value,
                                      value,          value, value,     UINT32_MAX, INT64_MAX,
                                      INT64_MAX,      1,     INT64_MAX, INT64_MAX};
        tw_log_access(&entry);
        tw_log(TW_LEVEL_ERROR, "long", "x%.*s", (int)value.n, value.p);
    }
}

static void log_long_fields(void)
{
    log_long_fields_as(TW_LOG_JSON);
}

// Long fields are cut, between characters, each by itself.
static void test_long_fields(void **state)
{
    (void)state;
    static const char *const beginnings[] = {"p", "\xe2\x82\xac", "\"", "\x7f"};
    static const char *const keys[] = {"requestId", "method", "path", "route",   "protocol", "peer",
                                       "client",    "code",   "sub",  "traceId", "principal"};
    capture(log_long_fields);
    assert_int_equal(count_lines(), 2 * TW_COUNT(beginnings));
    for (size_t i = 0; i < TW_COUNT(beginnings); i++) {
        json_t *access = line(2 * i), *event = line(2 * i + 1);
        size_t unit = strlen(beginnings[i]);
        for (size_t k = 0; k < TW_COUNT(keys); k++) {
            const json_t *value = json_object_get(access, keys[k]);
            size_t n = json_string_length(value);
            assert_true(n > 0 && n < 9000 && n % unit == 0);
            for (size_t at = 0; at < n; at += unit)
                assert_memory_equal(json_string_value(value) + at, beginnings[i], unit);
        }
        assert_true(json_string_length(json_object_get(access, "path")) >= 333);
        const json_t *message = json_object_get(event, "message");
        size_t n = json_string_length(message);
        assert_true(n > 500 && n < 9000 && (n - 1) % unit == 0);
        assert_int_equal(json_string_value(message)[0], 'x');
        assert_memory_equal(json_string_value(message) + n - unit, beginnings[i], unit);
        json_decref(access);
        json_decref(event);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_access_lines_have_the_level_of_their_status),
        LOG_TEST(test_events),
        LOG_TEST(test_requests),
        LOG_TEST(test_kinds),
        LOG_TEST(test_times),
        LOG_TEST(test_any_bytes),
        LOG_TEST(test_long_fields),
    };
    int failed = cmocka_run_group_tests_name("log", tests, make_report, NULL);
    free(text);
    return failed;
}
