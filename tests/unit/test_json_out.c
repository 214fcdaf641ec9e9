// SPDX-License-Identifier: Apache-2.0
// json_out: what is written is what an independent parser (jansson) reads back; no buffer overruns.
#include "tests/unit/test_kit.h"

#include <inttypes.h>
#include <jansson.h>

#include "gateway/json_out.h"

static char buffer[64 * 1024];

static void assert_written(const struct tw_json *json, const char *expected)
{
    assert_false(json->failed);
    kit_assert_str((struct tw_str){json->p, json->n}, expected);
}

static json_t *parse(struct tw_str text)
{
    json_error_t error;
    json_t *json = json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("%s: %.*s", error.text, (int)text.n, text.p);
    return json;
}

// Everything once, nested, so that each kind of value stands first, in the middle and last.
static void write_all(struct tw_json *json)
{
    struct tw_uuid uuid = {{0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x7c, 0xc3, 0x98, 0xc4, 0xdc, 0x0c,
                            0x0c, 0x07, 0x39, 0x8f}};
    tw_json_object(json);
    TW_JSON_STR(json, "a", TW_STR("x\"y"));
    TW_JSON_I64(json, "b", -7);
    tw_json_key(json, TW_STR("c"));
    tw_json_array(json);
    tw_json_array(json);
    tw_json_array_end(json);
    tw_json_object(json);
    tw_json_object_end(json);
    tw_json_bool(json, true);
    tw_json_null(json);
    tw_json_decimal(json, 1250, 2);
    tw_json_decimal_short(json, 1250, 3);
    tw_json_str(json, TW_STR("{"));
    tw_json_str(json, TW_STR(":"));
    tw_json_bool(json, false);
    tw_json_array_end(json);
    tw_json_key(json, TW_STR("d"));
    tw_json_uuid(json, &uuid);
    tw_json_key(json, TW_STR("e"));
    tw_json_time(json, INT64_C(951827696789));
    tw_json_key(json, TW_STR("f"));
    tw_json_raw(json, TW_STR("{\"g\":1}"));
    tw_json_key(json, TW_STR("h"));
    tw_json_str_untrusted(json, TW_STR("\xff\""));
    tw_json_object_end(json);
}

static const char all[] =
    "{\"a\":\"x\\\"y\",\"b\":-7,\"c\":[[],{},true,null,12.50,1.25,\"{\",\":\",false],"
    "\"d\":\"017f22e2-79b0-7cc3-98c4-dc0c0c07398f\",\"e\":\"2000-02-29T12:34:56.789Z\","
    "\"f\":{\"g\":1},\"h\":\"??\"}";

// A byte that may have to be escaped, among plain ones; the text ends where its memory does.
static void assert_escaped(size_t length, size_t at, char c)
{
    char out[64], expected[64] = "\"";
    char *plain = malloc(length);
    assert_non_null(plain);
    memset(plain, at % 2 ? 0x20 : 0x7e, length);
    plain[at] = c;
    for (size_t i = 0, n = 1; i < length; i++) {
        bool is_plain = plain[i] >= 0x20 && plain[i] != '"' && plain[i] != '\\' && plain[i] != 0x7f;
        static const char letters[] = "btn?fr";
        if (is_plain)
            n += (size_t)snprintf(expected + n, sizeof expected - n, "%c", plain[i]);
        else if (plain[i] == '"' || plain[i] == '\\')
            n += (size_t)snprintf(expected + n, sizeof expected - n, "\\%c", plain[i]);
        else if (plain[i] >= '\b' && plain[i] <= '\r' && plain[i] != '\v')
            n += (size_t)snprintf(expected + n, sizeof expected - n, "\\%c",
                                  letters[plain[i] - '\b']);
        else
            n += (size_t)snprintf(expected + n, sizeof expected - n, "\\u%04x", (unsigned)plain[i]);
        expected[n] = '"';
        expected[n + 1] = '\0';
    }
    struct tw_json json = tw_json_fixed(out, sizeof out);
    tw_json_str(&json, (struct tw_str){plain, length});
    assert_int_equal(json.n, strlen(expected));
    assert_memory_equal(out, expected, json.n);
    free(plain);
}

