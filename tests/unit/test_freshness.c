// SPDX-License-Identifier: Apache-2.0
// freshness: what Cache-Control and Age say together, however they are written.
#include "tests/unit/test_kit.h"

#include "gateway/freshness.h"

static uint64_t left(const char *cache_control, const char *more, const char *age)
{
    struct tw_freshness freshness = {.max_age_s = TW_FRESHNESS_UNKNOWN};
    if (cache_control)
        tw_freshness_cache_control(&freshness, tw_str_of(cache_control));
    if (more)
        tw_freshness_cache_control(&freshness, tw_str_of(more));
    if (age)
        tw_freshness_age(&freshness, tw_str_of(age));
    return tw_freshness_left_s(&freshness);
}

static void test_cache_control(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        uint64_t left_s;
    } cases[] = {
        {"", TW_FRESHNESS_UNKNOWN},
        {",, ,", TW_FRESHNESS_UNKNOWN},
        {"public", TW_FRESHNESS_UNKNOWN},
        {"max-age=60", 60},
        {"MAX-Age=60", 60},
        {"max-age=\"60\"", 60},
        {"public, max-age=21548, must-revalidate, no-transform", 21548},
        {"public,max-age=5", 5},
        {"\tpublic ,\tmax-age = 7 ", 7}, // no space may stand there; one that does is harmless
        {"max-age=007", 7},
        {"max-age=99999999999999999999999", INT32_MAX},
        {"s-maxage=60", TW_FRESHNESS_UNKNOWN},
        {"s-maxage=5, max-age=60", 60},
        {"x-max-age=5", TW_FRESHNESS_UNKNOWN},
        {"max-age-=5", TW_FRESHNESS_UNKNOWN},
        {"stale-while-revalidate=5", TW_FRESHNESS_UNKNOWN},
        {"community=\"a, max-age=5, b\", max-age=60", 60},
        {"community=\"a\\\", max-age=5\", max-age=60", 60},
        {"community=\"never closed, max-age=5", TW_FRESHNESS_UNKNOWN},
        {"no-store", 0},
        {"No-Cache", 0},
        {"no-cache=\"set-cookie\"", 0},
        {"max-age=60, no-store", 0},
        {"no-cache, max-age=60", 0},
        {"max-age=0", 0},
        {"max-age", 0}, // said, but not understood: stale
        {"max-age=", 0},
        {"max-age=soon", 0},
        {"max-age=-1", 0},
        {"max-age=1.5", 0},
        {"max-age=60, max-age=5", 5},
        {"max-age=5, max-age=60", 5},
    };
    for (size_t i = 0; i < TW_COUNT(cases); i++)
        if (left(cases[i].value, NULL, NULL) != cases[i].left_s)
            fail_msg("%s: %llu", cases[i].value,
                     (unsigned long long)left(cases[i].value, NULL, NULL));
}

static void test_several_lines(void **state)
{
    (void)state;
    assert_int_equal(left("public", "max-age=60", NULL), 60);
    assert_int_equal(left("max-age=60", "no-store", NULL), 0);
    assert_int_equal(left("max-age=60", "public", NULL), 60);
}

static void test_age(void **state)
{
    (void)state;
    assert_int_equal(left("max-age=60", NULL, "20"), 40);
    assert_int_equal(left("max-age=60", NULL, " 20 "), 40);
    assert_int_equal(left("max-age=60", NULL, "60"), 0);
    assert_int_equal(left("max-age=60", NULL, "99999999999999999999"), 0);
    assert_int_equal(left("max-age=60", NULL, "old"), 60);
    assert_int_equal(left("max-age=60", NULL, "-5"), 60);
    assert_int_equal(left(NULL, NULL, "20"), TW_FRESHNESS_UNKNOWN);
}

// Any bytes: nothing is read behind the end (for the sanitizers).
static void test_any_bytes(void **state)
{
    (void)state;
    static const char alphabet[] = "max-age=\",\\ 0159";
    for (unsigned round = 0; round < 20000; round++) {
        size_t n = kit_below(24);
        char *text = malloc(n ? n : 1);
        struct tw_freshness freshness = {.max_age_s = TW_FRESHNESS_UNKNOWN};
        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
            text[i] = alphabet[kit_below(sizeof alphabet - 1)];
        tw_freshness_cache_control(&freshness, (struct tw_str){text, n});
        tw_freshness_age(&freshness, (struct tw_str){text, n});
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache_control),
        cmocka_unit_test(test_several_lines),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests_name("freshness", tests, NULL, NULL);
}
