// SPDX-License-Identifier: Apache-2.0
// json_memory: values of a text that fits the block and of one that does not; what was made before
// stays. That nothing is lost is the sanitizer's to see.
#include "tests/unit/test_kit.h"

#include "gateway/json_memory.h"

static json_t *load(const char *text, size_t n)
{
    json_error_t error;
    json_t *json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    assert_non_null(json);
    return json;
}

static void test_a_text_after_another(void **state)
{
    static const char text[] = "{\"a\": [1, 2.5, \"x\", null], \"b\": {\"c\": true}}";
    (void)state;
    json_t *kept = load(text, sizeof text - 1);
    for (int i = 0; i < 3; i++) {
        tw_json_memory_begin();
        json_t *json = load(text, sizeof text - 1);
        assert_true(json_equal(json, kept));
        assert_int_equal((uintptr_t)json % sizeof(void *), 0);
        tw_json_memory_end(json);
    }
    json_t *again = load(text, sizeof text - 1);
    assert_true(json_equal(again, kept));
    json_decref(again);
    json_decref(kept);
}

// From a few values to megabytes of them: somewhere between, the block is full.
static void test_more_than_the_block_holds(void **state)
{
    (void)state;
    for (size_t n = 1; n < 100000; n = n * 3 / 2 + 1) {
        char *text = malloc(n * 8 + 2);
        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
            memcpy(text + 8 * i, i == 0 ? "[{\"a\":1}" : ",[\"bcd\"]", 8);
        text[8 * n] = ']';
        tw_json_memory_begin();
        json_t *json = load(text, n * 8 + 1);
        assert_int_equal(json_array_size(json), n);
        for (size_t i = 1; i < n; i++) {
            json_t *element = json_array_get(json_array_get(json, i), 0);
            assert_string_equal(json_string_value(element), "bcd");
        }
        tw_json_memory_end(json);
        free(text);
    }
}

static void test_a_text_that_is_none(void **state)
{
    json_error_t error;
    (void)state;
    for (int i = 0; i < 3; i++) {
        tw_json_memory_begin();
        assert_null(json_loads("{\"a\": [1, {\"b\": \"c\"}, x]}", 0, &error));
        tw_json_memory_end(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_text_after_another),
        cmocka_unit_test(test_more_than_the_block_holds),
        cmocka_unit_test(test_a_text_that_is_none),
    };
    tw_json_memory_install();
    return cmocka_run_group_tests_name("json_memory", tests, NULL, NULL);
}