// What is to be escaped is, wherever among how many plain bytes it stands.
static void test_escapes_at_every_place(void **state)
{
    static const size_t lengths[] = {1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33};
    (void)state;
    for (size_t length = 0; length < TW_COUNT(lengths); length++)
        for (size_t i = 0; i < 127 * lengths[length]; i++)
            assert_escaped(lengths[length], i / 127, (char)(i % 127 + 1));
}

static void test_structure(void **state)
{
    (void)state;
    struct tw_json json = tw_json_fixed(buffer, sizeof buffer);
    write_all(&json);
    assert_written(&json, all);
    json_decref(parse((struct tw_str){json.p, json.n}));
}

// Whatever the size: not a byte behind it; either all is there or `failed` says it is not.
static void test_fixed_buffers_of_every_size(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < sizeof all + 16; cap++) {
        char *exact = malloc(cap + 1); // the sanitizer sees a byte behind `cap`, and so do we
        assert_non_null(exact);
        exact[cap] = '#';
        struct tw_json json = tw_json_fixed(exact, cap);
        write_all(&json);
        assert_true(json.n <= cap && exact[cap] == '#');
        assert_true(cap >= sizeof all - 1 || json.failed);
        assert_true(cap < sizeof all || !json.failed);
        if (!json.failed)
            assert_written(&json, all);
        free(exact);
    }
}

static unsigned grown;

static bool grow(struct tw_json *json, size_t cap)
{
    if (grown++ == (uintptr_t)json->owner)
        return false;
    char *p = realloc(json->p, cap);
    assert_non_null(p);
    json->p = p;
    json->cap = cap; // as little as asked for
    return true;
}

static void test_growing(void **state)
{
    (void)state;
    unsigned needed = 0;
    for (bool whole = false; !whole; needed++) {
        struct tw_json json = {.grow = grow, .owner = (void *)(uintptr_t)needed};
        grown = 0;
        write_all(&json);
        whole = !json.failed;
        if (whole)
            assert_written(&json, all);
        else // a failure is final: nothing is written behind the gap, and nobody asks again
            assert_int_equal(grown, needed + 1);
        free(json.p);
    }
    assert_in_range(needed, 20, 60);
}

static void test_one_character_strings(void **state)
{
    (void)state;
    for (unsigned c = 1; c < 0x80; c++) {
        char text = (char)c;
        struct tw_json json = tw_json_fixed(buffer, sizeof buffer);
        tw_json_str(&json, (struct tw_str){&text, 1});
        assert_false(json.failed);
        for (size_t i = 0; i < json.n; i++) // no control byte gets into a line or a terminal
            assert_in_range(json.p[i], 0x20, 0x7e);
        json_t *parsed = parse((struct tw_str){json.p, json.n});
        assert_int_equal(json_string_length(parsed), 1);
        assert_int_equal(json_string_value(parsed)[0], text);
        json_decref(parsed);
    }
    struct tw_json json = tw_json_fixed(buffer, sizeof buffer);
    tw_json_str(&json, TW_STR("\b\t\n\f\r\"\\/\x1b\x7f\xe2\x82\xac"));
    assert_written(&json, "\"\\b\\t\\n\\f\\r\\\"\\\\/\\u001b\\u007f\xe2\x82\xac\"");
    json = tw_json_fixed(buffer, sizeof buffer);
    tw_json_str(&json, tw_str_of(NULL));
    assert_written(&json, "\"\"");
}

// Valid text comes back byte for byte; any other bytes give valid JSON of as many characters.
static void test_any_bytes(void **state)
{
    (void)state;
    unsigned n_valid = 0;
    for (int i = 0; i < 200000; i++) {
        unsigned char bytes[40];
        size_t n = kit_below(sizeof bytes + 1);
        for (size_t j = 0; j < n; j++)
            bytes[j] = (unsigned char)(i % 2 ? kit_below(256) : kit_below(128));
        struct tw_str text = {(char *)bytes, n};
        struct tw_json json = tw_json_fixed(buffer, sizeof buffer);
        tw_json_str_untrusted(&json, text);
        assert_false(json.failed);
        json_t *parsed = parse((struct tw_str){json.p, json.n});
        struct tw_str back = {json_string_value(parsed), json_string_length(parsed)};
        bool valid = tw_utf8_valid(text);
        n_valid += valid;
        assert_int_equal(back.n, n);
        for (size_t j = 0; j < n; j++) {
            bool kept = valid || (bytes[j] >= 0x20 && bytes[j] < 0x7f);
            bool quote = !valid && (bytes[j] == '"' || bytes[j] == '\\');
            assert_int_equal((unsigned char)back.p[j], kept && !quote ? bytes[j] : '?');
        }
        json_decref(parsed);
    }
    assert_in_range(n_valid, 50000, 150000);
}

