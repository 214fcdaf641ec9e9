// SPDX-License-Identifier: Apache-2.0
// json_text: depth, minus zero, and pointers to any place.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "handlers/json_text.h"

static enum tw_json_fault scan(const char *text, size_t *at)
{
    return tw_json_text_scan(tw_str_of(text), at);
}

static void depth_is_limited(void **state)
{
    (void)state;
    char text[2 * TW_JSON_DEPTH_MAX + 3];
    size_t at, n = TW_JSON_DEPTH_MAX;
    memset(text, '[', n);
    memset(text + n, ']', n);
    text[2 * n] = '\0';
    assert_int_equal(scan(text, &at), TW_JSON_FINE);
    memset(text, '[', n + 1);
    memset(text + n + 1, ']', n + 1);
    text[2 * n + 2] = '\0';
    assert_int_equal(scan(text, &at), TW_JSON_TOO_DEEP);
    assert_int_equal(scan("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]", &at), TW_JSON_FINE);
}

static void minus_zero_is_found_where_it_stands(void **state)
{
    (void)state;
    size_t at;
    assert_int_equal(scan("{\"a\":-0}", &at), TW_JSON_MINUS_ZERO);
    assert_int_equal(at, 5);
    assert_int_equal(scan("-0", &at), TW_JSON_MINUS_ZERO);
    assert_int_equal(scan("[1,-0 ]", &at), TW_JSON_MINUS_ZERO);
    assert_int_equal(scan("[-0.5,-0e1,-10,-1,0]", &at), TW_JSON_FINE);
    assert_int_equal(scan("[\"-0\",\"\\\"-0\"]", &at), TW_JSON_FINE);
}

static void expect_pointer(const char *text, const char *mark, const char *pointer)
{
    char out[128];
    const char *at = strstr(text, mark);
    assert_non_null(at);
    size_t n = tw_json_text_pointer(tw_str_of(text), (size_t)(at - text), out, sizeof(out));
    assert_int_equal(n, strlen(pointer));
    assert_memory_equal(out, pointer, n);
}

static void a_place_has_its_pointer(void **state)
{
    (void)state;
    expect_pointer("{\"a\":7}", "7", "/a");
    expect_pointer("{\"a\":1,\"b\" : [2, {\"c\":7}]}", "7", "/b/1/c");
    expect_pointer("{\"x\":{\"y\":[[]]},\"b\":7}", "7", "/b");
    expect_pointer("[1,[2],7]", "7", "/2");
    expect_pointer("{\"a/b~c\":7}", "7", "/a~1b~0c");
    expect_pointer("{\"k\":\"{[\\\"\",\"n\":7}", "7", "/n");
    expect_pointer("7", "7", "");
}

static void broken_text_is_no_overrun(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\"", "\"\\", "{\"", "{\"a", "]}],:", "-", "[-", "{,,"};
    for (size_t i = 0; i < TW_COUNT(texts); i++) {
        char out[4];
        size_t at;
        (void)!scan(texts[i], &at);
        for (size_t stop = 0; stop <= strlen(texts[i]) + 1; stop++)
            assert_true(tw_json_text_pointer(tw_str_of(texts[i]), stop, out, sizeof(out)) <= 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(minus_zero_is_found_where_it_stands),
        cmocka_unit_test(a_place_has_its_pointer),
        cmocka_unit_test(broken_text_is_no_overrun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
