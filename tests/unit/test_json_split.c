// SPDX-License-Identifier: Apache-2.0
// json_split: arrays and lines into slices; a broken text is never taken for another one.
#include "tests/unit/test_kit.h"

#include "handlers/json_split.h"

#define CAP 4

static struct tw_str slices[CAP];
static size_t n;

static bool split(const char *text)
{
    return tw_json_split_array(tw_str_of(text), slices, CAP, &n);
}

static void assert_slices(const char *const *wanted, size_t n_wanted)
{
    assert_int_equal(n, n_wanted);
    for (size_t i = 0; i < n && i < CAP; i++)
        kit_assert_str(slices[i], wanted[i]);
}

static void test_elements(void **state)
{
    (void)state;
    assert_true(split(" [ {\"a\":[1,2]} , \"x,]\\\"y\" ,3]\n"));
    assert_slices((const char *[]){"{\"a\":[1,2]}", "\"x,]\\\"y\"", "3"}, 3);
    assert_true(split("[]"));
    assert_slices(NULL, 0);
    assert_true(split("[1,2,3,4,5,6]"));
    assert_int_equal(n, 6); // counted beyond what is kept
}

static void test_no_array(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",      "{}",   "[",   "]",    "[1",       "[1,]",       "[,1]", "[1,,2]", "[1]]",
        "[1] 2", "[{]}", "[1}", "[\"]", "[\"\\\"]", "[{\"a\":1]", "nul",  "\"[]\"",
    };
    for (size_t i = 0; i < TW_COUNT(texts); i++)
        if (split(texts[i]))
            fail_msg("taken: %s", texts[i]);
}

static void test_lines(void **state)
{
    (void)state;
    tw_json_split_lines(TW_STR("{\"a\":1}\r\n\n  \n[2] \n3"), slices, CAP, &n);
    assert_slices((const char *[]){"{\"a\":1}", "[2]", "3"}, 3);
    tw_json_split_lines(TW_STR("\n\n"), slices, CAP, &n);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_no_array),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests_name("json_split", tests, NULL, NULL);
}
