// SPDX-License-Identifier: Apache-2.0
// cors: whom an answer may be shown to. The headers themselves are tested end to end.
#include "tests/unit/test_kit.h"

#include "gateway/cors.h"

static enum tw_cors judge(const struct tw_texts *origins, struct tw_str origin)
{
    const struct tw_config config = {.cors_origins = *origins};
    return tw_cors_judge(&config, origin);
}

static const char *const ours[] = {"https://till.example.com", "http://localhost:3000"};
static const struct tw_texts two = {ours, TW_COUNT(ours)}, off = {NULL, 0};

static void test_ours(void **state)
{
    (void)state;
    for (size_t i = 0; i < TW_COUNT(ours); i++)
        assert_int_equal(judge(&two, tw_str_of(ours[i])), TW_CORS_ORIGIN);
}

// Compared as a whole and byte by byte: neither the beginning nor the end of one is enough.
static void test_others(void **state)
{
    (void)state;
    static const char *const others[] = {
        NULL,
        "",
        "*",
        "null",
        "https://",
        "https://till.example.co",
        "https://till.example.com.evil.example",
        "https://till.example.com:443",
        "https://till.example.com/",
        "https://TILL.example.com",
        "https://till.example.com https://till.example.com",
        "http://till.example.com",
        "https://eviltill.example.com",
        "http://localhost",
        "http://localhost:30000",
        "ttps://till.example.com",
        " https://till.example.com",
    };
    for (size_t i = 0; i < TW_COUNT(others); i++)
        if (judge(&two, tw_str_of(others[i])) != TW_CORS_NOBODY)
            fail_msg("shown to \"%s\"", others[i] ? others[i] : "(absent)");
    assert_int_equal(judge(&two, TW_STR("https://till.example.com\0")), TW_CORS_NOBODY);
}

static void test_any(void **state)
{
    (void)state;
    static const char *const star[] = {"*"};
    const struct tw_texts any = {star, 1};
    static const char *const origins[] = {NULL, "", "null", "*", "https://till.example.com"};
    for (size_t i = 0; i < TW_COUNT(origins); i++)
        assert_int_equal(judge(&any, tw_str_of(origins[i])), TW_CORS_ANY);
}

static void test_off(void **state)
{
    (void)state;
    assert_int_equal(judge(&off, tw_str_of(NULL)), TW_CORS_NOBODY);
    assert_int_equal(judge(&off, TW_STR("")), TW_CORS_NOBODY);
    assert_int_equal(judge(&off, TW_STR("null")), TW_CORS_NOBODY);
    assert_int_equal(judge(&off, TW_STR("https://till.example.com")), TW_CORS_NOBODY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ours),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_off),
    };
    return cmocka_run_group_tests_name("cors", tests, NULL, NULL);
}