static void test_integers(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        int64_t value = i == 0 ? INT64_MIN : i == 1 ? INT64_MAX : i == 2 ? 0 : kit_random_i64();
        char expected[32];
        snprintf(expected, sizeof expected, "%" PRId64, value);
        struct tw_json json = tw_json_fixed(buffer, sizeof buffer);
        tw_json_i64(&json, value);
        assert_written(&json, expected);
    }
}

static void test_decimals(void **state)
{
    (void)state;
    static const struct {
        int64_t value;
        unsigned decimals;
        const char *full, *trimmed;
    } cases[] = {
        {0, 0, "0", "0"},
        {0, 2, "0.00", "0"},
        {1, 2, "0.01", "0.01"},
        {-1, 2, "-0.01", "-0.01"},
        {10, 2, "0.10", "0.1"},
        {1250, 2, "12.50", "12.5"},
        {1250, 3, "1.250", "1.25"},
        {2000, 3, "2.000", "2"},
        {-2000, 3, "-2.000", "-2"},
        {1000, 0, "1000", "1000"},
        {200000, 6, "0.200000", "0.2"},
        {1000001, 6, "1.000001", "1.000001"},
        {100, 1, "10.0", "10"},
        {INT64_MAX, 2, "92233720368547758.07", "92233720368547758.07"},
        {INT64_MIN, 6, "-9223372036854.775808", "-9223372036854.775808"},
        {INT64_MIN, 0, "-9223372036854775808", "-9223372036854775808"},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++) {
        struct tw_json json = tw_json_fixed(buffer, sizeof buffer);
        tw_json_decimal(&json, cases[i].value, cases[i].decimals);
        assert_written(&json, cases[i].full);
        json = tw_json_fixed(buffer, sizeof buffer);
        tw_json_decimal_short(&json, cases[i].value, cases[i].decimals);
        assert_written(&json, cases[i].trimmed);
    }
}

// Any value, any scale: the digits without the point are the number; the short form differs in
// zeros at its end only.
static void test_random_decimals(void **state)
{
    (void)state;
    for (int i = 0; i < 200000; i++) {
        int64_t value = kit_random_i64();
        unsigned decimals = (unsigned)kit_below(7);
        struct tw_json full = tw_json_fixed(buffer, 64);
        struct tw_json trimmed = tw_json_fixed(buffer + 64, 64);
        tw_json_decimal(&full, value, decimals);
        tw_json_decimal_short(&trimmed, value, decimals);
        assert_false(full.failed || trimmed.failed);
        char digits[64];
        size_t n = 0, point = full.n;
        for (size_t j = 0; j < full.n; j++) {
            if (full.p[j] == '.')
                point = j;
            else
                digits[n++] = full.p[j];
        }
        digits[n] = '\0';
        assert_int_equal(strtoll(digits, NULL, 10), value);
        assert_int_equal(full.n - point, decimals > 0 ? decimals + 1 : 0);
        assert_memory_equal(trimmed.p, full.p, trimmed.n);
        for (size_t j = trimmed.n; j < full.n; j++)
            assert_true(full.p[j] == '0' || j == point);
        assert_true(trimmed.n < point || decimals == 0 || trimmed.n == point ||
                    trimmed.p[trimmed.n - 1] != '0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escapes_at_every_place),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_fixed_buffers_of_every_size),
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_one_character_strings),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_decimals),
        cmocka_unit_test(test_random_decimals),
    };
    return cmocka_run_group_tests_name("json_out", tests, NULL, NULL);
}
